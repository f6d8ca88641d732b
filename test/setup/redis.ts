// A real Redis for tests: TEST_REDIS_URL, else a server of our own on a free port.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { keepFolder } from '../../src/embedded/keep.ts'
import { freePort } from './free-port.ts'
import { findProgram } from './program.ts'

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

const findBinary = async (): Promise<string> =>
  findProgram({ names: ['redis-server', 'valkey-server'], debianPackage: 'redis-server' })

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
  const keeper = keepFolder(folder)

  const start = async (): Promise<void> => {
    const options = Object.entries({ ...settings, save: '', daemonize: 'no' }).flatMap(([name, value]) => [`--${name}`, String(value)])
    server = spawn(binary, options, { stdio: 'ignore' })
    keeper.watch(server)
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
    keeper.release()
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
