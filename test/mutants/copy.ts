// A copy of the project in a temporary folder, in which mutants may live: the sources as git knows them, the packages
// by a link.
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
  /** The copy's root: tests run in it. */
  readonly tree: string
  /** For what the tests write outside it: removed with it. */
  readonly temporary: string
  read(file: string): string
  write(file: string, text: string): void
  remove(): void
}

/** Ignored by git, made by `npm ci`. */
const GENERATED = 'src/generated'

/** Everything git lists or would list, as it is on the disk now; what is deleted and still listed is left out. */
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
    // As root the embedded PostgreSQL runs as another user, whose data lies in here.
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
