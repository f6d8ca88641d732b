// A real PgBouncer in front of a test's PostgreSQL, with Debian's default settings except for those given.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { findProgram } from './program.ts'

export interface PgBouncerOptions {
  /** Addresses of one server: PgBouncer admits their users and knows their databases. */
  readonly urls: readonly string[]
  readonly poolMode: 'transaction' | 'session' | 'statement'
  /** Settings of pgbouncer.ini. */
  readonly settings?: Readonly<Record<string, string | number>>
}

export interface PgBouncer {
  readonly port: number
  /** The same address, but through PgBouncer. */
  through(url: string): string
  readonly process: ChildProcess
  stop(): Promise<void>
}

const quoted = (text: string): string => `"${decodeURIComponent(text).replaceAll('"', '""')}"`

/** PgBouncer refuses to run as root; PostgreSQL's own user or the system's nobody will do. */
const identity = (): { uid?: number; gid?: number } => {
  if (process.getuid?.() !== 0) return {}
  const id = (flag: string): number => Number(spawnSync('id', [flag, 'nobody']).stdout.toString())
  return { uid: id('-u'), gid: id('-g') }
}

export const startPgBouncer = async ({ urls, poolMode, settings = {} }: PgBouncerOptions): Promise<PgBouncer> => {
  const binary = await findProgram({ names: ['pgbouncer'], debianPackage: 'pgbouncer', folders: ['/usr/sbin'] })
  const [port, folder] = await Promise.all([freePort(), mkdtemp(join(tmpdir(), 'reconsent-pgbouncer-'))])
  const parsed = urls.map((url) => new URL(url))
  const databases = new Map(
    parsed.map(({ pathname, hostname, port: upstream }) => [
      pathname.slice(1),
      `${pathname.slice(1)} = host=${hostname} port=${upstream}`,
    ]),
  )
  const users = new Map(parsed.map(({ username, password }) => [username, `${quoted(username)} ${quoted(password)}`]))
  const ini = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'scram-sha-256',
    auth_file: join(folder, 'userlist.txt'),
    pool_mode: poolMode,
    ...settings,
  }
  await writeFile(join(folder, 'userlist.txt'), [...users.values(), ''].join('\n'))
  await writeFile(
    join(folder, 'pgbouncer.ini'),
    [
      '[databases]',
      ...databases.values(),
      '[pgbouncer]',
      ...Object.entries(ini).map(([name, value]) => `${name} = ${value}`),
      '',
    ].join('\n'),
  )
  await chmod(folder, 0o755)
  const server = spawn(binary, ['-q', join(folder, 'pgbouncer.ini')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    ...identity(),
  })
  let said = ''
  server.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const ended = once(server, 'exit')
  const kill = (): boolean => server.kill('SIGKILL')
  process.once('exit', kill)
  await untilListening(port, () => (server.exitCode === null ? undefined : said))
  return {
    port,
    process: server,
    through: (url) => {
      const way = new URL(url)
      way.hostname = '127.0.0.1'
      way.port = String(port)
      return way.href
    },
    stop: async () => {
      kill()
      process.off('exit', kill)
      await ended
      await rm(folder, { recursive: true, force: true })
    },
  }
}

const untilListening = async (port: number, hasEnded: () => string | undefined): Promise<void> => {
  for (;;) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true))
      socket.once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (isOpen) return
    const said = hasEnded()
    if (said !== undefined) throw new Error(`pgbouncer ended at once: ${said}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
