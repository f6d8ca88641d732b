// A real Redis for tests: from TEST_REDIS_URL, else our own server on a free port.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'
import { keepFolder } from '../../simulator/embedded/keep.ts'
import { freePort } from './free-port.ts'
import { findProgram } from './program.ts'

export interface TestRedis {
  /** `redis://127.0.0.1:<port>`. */
  readonly url: string
  /** Ends the server and removes its data; does nothing to the server that TEST_REDIS_URL names. */
  stop(): Promise<void>
}

/** A server for one test, which may stop it, start it again on the same port and data, and freeze it. */
export interface OwnRedis extends TestRedis {
  /** Kills the server as a crash would. */
  kill(): Promise<void>
  /** Starts the server again on the same port with the data of its append-only file. */
  start(): Promise<void>
}

const findBinary = async (): Promise<string> =>
  findProgram({ names: ['redis-server', 'valkey-server'], debianPackage: 'redis-server' })

/** Resolves when the server answers commands, that is, after it has loaded its data. */
const untilAnswering = async (options: Entrance, server: ChildProcess): Promise<void> => {
  const client = new Redis({ ...options, retryStrategy: () => 20, maxRetriesPerRequest: null })
  client.on('error', () => undefined)
  const died = once(server, 'exit').then(() => Promise.reject(new Error('redis-server ended at once')))
  try {
    await Promise.race([client.ping(), died])
  } finally {
    client.disconnect()
  }
}

type Login = Pick<RedisOptions, 'username' | 'password' | 'tls'>
type Entrance = Login & { readonly host: string; readonly port: number }

export interface ServerOptions {
  /** Settings of redis.conf; several values of one setting are given as an array. */
  readonly settings?: Readonly<Record<string, string | number | readonly string[]>>
  /** Whether the server is a sentinel, which writes its own configuration file. */
  readonly sentinel?: boolean
  /** The login of the test's own connections, in addition to host and port. */
  readonly login?: Login
  /** Files that are put into the server's folder before it starts. */
  readonly files?: Readonly<Record<string, string>>
  readonly port?: number
}

export interface RedisServer extends OwnRedis {
  readonly port: number
  readonly folder: string
  /** Runs `work` on a connection of the test's own. */
  ask<T>(work: (client: Redis) => Promise<T>): Promise<T>
  /** The server stops answering, without closing its connections, until the returned function is called. */
  freeze(): () => void
}

/** A single server on a free port, with the given settings. */
export const startRedisServer = async ({
  settings = {},
  sentinel = false,
  login = {},
  files = {},
  port: given,
}: ServerOptions = {}): Promise<RedisServer> => {
  const [binary, port, folder] = await Promise.all([
    findBinary(),
    given ?? freePort(),
    mkdtemp(join(tmpdir(), 'reconsent-redis-')),
  ])
  const ours = {
    port,
    bind: '127.0.0.1',
    dir: folder,
    ...(sentinel ? {} : { appendonly: 'yes', appendfsync: 'always', 'maxmemory-policy': 'noeviction', save: '""' }),
  }
  const lines = Object.entries({ ...ours, daemonize: 'no', ...settings }).flatMap(([name, value]) =>
    [value].flat().map((one) => `${name} ${one}`),
  )
  const config = join(folder, 'redis.conf')
  await Promise.all(
    Object.entries({ ...files, 'redis.conf': `${lines.join('\n')}\n` }).map(async ([name, text]) =>
      writeFile(join(folder, name), text),
    ),
  )
  const options: Entrance = { host: '127.0.0.1', port, ...login }
  let server: ChildProcess | undefined
  // An interrupted run must leave no server behind.
  const keeper = keepFolder(folder)

  const start = async (): Promise<void> => {
    server = spawn(binary, [config, ...(sentinel ? ['--sentinel'] : [])], { stdio: 'ignore' })
    keeper.watch(server)
    await untilAnswering(options, server)
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
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    folder,
    start,
    kill,
    stop,
    ask: async (work) => {
      const client = new Redis(options)
      client.on('error', () => undefined)
      try {
        return await work(client)
      } finally {
        client.disconnect()
      }
    },
    freeze: () => {
      const frozen = server
      frozen?.kill('SIGSTOP')
      return () => void frozen?.kill('SIGCONT')
    },
  }
}

/** Starts a server for this test alone, whatever TEST_REDIS_URL says: for tests that stop and start it. */
export const startOwnRedis = async (): Promise<OwnRedis> => startRedisServer()

/** The Redis of the whole test run; the top of this file says where it comes from. */
export const startRedis = async (): Promise<TestRedis> => {
  const given = process.env['TEST_REDIS_URL']
  if (given !== undefined && given !== '') return { url: given, stop: async () => undefined }
  return startOwnRedis()
}
