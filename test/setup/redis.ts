// A real Redis for tests: TEST_REDIS_URL, else a server from the PATH on a free port, else (root on Debian or Ubuntu) one from apt.
// Never skips: without any of them the run ends with one line that says what to install.
import { execFile, spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { freePort } from './free-port.ts'

export interface TestRedis {
  /** `redis://127.0.0.1:<port>`. */
  readonly url: string
  /** Ends the server and removes its data; does nothing to a server that was given by TEST_REDIS_URL. */
  stop(): Promise<void>
}

/** A server of the test's own, which it may stop, start again on the same port and data, and freeze. */
export interface OwnRedis extends TestRedis {
  /** Kills the server as a crash would. */
  kill(): Promise<void>
  /** Starts it again on the same port with the data its append-only file kept. */
  start(): Promise<void>
}

const INSTALL = 'no Redis for the tests: install redis-server (Debian: apt-get install redis-server; macOS: brew install redis) or set TEST_REDIS_URL'
const run = promisify(execFile)

const findOnPath = (): string | undefined => {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/usr/local/bin', '/opt/homebrew/bin']
  for (const folder of folders) {
    for (const name of ['redis-server', 'valkey-server']) {
      if (folder !== '' && existsSync(join(folder, name))) return join(folder, name)
    }
  }
  return undefined
}

const mayInstall = (): boolean => process.getuid?.() === 0 && spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).status === 0

const installByApt = async (): Promise<string> => {
  console.log('No redis-server found: installing Debian package redis-server by apt-get for the tests.')
  // RUNLEVEL=1 keeps the package from starting a service of its own.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  try {
    await run('apt-get', ['update', '-qq'], { env })
    await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'redis-server'], { env })
  } catch {
    throw new Error(`${INSTALL} (apt-get could not install it)`)
  }
  const binary = findOnPath()
  if (binary === undefined) throw new Error(INSTALL)
  return binary
}

const findBinary = async (): Promise<string> => {
  const found = findOnPath()
  if (found !== undefined) return found
  if (!mayInstall()) throw new Error(INSTALL)
  return installByApt()
}

/** Resolves when the server answers, i.e. also after it has loaded its data. */
const untilAnswering = async (url: string, server: ChildProcess): Promise<void> => {
  const client = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null })
  client.on('error', () => undefined)
  const died = once(server, 'exit').then(() => Promise.reject(new Error('redis-server ended at once')))
  try {
    await Promise.race([client.ping(), died])
  } finally {
    client.disconnect()
  }
}

/** Starts a server of this test's own, whatever TEST_REDIS_URL says: for tests that stop and start it. */
export const startOwnRedis = async (): Promise<OwnRedis> => {
  const [binary, port, folder] = await Promise.all([findBinary(), freePort(), mkdtemp(join(tmpdir(), 'reconsent-redis-'))])
  const url = `redis://127.0.0.1:${port}`
  const settings = { port, bind: '127.0.0.1', dir: folder, appendonly: 'yes', appendfsync: 'always', 'maxmemory-policy': 'noeviction' }
  let server: ChildProcess | undefined
  // A run that is interrupted must leave no server behind.
  process.once('exit', () => server?.kill('SIGKILL'))

  const start = async (): Promise<void> => {
    const options = Object.entries({ ...settings, save: '', daemonize: 'no' }).flatMap(([name, value]) => [`--${name}`, String(value)])
    server = spawn(binary, options, { stdio: 'ignore' })
    await untilAnswering(url, server)
  }
  const kill = async (): Promise<void> => {
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return
    const ended = once(server, 'exit')
    server.kill('SIGKILL')
    await ended
  }
  const stop = async (): Promise<void> => {
    await kill()
    await rm(folder, { recursive: true, force: true })
  }
  await start()
  return { url, start, kill, stop }
}

/** The Redis of a whole run; see the top of this file for where it comes from. */
export const startRedis = async (): Promise<TestRedis> => {
  const given = process.env['TEST_REDIS_URL']
  if (given !== undefined && given !== '') return { url: given, stop: async () => undefined }
  return startOwnRedis()
}
