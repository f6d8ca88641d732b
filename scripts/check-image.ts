// Shows without Docker that the Dockerfile works: repeats its steps in an empty folder, checks what is inside, and
// starts the result on an embedded PostgreSQL as a user who may write nothing. Needs npm and its registry; takes about
// a minute.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { chmod, copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startEmbeddedPostgres } from '../simulator/embedded/postgres.ts'
import { buildImage, type Image } from './image/build.ts'
import { readDockerfile, readDockerignore } from './image/dockerfile.ts'
import { type Lock, shippedPackages } from './image/shipped.ts'

const project = fileURLToPath(new URL('..', import.meta.url))
const say = (line: string): void => console.log(line)
const passed = (what: string): void => say(`  ok  ${what}`)

/** The program promises to stop within this time. */
const STOP_WITHIN_MS = 25_000
const READY_WITHIN_MS = 30_000
/**
 * The user `nobody`: neither root nor the owner of the files. Without root's rights the script runs the image as its
 * own user.
 */
const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}

const check = (holds: boolean, what: string): void => {
  if (!holds) throw new Error(`not so: ${what}`)
  passed(what)
}

const freePort = async (): Promise<number> => {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  return port
}

const json = (file: string): unknown => JSON.parse(readFileSync(join(project, file), 'utf8'))

const checkContents = (image: Image): void => {
  const at = (path: string): string => join(image.root, image.workdir, path)
  const lock = json('package-lock.json') as Lock
  const shipped = shippedPackages(lock)
  const strangers = Object.keys(lock.packages).filter(
    (path) => path !== '' && !shipped.has(path) && existsSync(at(path)),
  )
  check(strangers.length === 0, `no development package is inside${strangers.map((path) => ` (${path})`).join('')}`)
  check(readdirSync(at('src')).includes('cli.ts'), 'the sources are inside')
  const left = ['simulator', 'test', 'scripts', 'bench', 'docs', '.git', '.env'].filter((path) => existsSync(at(path)))
  check(
    left.length === 0,
    `nothing of the demo, the tests or the tools is inside${left.map((path) => ` (${path})`).join('')}`,
  )
  const { devDependencies } = json('package.json') as { devDependencies: Record<string, string> }
  check(
    image.base.startsWith(`node:${devDependencies['node']}-`),
    `the base image (${image.base}) has the Node of package.json`,
  )
  check(image.user !== undefined && image.user !== 'root', `it runs as ${image.user ?? 'root'}, not as root`)
}

interface Ended {
  readonly code: number | null
  readonly output: string
}

const starter = (image: Image, node: string) => {
  const cwd = join(image.root, image.workdir)
  return (words: readonly string[], env: Readonly<Record<string, string>>) => {
    const [command = '', ...rest] = words
    const program = command === 'node' ? node : command
    const child = spawn(program, rest, {
      cwd,
      env: { PATH: '/usr/bin:/bin', HOME: '/nonexistent', ...image.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...user,
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const ended = once(child, 'close').then(([code]): Ended => ({ code: code as number | null, output }))
    return { child, ended, output: () => output }
  }
}
type Start = ReturnType<typeof starter>

const checkCommand = async (
  start: Start,
  words: readonly string[],
  env: Record<string, string>,
  expected: number,
): Promise<string> => {
  const { code, output } = await start(words, env).ended
  if (code !== expected)
    throw new Error(`${words.join(' ')} ended with ${code ?? 'a signal'} instead of ${expected}:\n${output}`)
  passed(`${words.slice(2).join(' ')} exits with ${expected}`)
  return output
}

const checkService = async (image: Image, start: Start, env: Readonly<Record<string, string>>): Promise<void> => {
  const words = [...image.entrypoint, ...image.command]
  const service = start(words, env)
  try {
    const gone = service.ended.then(({ code, output }) =>
      Promise.reject(new Error(`${words.join(' ')} ended with ${code ?? 'a signal'}:\n${output}`)),
    )
    const answers = async (path: string): Promise<void> => {
      const until = Date.now() + READY_WITHIN_MS
      for (;;) {
        const status = await fetch(`http://127.0.0.1:${env['PORT']}${path}`).then(
          (answer) => answer.status,
          () => 0,
        )
        if (status === 200) return passed(`${path} answers 200`)
        // Nothing listens yet, or not everything is ready: both end by themselves. Any other status is final.
        if (![0, 503].includes(status) || Date.now() > until)
          throw new Error(`${path} answers ${status}:\n${service.output()}`)
        await delay(100)
      }
    }
    await Promise.race([
      gone,
      (async () => {
        await answers('/livez')
        await answers('/readyz')
      })(),
    ])
    const health = await start(image.health, env).ended
    check(health.code === 0, 'the health check of the image says healthy')
    const started = performance.now()
    gone.catch(() => undefined)
    service.child.kill(image.stopSignal === 'SIGTERM' ? 'SIGTERM' : 'SIGKILL')
    const late = new AbortController()
    const stopped = await Promise.race([service.ended, delay(STOP_WITHIN_MS, undefined, { signal: late.signal })])
    late.abort()
    if (stopped?.code !== 0)
      throw new Error(
        `after SIGTERM it ${stopped === undefined ? 'went on' : `ended with ${stopped.code ?? 'a signal'}`}:\n` +
          service.output(),
      )
    passed(`SIGTERM stops it, exit code 0, after ${((performance.now() - started) / 1000).toFixed(1)} s`)
    check((await start(image.health, env).ended).code !== 0, 'the health check of a stopped one says unhealthy')
  } finally {
    service.child.kill('SIGKILL')
  }
}

const checkStart = async (image: Image, node: string): Promise<void> => {
  const start = starter(image, node)
  const command = (...words: string[]): string[] => [...image.entrypoint, ...words]
  check((await checkCommand(start, command('--help'), {}, 0)).includes('migrate'), 'the help names the commands')
  await checkCommand(start, command('start'), {}, 2)
  for (const name of ['demo', 'simulator']) {
    const output = await checkCommand(start, command(name), {}, 2)
    check(
      output.includes('development packages') && !output.includes('    at '),
      `${name} says that it needs a development installation`,
    )
  }
  const database = await startEmbeddedPostgres()
  try {
    await checkCommand(start, command('migrate'), { DATABASE_URL: database.url }, 0)
    await checkService(image, start, {
      DATABASE_URL: database.url,
      QUEUE: 'postgres',
      TRUELAYER_CLIENT_ID: 'image-check',
      TRUELAYER_CLIENT_SECRET: randomBytes(16).toString('hex'),
      PUBLIC_URL: 'https://consents.example.com',
      HOST: '127.0.0.1',
      PORT: String(await freePort()),
      ENCRYPTION_KEYS: `k1:${randomBytes(32).toString('base64')}`,
      SMTP_URL: 'smtp://127.0.0.1:25',
      MAIL_FROM: 'Example Company <consents@example.com>',
    })
  } finally {
    await database.stop()
  }
}

/**
 * Variables that `npm run`, a test runner or a developer sets for this checkout, and that are wrong for another one.
 */
const OF_THIS_CHECKOUT = [
  /^npm_(?:package|lifecycle|command|execpath|node_execpath)/i,
  /^npm_config_(?:local_prefix|global_prefix|prefix|omit|include|production)/i,
  /^(?:INIT_CWD|NODE|NODE_ENV|NODE_OPTIONS|PRISMA_.*)$/i,
]

/**
 * The environment for RUN: keeps how to reach the registry, and makes the Node that runs this script the Node of the
 * image.
 */
const buildEnvironment = (): Record<string, string | undefined> => {
  const kept = Object.entries(process.env).filter(([name]) => !OF_THIS_CHECKOUT.some((pattern) => pattern.test(name)))
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((each) => !each.endsWith('node_modules/.bin'))
  return { ...Object.fromEntries(kept), PATH: [dirname(process.execPath), ...path].join(delimiter) }
}

const folder = await mkdtemp(join(tmpdir(), 'reconsent-image-'))
const started = performance.now()
try {
  await chmod(folder, 0o755)
  // This script's own Node may be where another user cannot reach it.
  const node = join(folder, 'bin', 'node')
  await mkdir(dirname(node))
  await copyFile(process.execPath, node)
  await chmod(node, 0o755)
  const image = await buildImage({
    instructions: readDockerfile(readFileSync(join(project, 'Dockerfile'), 'utf8')),
    context: project,
    isIgnored: readDockerignore(readFileSync(join(project, '.dockerignore'), 'utf8')),
    into: join(folder, 'stages'),
    env: buildEnvironment(),
    say,
  })
  checkContents(image)
  await checkStart(image, node)
  say(`the image works (${((performance.now() - started) / 1000).toFixed(0)} s)`)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  await rm(folder, { recursive: true, force: true, maxRetries: 3 })
}
