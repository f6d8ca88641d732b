// Malformed policies and environments: each is accepted, or refused with problems that have a place and a text; nothing
// else happens.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ConfigError, loadConfig, type Need } from '../../src/config.ts'
import type { PolicyInput } from '../../src/config/define-config.ts'

const RUNS = Number(process.env['FUZZ_POLICIES'] ?? 1_000)
const PLANTED = 'pl4nted'
const EVERYTHING: readonly Need[] = ['database', 'queue', 'provider', 'keys', 'web', 'channels']

const environment: Readonly<Record<string, string>> = {
  DATABASE_URL: 'postgres://u:p@127.0.0.1/db',
  REDIS_URL: 'redis://127.0.0.1',
  TRUELAYER_CLIENT_ID: 'an-id',
  TRUELAYER_CLIENT_SECRET: 'a-client-secret',
  PUBLIC_URL: 'https://renew.example.com',
  HOST: '127.0.0.1',
  PORT: '3000',
  ENCRYPTION_KEYS: `k1:${randomBytes(32).toString('base64')}`,
  SMTP_URL: 'smtps://u:p@mail.example.com',
  MAIL_FROM: 'Brightside <consents@example.com>',
  OPS_USER: 'ops',
  OPS_PASSWORD: 'a-long-password',
  API_KEYS_SHA256: 'a'.repeat(64),
  LOG_LEVEL: 'info',
  NODE_ENV: 'test',
}

const sound: Readonly<Record<string, unknown>> = {
  sweep: { cron: '*/5 * * * *' },
  ladder: ['-14d', '-1d', '0d', '+7d'],
  quietHours: { from: '20:00', to: '08:00' },
  spread: '2h',
  link: { freshFor: '8m' },
  routes: ['reauth', 'full'],
  providers: { GB: { reauth: 'yes' }, 'ob-monzo': { routes: ['full'], validity: '90d', grace: '90d' } },
  afterGrace: 'ask-once',
  limits: { messagesPerHour: 100 },
  company: { name: 'Brightside' },
  sync: { pauseAtMost: 5 },
  board: { allowDestructive: false },
  timing: { lease: '60s', retry: { attempts: 3, firstDelay: '1s' } },
}

/** Undefined when the configuration was accepted. */
const refusal = async (env: Record<string, string>, policy: unknown): Promise<ConfigError | undefined> => {
  try {
    await loadConfig({ env, cwd: folder, needs: EVERYTHING, policy: policy as PolicyInput })
    return undefined
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
}
const expectWords = (error: ConfigError | undefined): void => {
  if (error === undefined) return
  expect(error.problems.length).toBeGreaterThan(0)
  for (const { where, what } of error.problems)
    expect([where.trim() === '', what.trim() === '', /\[object|undefined is not|Cannot read/.test(what)]).toEqual([
      false,
      false,
      false,
    ])
}

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reconsent-fuzz-'))
})
afterAll(async () => rm(folder, { recursive: true }))

const leaf = fc.oneof(
  fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSparseArray: true,
    withNullPrototype: true,
    maxDepth: 2,
  }),
  fc.constantFrom(
    '',
    '90',
    '-1d',
    '1e9d',
    '99999999999999d',
    '+0d',
    '-0d',
    '0',
    'd',
    '* * * * *',
    '* * * * * * *',
    '60 * * * *',
    '0 0 31 2 *',
    '*/0 * * * *',
    '24:00',
    '20:00',
    NaN,
    Infinity,
    -0,
    Number.MAX_VALUE,
    true,
    'Europe/London',
    '\u0000',
    'a\r\nb',
  ),
  fc.string({ maxLength: 30 }),
)
const pathsOf = (value: unknown, at: readonly string[] = []): string[][] =>
  typeof value === 'object' && value !== null
    ? Object.entries(value).flatMap(([key, inner]) => [[...at, key], ...pathsOf(inner, [...at, key])])
    : []
const paths = pathsOf(sound)

const withLeaf = (policy: unknown, path: readonly string[], value: unknown): unknown => {
  const [key, ...rest] = path
  if (key === undefined || typeof policy !== 'object' || policy === null) return value
  const inner = withLeaf((policy as Record<string, unknown>)[key], rest, value)
  return Array.isArray(policy)
    ? policy.map((entry: unknown, index) => (String(index) === key ? inner : entry))
    : { ...policy, [key]: inner }
}
const aPolicy = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .array(fc.tuple(fc.constantFrom(...paths), leaf), { minLength: 1, maxLength: 3 })
      .map((changes) => changes.reduce<unknown>((policy, [path, value]) => withLeaf(policy, path, value), sound)),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(...paths), fc.string({ maxLength: 12 }), leaf)
      .map(([path, name, value]) => withLeaf(sound, [...path.slice(0, -1), name], value)),
  },
  { weight: 1, arbitrary: fc.object() },
)

test(`${RUNS} policies are accepted, or refused with a place and a text`, { timeout: 120_000 }, async () => {
  let refused = 0
  const property = fc.asyncProperty(aPolicy, async (policy) => {
    const error = await refusal(environment, policy)
    expectWords(error)
    refused += error === undefined ? 0 : 1
  })
  await fc.assert(property, { numRuns: RUNS })
  expect(refused).toBeGreaterThan(RUNS / 2)
})

test('the valid one is accepted, so that every refusal above has its cause', async () => {
  expect(await refusal(environment, sound)).toBeUndefined()
})

const aVariable = fc.oneof(
  fc.string({ maxLength: 60 }),
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.constantFrom(
    '',
    ' ',
    PLANTED,
    `postgres://u:${PLANTED}@`,
    `https://${PLANTED}@x`,
    `http://${PLANTED}`,
    `k1:${PLANTED}`,
    'k1:',
    ':',
    'k1:AAAA,k1:AAAA',
    'https://',
    'https://x/y?z#w',
    '[::1]',
    '99999',
    '-1',
    '1e3',
    'smtp://',
    `smtp://${PLANTED}:25000000`,
    'a'.repeat(10_000),
    'trace',
  ),
)

test(
  `${RUNS / 2} environments are accepted, or refused by the variable’s name and never by its value`,
  { timeout: 120_000 },
  async () => {
    const changed = fc.dictionary(fc.constantFrom(...Object.keys(environment)), aVariable, { minKeys: 1, maxKeys: 3 })
    const property = fc.asyncProperty(changed, async (changes) => {
      const error = await refusal({ ...environment, ...changes }, sound)
      expectWords(error)
      expect(error?.message ?? '').not.toContain(PLANTED)
    })
    await fc.assert(property, { numRuns: RUNS / 2 })
  },
)

test('a policy file of any bytes is refused with a text', { timeout: 60_000 }, async () => {
  const file = join(folder, 'policy.json')
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 60 }).map((some) => Buffer.from(some)),
    fc.tuple(fc.nat(400), fc.nat(255)).map(([at, byte]) => {
      const whole = Buffer.from(JSON.stringify(sound))
      whole[at % whole.length] = byte
      return whole
    }),
  )
  const property = fc.asyncProperty(bytes, async (some) => {
    await writeFile(file, some)
    expectWords(await refusal({ ...environment, RECONSENT_CONFIG: file }, undefined))
  })
  await fc.assert(property, { numRuns: 200 })
})
