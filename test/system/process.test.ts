// `reconsent start` as operators run it: a real process, its environment, its signals and its exit codes.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest'
import { startSimulator, type Simulator } from '../../src/simulator/start-simulator.ts'
import { keyText } from '../crypto/keys.ts'
import { freePort, until } from '../setup/company.ts'
import { createDatabase } from '../setup/database.ts'

const CLI = join(import.meta.dirname, '../../src/cli.ts')
let simulator: Simulator
const children: ChildProcess[] = []

beforeAll(async () => {
  simulator = await startSimulator({ clientId: 'client', clientSecret: 'client-secret-of-tests', redirectUris: ['http://127.0.0.1:3000/callback'] })
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})
afterAll(async () => simulator.close())

interface Started {
  readonly child: ChildProcess
  readonly url: string
  output(): string
  /** Exit code, or the signal's name. */
  ended(): Promise<number | string>
}

const environment = async (over: Record<string, string | undefined> = {}): Promise<Record<string, string | undefined>> => {
  const port = await freePort()
  return {
    PATH: process.env['PATH'], NODE_ENV: 'test', DATABASE_URL: await createDatabase(), REDIS_URL: inject('redisUrl'),
    TRUELAYER_AUTH_URL: simulator.url, TRUELAYER_API_URL: simulator.url, TRUELAYER_CLIENT_ID: 'client', TRUELAYER_CLIENT_SECRET: 'client-secret-of-tests',
    PUBLIC_URL: `http://127.0.0.1:${port}`, HOST: '127.0.0.1', PORT: String(port), ENCRYPTION_KEYS: `k1:${keyText('k1')}`,
    SMTP_URL: simulator.smtpUrl, MAIL_FROM: 'consents@example.com', ...over,
  }
}

const start = (env: Record<string, string | undefined>, ...args: string[]): Started => {
  const child = spawn(process.execPath, [CLI, 'start', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const exit = once(child, 'close') as Promise<[number | null, string | null]>
  return {
    child, url: env['PUBLIC_URL'] ?? '', output: () => output,
    ended: async () => exit.then(([code, signal]) => code ?? signal ?? -1),
  }
}

const statusOf = async (url: string): Promise<number | undefined> => fetch(url).then(({ status }) => status, () => undefined)
const ready = async (started: Started): Promise<void> => {
  await until('readiness', async () => ((await statusOf(`${started.url}/readyz`)) === 200 ? true : undefined)).catch((error: unknown) => {
    throw new Error(started.output(), { cause: error })
  })
}

test('runs all roles, says it is ready, and on SIGTERM ends with 0 in time', async () => {
  const started = start(await environment())
  await ready(started)
  expect(await statusOf(`${started.url}/livez`)).toBe(200)
  expect(await (await fetch(`${started.url}/metrics`)).text()).toContain('reconsent_sweep_age_seconds')
  const began = Date.now()
  started.child.kill('SIGTERM')
  expect(await started.ended()).toBe(0)
  expect(Date.now() - began).toBeLessThan(25_000)
})

test.each([['web'], ['worker'], ['scheduler']])('the role %s runs alone, with health and metrics', async (role) => {
  const started = start(await environment(), '--roles', role)
  await ready(started)
  started.child.kill('SIGINT')
  expect(await started.ended()).toBe(0)
})

test('on SIGTERM it turns unready before it stops listening', async () => {
  const started = start(await environment())
  await ready(started)
  started.child.kill('SIGTERM')
  const seen: (number | undefined)[] = []
  await until('the listener to close', async () => {
    const status = await statusOf(`${started.url}/readyz`)
    seen.push(status)
    return status === undefined ? true : undefined
  })
  expect(seen).toContain(503)
  expect(await started.ended()).toBe(0)
})

test('a second signal ends it at once', async () => {
  const started = start(await environment())
  await ready(started)
  started.child.kill('SIGTERM')
  started.child.kill('SIGTERM')
  const began = Date.now()
  await started.ended()
  expect(Date.now() - began).toBeLessThan(3_000)
})

test('refuses to start with all problems at once, each by its name, and repeats no secret', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-config-'))
  const policy = join(folder, 'policy.ts')
  await writeFile(policy, `export default { company: { name: 'Brightside' }, laddr: ['-14d'], spread: 'soon' }`)
  const started = start(
    await environment({ DATABASE_URL: undefined, TRUELAYER_CLIENT_SECRET: undefined, ENCRYPTION_KEYS: 'k1:c2hvcnQ=', RECONSENT_CONFIG: policy, OPS_USER: 'me' }),
  )
  expect(await started.ended()).toBe(2)
  for (const named of ['DATABASE_URL', 'TRUELAYER_CLIENT_SECRET', 'ENCRYPTION_KEYS', 'OPS_PASSWORD', 'laddr', 'ladder', 'spread']) {
    expect(started.output()).toContain(named)
  }
  expect(started.output()).not.toContain('c2hvcnQ')
})

test.each([
  ['in production', { NODE_ENV: 'production' }],
  ["with TrueLayer's production host", { TRUELAYER_AUTH_URL: undefined, TRUELAYER_API_URL: undefined }],
] as const)('refuses a PUBLIC_URL that is not https %s', async (_, over) => {
  const started = start(await environment(over))
  expect(await started.ended()).toBe(2)
  expect(started.output()).toMatch(/PUBLIC_URL.*https/)
})

test('reads a secret from a file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-secret-'))
  const file = join(folder, 'keys')
  await writeFile(file, `k1:${keyText('k1')}\n`)
  const started = start(await environment({ ENCRYPTION_KEYS: undefined, ENCRYPTION_KEYS_FILE: file }))
  await ready(started)
  started.child.kill('SIGTERM')
  expect(await started.ended()).toBe(0)
})

test('starts while Redis is away, and is not ready without a database', async () => {
  const gone = `redis://127.0.0.1:${await freePort()}`
  const started = start(await environment({ REDIS_URL: gone }))
  await ready(started)
  started.child.kill('SIGTERM')
  expect(await started.ended()).toBe(0)
  const withoutDatabase = start(await environment({ DATABASE_URL: `postgresql://nobody@127.0.0.1:${await freePort()}/none` }))
  await until('an answer', async () => ((await statusOf(`${withoutDatabase.url}/readyz`)) === 503 ? true : undefined))
})
