// A PostgreSQL cluster from Debian's programs, which include pg_dump and pg_restore of the same version: for dumps,
// replication and other tests with more than one server. A new cluster starts its transaction numbers from the
// beginning.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdtemp, readdir, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { freePort } from './free-port.ts'
import { findProgram } from './program.ts'

const run = promisify(execFile)
const VERSIONS = '/usr/lib/postgresql'

/** The folder of initdb, postgres, pg_dump, pg_restore and psql, all of one version. */
export const debianPrograms = async (): Promise<string> => {
  const versions = await readdir(VERSIONS).catch(() => [])
  const folders = versions.toSorted((a, b) => Number(b) - Number(a)).map((version) => join(VERSIONS, version, 'bin'))
  // The version is not known before the package is installed.
  const initdb = await findProgram({ names: ['initdb'], debianPackage: 'postgresql', folders }).catch(
    async (error: unknown) => {
      const [now] = await readdir(VERSIONS).catch(() => [])
      if (now === undefined) throw error
      return join(VERSIONS, now, 'bin', 'initdb')
    },
  )
  // The path may hold a link to the program; the other programs are in the folder of the link's target.
  return dirname(await realpath(initdb))
}

export interface Cluster {
  /** The owner's address of an existing database. */
  urlOf(database: string): string
  stop(): Promise<void>
}

/** PostgreSQL does not run as root; Debian's package creates the user `postgres`. */
const userForServer = async (): Promise<{ uid?: number; gid?: number }> => {
  if (process.getuid?.() !== 0) return {}
  const [uid, gid] = await Promise.all(
    ['-u', '-g'].map(async (flag) => Number((await run('id', [flag, 'postgres'])).stdout)),
  )
  return { ...(uid !== undefined && { uid }), ...(gid !== undefined && { gid }) }
}

/** Logical replication is on, durability off. `settings` are options of postgresql.conf. */
export const startCluster = async (settings: Readonly<Record<string, string>> = {}): Promise<Cluster> => {
  const programs = await debianPrograms()
  const user = await userForServer()
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-cluster-'))
  await chmod(folder, 0o755)
  if (user.uid !== undefined && user.gid !== undefined) await chown(folder, user.uid, user.gid)
  const data = join(folder, 'data')
  await run(
    join(programs, 'initdb'),
    ['--pgdata', data, '--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'],
    { ...user, cwd: folder },
  )
  const port = await freePort()
  const all = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    port: String(port),
    wal_level: 'logical',
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    ...settings,
  }
  const server = spawn(
    join(programs, 'postgres'),
    ['-D', data, ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    {
      ...user,
      cwd: folder,
      stdio: 'ignore',
    },
  )
  const urlOf = (database: string): string => `postgresql://postgres@127.0.0.1:${port}/${database}`
  const stop = async (): Promise<void> => {
    await end(server)
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    await isUp(urlOf('postgres'), server)
  } catch (error) {
    await stop()
    throw error
  }
  return { urlOf, stop }
}

const end = async (server: ChildProcess): Promise<void> => {
  if (server.exitCode !== null || server.signalCode !== null) return
  const ended = once(server, 'exit')
  // SIGINT is the fast shutdown: PostgreSQL ends the connections.
  server.kill('SIGINT')
  await ended
}

const isUp = async (url: string, server: ChildProcess): Promise<void> => {
  for (let tries = 0; ; tries += 1) {
    const client = new pg.Client({ connectionString: url })
    try {
      await client.connect()
      await client.end()
      return
    } catch (error) {
      if (tries === 300 || server.exitCode !== null) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}
