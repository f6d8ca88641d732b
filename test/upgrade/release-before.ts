// The release before this one, as a program: its sources are unpacked beside a link to this checkout's packages. Which
// release that is, and how to make the archive anew: README.md.
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const packages = join(import.meta.dirname, '../../node_modules')
const archive = join(import.meta.dirname, 'release-before.tar.gz')

export interface Release {
  /** Its command line. */
  readonly cli: string
  /** Its migrations. */
  readonly migrations: string
  remove(): Promise<void>
}

/** The release of this checkout. */
export const thisRelease: Pick<Release, 'cli'> = { cli: join(import.meta.dirname, '../../src/cli.ts') }

export const unpackReleaseBefore = async (): Promise<Release> => {
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-release-'))
  await execute('tar', ['-xzf', archive, '-C', folder])
  await symlink(packages, join(folder, 'node_modules'))
  // `generate` needs no schema engine; Prisma would try to download one.
  const env = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true', PRISMA_HIDE_UPDATE_MESSAGE: '1' }
  await execute(process.execPath, [join(packages, 'prisma/build/index.js'), 'generate'], { cwd: folder, env })
  return {
    cli: join(folder, 'src/cli.ts'),
    migrations: join(folder, 'prisma/migrations'),
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

export type Environment = Readonly<Record<string, string | undefined>>

export const startProcess = ({ cli }: Pick<Release, 'cli'>, args: readonly string[], env: Environment): Running => {
  const child = spawn(process.execPath, [cli, ...args], { env: { ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
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

/** Runs one command to its end. */
export const runCommand = async (
  { cli }: Pick<Release, 'cli'>,
  args: readonly string[],
  env: Environment,
  input = '',
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> => {
  const child = spawn(process.execPath, [cli, ...args], { env: { ...env } })
  child.stdin.end(input)
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout, stderr }
}
