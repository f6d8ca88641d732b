// Runs the command line with its own environment: as a real child process or, where a test runs many commands, in this
// process.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { runCommand } from '../../src/commands/run.ts'
import type { Terminal } from '../../src/commands/terminal.ts'
import { keyText } from '../crypto/keys.ts'

export const cli = fileURLToPath(new URL('../../src/cli.ts', import.meta.url))

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly input?: string
  readonly cwd?: string
  /** The command line of another release. */
  readonly cli?: string
}

/**
 * The environment that a command needs for this database. Of the test's own environment only PATH and HOME reach the
 * command.
 */
export const environmentFor = (databaseUrl: string): Record<string, string> => ({
  DATABASE_URL: databaseUrl,
  ENCRYPTION_KEYS: `k1:${keyText('k1')}`,
  TRUELAYER_AUTH_URL: 'http://127.0.0.1:9',
  TRUELAYER_API_URL: 'http://127.0.0.1:9',
})

export const start = (args: readonly string[], { env = {}, cwd, cli: program = cli }: RunOptions = {}) =>
  spawn(process.execPath, [program, ...args], {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env } as NodeJS.ProcessEnv,
    ...(cwd === undefined ? {} : { cwd }),
  })

export const run = async (args: readonly string[], options: RunOptions = {}): Promise<Ran> => {
  const child = start(args, options)
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input ?? '')
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, stdout, stderr }
}

/** A terminal that keeps what is written to it. */
export const keepingTerminal = () => {
  const kept = { stdout: '', stderr: '' }
  const write = async (text: string): Promise<void> => void (kept.stdout += text)
  const terminal: Terminal = {
    write,
    line: async (text) => write(`${text}\n`),
    json: async (value) => write(`${JSON.stringify(value, null, 2)}\n`),
    note: (text) => void (kept.stderr += `${text}\n`),
  }
  return { terminal, kept }
}

/**
 * Runs the same command in this process, which starts it a hundred times faster. Two such runs must not overlap,
 * because they share the process's environment.
 */
export const runHere = async (
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<Ran> => {
  const before = { ...process.env }
  const { terminal, kept } = keepingTerminal()
  try {
    process.env = { PATH: before['PATH'], ...env } as NodeJS.ProcessEnv
    const code = await runCommand(args, terminal)
    return { code, ...kept }
  } finally {
    process.env = before
  }
}
