// A copy of the project in a temporary folder, to which mutants can be applied: it has the sources that git knows, and
// links to the packages.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export interface Copy {
  /** The copy's root, in which the tests run. */
  readonly tree: string
  /** For files that the tests write outside of `tree`; removed together with it. */
  readonly temporary: string
  read(file: string): string
  write(file: string, text: string): void
  remove(): void
}

/** `npm ci` generates this folder; git ignores it. */
const GENERATED = 'src/generated'

/**
 * Every file that git lists or would list, with its content on the disk; files that are deleted but still listed are
 * left out.
 */
const filesOf = (project: string): string[] =>
  execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
    cwd: project,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
    .split('\0')
    .filter((file) => file !== '' && existsSync(join(project, file)))

export const makeCopy = (project: string): Copy => {
  if (!existsSync(join(project, GENERATED))) throw new Error(`${GENERATED} is missing: run npm ci first`)
  const root = mkdtempSync(join(tmpdir(), 'reconsent-copy-'))
  const remove = (): void => rmSync(root, { recursive: true, force: true, maxRetries: 5 })
  try {
    const tree = join(root, 'tree')
    const temporary = join(root, 'tmp')
    mkdirSync(temporary, { recursive: true })
    // As root the embedded PostgreSQL runs as another user, whose data is in this folder.
    chmodSync(root, 0o755)
    chmodSync(temporary, 0o777)
    for (const file of [...filesOf(project), GENERATED]) {
      mkdirSync(dirname(join(tree, file)), { recursive: true })
      cpSync(join(project, file), join(tree, file), { recursive: true })
    }
    symlinkSync(join(project, 'node_modules'), join(tree, 'node_modules'), 'dir')
    return {
      tree,
      temporary,
      read: (file) => readFileSync(join(tree, file), 'utf8'),
      write: (file, text) => {
        mkdirSync(dirname(join(tree, file)), { recursive: true })
        writeFileSync(join(tree, file), text)
      },
      remove,
    }
  } catch (error) {
    remove()
    throw error
  }
}
