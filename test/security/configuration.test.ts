// Reconsent fails closed: a variable that is missing where it is needed, or that has a value nobody can have meant,
// keeps the program from starting. The last test fails when a new variable has no row here.
import { describe, expect, test } from 'vitest'
import { ConfigError, loadConfig } from '../../src/config.ts'
import type { Problem } from '../../src/config/problems.ts'
import { type VariableName, variables } from '../../src/config/variables.ts'
import { run } from '../commands/reconsent.ts'
import { soundEnv } from '../config/environment.ts'

type Env = Readonly<Record<string, string | undefined>>

/** Undefined when the program would start. */
const problemsOf = async (env: Env): Promise<readonly Problem[] | undefined> => {
  try {
    await loadConfig({
      env,
      cwd: '/',
      needs: ['database', 'queue', 'provider', 'keys', 'web', 'channels'],
      policy: { company: { name: 'Brightside' } },
    })
    return undefined
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

/** The variables that the reported problems name. */
const refusedFor = async (env: Env): Promise<string[] | undefined> => (await problemsOf(env))?.map(({ where }) => where)

const operator = { OPS_USER: 'ops', OPS_PASSWORD: 'a long password' }

/** What happens without the variable: `refused`, or what takes its place and why that is safe. */
const missing: Record<VariableName, 'refused' | string> = {
  DATABASE_URL: 'refused',
  REDIS_URL: 'refused',
  TRUELAYER_CLIENT_ID: 'refused',
  TRUELAYER_CLIENT_SECRET: 'refused',
  PUBLIC_URL: 'refused',
  ENCRYPTION_KEYS: 'refused',
  SMTP_URL: 'refused',
  MAIL_FROM: 'refused',
  OPS_USER: 'refused',
  OPS_PASSWORD: 'refused',
  // One host without the other is refused: sandbox and production are never mixed.
  TRUELAYER_AUTH_URL: 'refused',
  TRUELAYER_API_URL: 'refused',
  QUEUE: 'redis, which needs REDIS_URL',
  MIGRATE_DATABASE_URL: 'the same role as DATABASE_URL',
  API_KEYS_SHA256: 'nobody may use the API',
  TRUSTED_PROXIES: 'nobody is believed about whose address it is',
  HTTPS_PROXY: 'the provider is reached directly',
  https_proxy: 'HTTPS_PROXY',
  NO_PROXY: 'the provider is reached through the proxy, if there is one',
  no_proxy: 'NO_PROXY',
  HOST: 'every address of the machine',
  PORT: '3000',
  LOG_LEVEL: 'info',
  NODE_ENV: 'development, which weakens nothing at the production host',
  RECONSENT_CONFIG: 'worker.config.ts, or the defaults',
}

const malformed: Record<VariableName, readonly string[]> = {
  DATABASE_URL: ['x', 'mysql://h/d', 'postgres:///d', 'postgres://u:a#b@h/d', 'postgres://u:%zz@h/d', '\u0000'],
  MIGRATE_DATABASE_URL: ['x', 'http://h'],
  QUEUE: ['rabbit', 'REDIS', 'redis,postgres'],
  REDIS_URL: ['x', 'http://h', 'redis://'],
  TRUELAYER_AUTH_URL: [
    'x',
    'http://auth.truelayer-sandbox.com',
    'https://auth.truelayer.com',
    'ftp://h',
    'https://u:p@auth.truelayer-sandbox.com',
  ],
  TRUELAYER_API_URL: [
    'x',
    'http://api.truelayer-sandbox.com',
    'https://api.truelayer.com',
    'https://elsewhere.example',
  ],
  TRUELAYER_CLIENT_ID: ['not-of-the-sandbox', 'two\nlines'],
  TRUELAYER_CLIENT_SECRET: ['two\nlines', 'x'.repeat(70_000)],
  PUBLIC_URL: [
    'x',
    'https://h/path',
    'ftp://h',
    'https://u:p@h',
    'https://h/?a=b',
    'https://h/#a',
    'javascript:alert(1)',
  ],
  HOST: ['a:1', 'a b', '::x', 'https://h'],
  PORT: ['x', '-1', '65536', '3000a', '1e3', '0x10', '30 00'],
  ENCRYPTION_KEYS: [
    'x',
    'k1:',
    'k1:AAAA',
    ':AAAA',
    `k1:${Buffer.alloc(32).toString('base64')}`,
    `${soundEnv.ENCRYPTION_KEYS},k1:AAAA`,
    `${soundEnv.ENCRYPTION_KEYS},${soundEnv.ENCRYPTION_KEYS}`,
  ],
  SMTP_URL: ['x', 'http://h', 'smtp://'],
  MAIL_FROM: ['x', 'a@b, c@d', 'a@b\r\nBcc: c@d', '<>'],
  OPS_USER: ['a:b'],
  OPS_PASSWORD: ['short', 'eleven char'],
  API_KEYS_SHA256: [
    'x',
    'a'.repeat(63),
    `${'a'.repeat(64)},`,
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  ],
  TRUSTED_PROXIES: [
    'x',
    'lb.internal',
    'true',
    '*',
    '1',
    '10.0.0.0/0',
    '::/0',
    '10.0.0.0/33',
    '10.0.0.0/x',
    '10.0.0.0/',
    '10.0.0/8',
    '10.0.0.1:80',
    '10.0.0.0/255.0.0.0',
    'fe80::1%eth0',
    'loopback,x',
    'Loopback',
    ',',
  ],
  HTTPS_PROXY: [
    'x',
    'proxy:3128',
    'socks5://h:1080',
    'http://',
    'http://h:0x1',
    'http://h:99999',
    'http://u:p#w@h',
    'http://u:p@h:3128/path',
    'http://u:%zz@h',
    'http:h:3128',
    'http://h/?a=b',
  ],
  https_proxy: ['x', 'socks5://h:1080'],
  NO_PROXY: [],
  no_proxy: [],
  LOG_LEVEL: ['verbose', 'INFO', '0'],
  NODE_ENV: ['prod', 'Production', 'production '.repeat(2)],
  RECONSENT_CONFIG: [],
}

describe('missing', () => {
  /** When two hosts contradict each other, the problem belongs to the second one and its text names the first. */
  const namedIn = (problem: Problem, name: string): boolean =>
    problem.where === name ||
    (name === 'TRUELAYER_AUTH_URL' &&
      problem.where === 'TRUELAYER_API_URL' &&
      /\bTRUELAYER_AUTH_URL is\b/.test(problem.what))
  const expectNamed = (problems: readonly Problem[] | undefined, name: string): void =>
    expect(problems?.find((problem) => namedIn(problem, name))).toBeDefined()

  test.each(Object.entries(missing))('%s: %s', async (name, standsIn) => {
    const problems = await problemsOf({ ...soundEnv, ...operator, [name]: undefined })
    if (standsIn === 'refused') expectNamed(problems, name)
    else expect(problems).toBeUndefined()
  })

  const needed = (Object.keys(missing) as VariableName[]).filter((name) => missing[name] === 'refused')
  test.each(needed)('%s, blank or from a file that is not there', async (name) => {
    expectNamed(await problemsOf({ ...soundEnv, ...operator, [name]: '  ' }), name)
    if (!variables[name].secret) return
    expect(
      await refusedFor({ ...soundEnv, ...operator, [name]: undefined, [`${name}_FILE`]: '/no/such/file' }),
    ).toContain(`${name}_FILE`)
  })
})

describe('malformed', () => {
  const rows = Object.entries(malformed).flatMap(([name, values]) => values.map((value) => [name, value] as const))
  test.each(rows)('%s=%j', async (name, value) => {
    const refused = await refusedFor({ ...soundEnv, ...operator, [name]: value })
    // When two variables contradict each other, the problem may name the other one.
    const named = /^TRUELAYER_(?:AUTH|API)_URL$/.test(name) ? /^TRUELAYER_/ : new RegExp(`^${name}$`)
    expect(refused?.some((where) => named.test(where))).toBe(true)
  })
})

describe('the board and the API', () => {
  test('are closed, not open, without their secrets', async () => {
    const config = await loadConfig({
      env: soundEnv,
      cwd: '/',
      needs: ['web'],
      policy: { company: { name: 'Brightside' } },
    })
    expect([config.web.ops, config.web.apiKeyHashes]).toEqual([undefined, []])
  })
})

describe('the program', () => {
  test('ends with 2 and listens nowhere, naming the variable and not its value', { timeout: 60_000 }, async () => {
    const ended = await run(['start'], {
      env: { ...soundEnv, ENCRYPTION_KEYS: 'k1:pl4nted', PORT: '0' },
      input: '',
      cwd: '/',
    })
    expect(ended.code).toBe(2)
    expect(ended.stderr).toContain('ENCRYPTION_KEYS')
    expect(ended.stdout + ended.stderr).not.toContain('pl4nted')
  })
})

test('every variable has a row in both tables', () => {
  for (const table of [missing, malformed])
    expect(Object.keys(table).toSorted()).toEqual(Object.keys(variables).toSorted())
})
