// The release before this one, as a program: its sources are unpacked beside a link to this checkout's packages. Which
// release that is, and how to make the archive anew: README.md.
import { execFile, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { start } from '../commands/reconsent.ts'

const execute = promisify(execFile)
const packages = join(import.meta.dirname, '../../node_modules')
const archive = join(import.meta.dirname, 'release-before.tar.gz')

export interface Release {
  /** Its command line. */
  readonly cli: string
  remove(): Promise<void>
}

export const unpackReleaseBefore = async (): Promise<Release> => {
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-release-'))
  await execute('tar', ['-xzf', archive, '-C', folder])
  await symlink(packages, join(folder, 'node_modules'))
  // `generate` needs no schema engine; Prisma would try to download one.
  const env = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true', PRISMA_HIDE_UPDATE_MESSAGE: '1' }
  await execute(process.execPath, [join(packages, 'prisma/build/index.js'), 'generate'], { cwd: folder, env })
  return {
    cli: join(folder, 'src/cli.ts'),
    remove: async () => rm(folder, { recursive: true, force: true }),
  }
}

export interface Running {
  readonly child: ChildProcess
  /** Everything that was printed so far. */
  output(): string
  /** Stops the process as a supervisor does; resolves with its exit code. */
  stop(): Promise<number | null>
}

/** Runs all roles of the release with this command line. */
export const startProcess = (cli: string, env: Readonly<Record<string, string>>): Running => {
  const child = start(['start'], { cli, env })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const ended = once(child, 'close') as Promise<[number | null]>
  return {
    child,
    output: () => output,
    stop: async () => {
      child.kill('SIGTERM')
      const [code] = await ended
      return code
    },
  }
}
