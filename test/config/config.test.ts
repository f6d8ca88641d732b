// The whole configuration: what a valid one becomes, and that an invalid one is refused with all of its mistakes at
// once.
import { symlinkSync } from 'node:fs'
import { inspect } from 'node:util'
import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ConfigError, loadConfig, requiresHttps } from '../../src/config.ts'
import type { Config, ConfigRequest, Need } from '../../src/config.ts'
import { variables } from '../../src/config/variables.ts'
import { channelNames } from '../../src/domain/channels.ts'
import { keyText } from '../crypto/keys.ts'
import { aDirectory, soundEnv } from './environment.ts'

const everything = ['database', 'queue', 'provider', 'keys', 'web', 'channels'] as const
/** With every channel, so that the variables of each are read. */
const company = { company: { name: 'Company' }, channels: channelNames() }
type Env = Readonly<Record<string, string | undefined>>

const load = (env: Env, request: Partial<ConfigRequest<Need>> = {}, cwd = '/nowhere'): Promise<Config> =>
  loadConfig({ env, cwd, needs: everything, policy: company, ...request })

const problemsOf = async (
  env: Env,
  request: Partial<ConfigRequest<Need>> = {},
  cwd = '/nowhere',
): Promise<string[]> => {
  try {
    await load(env, request, cwd)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ where, what }) => `${where}: ${what}`)
  }
  return []
}

const placesOf = async (env: Env, request: Partial<ConfigRequest<Need>> = {}): Promise<(string | undefined)[]> =>
  (await problemsOf(env, request)).map((problem) => problem.split(':')[0])

describe('a sound environment', () => {
  test('becomes one configuration', async () => {
    const config = await load({
      ...soundEnv,
      OPS_USER: 'ops',
      OPS_PASSWORD: 'a long password',
      API_KEYS_SHA256: ` ${'AB'.repeat(32)},${'0'.repeat(64)}`,
    })
    expect(config).toMatchObject({
      nodeEnv: 'development',
      logLevel: 'info',
      httpsOnly: false,
      warnings: [],
      queue: { kind: 'redis' },
      provider: {
        authUrl: 'https://auth.truelayer-sandbox.com',
        apiUrl: 'https://api.truelayer-sandbox.com',
        clientId: 'sandbox-example-1',
      },
      web: {
        publicUrl: 'https://consents.example.com',
        host: '0.0.0.0',
        port: 3000,
        ops: { user: 'ops' },
        apiKeyHashes: ['ab'.repeat(32), '0'.repeat(64)],
      },
      channels: { email: { from: 'Company <consents@example.com>' } },
    })
    expect(config.database.url.reveal()).toBe(soundEnv.DATABASE_URL)
    expect(config.database.migrateUrl.reveal()).toBe(soundEnv.DATABASE_URL)
    expect(config.queue.url.reveal()).toBe(soundEnv.REDIS_URL)
    expect(config.provider.clientSecret.reveal()).toBe(soundEnv.TRUELAYER_CLIENT_SECRET)
    expect(config.channels.email?.url.reveal()).toBe(soundEnv.SMTP_URL)
    expect(config.web.ops?.password.reveal()).toBe('a long password')
    expect(config.keys.current.id).toBe('k2')
    expect(config.policy.company.name).toBe('Company')
    expect(config.timing.pageSize).toBe(500)
  })

  test('is frozen at every level', async () => {
    const config = await load(soundEnv)
    const parts = [
      config,
      config.policy,
      config.policy.ladder,
      config.policy.ladder[0],
      config.timing.retry,
      config.web,
      config.keys.all,
      config.policy.providers,
    ]
    for (const part of parts) expect(Object.isFrozen(part)).toBe(true)
  })

  test('shows no secret when printed', async () => {
    const config = await load(soundEnv)
    const printed = inspect(config, { depth: 9, showHidden: true }) + JSON.stringify(config)
    for (const secret of [
      'p%40ss',
      'redis.internal',
      'the client secret',
      keyText('k1'),
      keyText('k2'),
      'user:password',
    ])
      expect(printed).not.toContain(secret)
  })

  test('of TrueLayer production is the default', async () => {
    const { TRUELAYER_AUTH_URL: _, TRUELAYER_API_URL: __, ...rest } = soundEnv
    const config = await load({ ...rest, TRUELAYER_CLIENT_ID: 'example-1' })
    expect(config.provider).toMatchObject({
      authUrl: 'https://auth.truelayer.com',
      apiUrl: 'https://api.truelayer.com',
    })
    expect(requiresHttps(config)).toBe(true)
  })

  test('may put the queue on the database, and migrate as another role', async () => {
    const config = await load({
      ...soundEnv,
      REDIS_URL: '',
      QUEUE: 'postgres',
      MIGRATE_DATABASE_URL: 'postgresql://owner@db/reconsent',
    })
    expect([config.queue.kind, config.queue.url.reveal()]).toEqual(['postgres', soundEnv.DATABASE_URL])
    expect(config.database.migrateUrl.reveal()).toBe('postgresql://owner@db/reconsent')
  })

  test('may point at a simulator, and keep a path in an address', async () => {
    const config = await load({
      ...soundEnv,
      TRUELAYER_AUTH_URL: 'http://127.0.0.1:4000/auth/',
      TRUELAYER_API_URL: 'http://127.0.0.1:4000/',
      TRUELAYER_CLIENT_ID: 'anything',
      PUBLIC_URL: 'http://localhost:3000/',
    })
    expect(config.provider).toMatchObject({ authUrl: 'http://127.0.0.1:4000/auth', apiUrl: 'http://127.0.0.1:4000' })
    expect(config.web.publicUrl).toBe('http://localhost:3000')
    expect(requiresHttps(config)).toBe(false)
  })

  test('may hold invalid variables that nothing needs: they are not read', async () => {
    const config = await loadConfig({
      env: {
        DATABASE_URL: soundEnv.DATABASE_URL,
        ENCRYPTION_KEYS: 'bad',
        PORT: 'bad',
        SMTP_URL: 'bad',
        SMTP_URL_FILE: '/nowhere',
      },
      cwd: '/nowhere',
      needs: ['database'],
      policy: {},
    })
    expect(config.database.url.reveal()).toBe(soundEnv.DATABASE_URL)
    expect(config.keys).toBeUndefined()
  })

  test('must also hold what a role needs in addition', async () => {
    const env = { DATABASE_URL: soundEnv.DATABASE_URL, SMTP_URL: soundEnv.SMTP_URL }
    expect(await placesOf(env, { needs: ['database'], alsoNeeds: ['channels'] })).toEqual(['MAIL_FROM'])
    const config = await loadConfig({
      env: soundEnv,
      cwd: '/nowhere',
      needs: ['database'],
      alsoNeeds: ['channels'],
      policy: company,
    })
    expect(config.channels?.email?.from).toBe(soundEnv.MAIL_FROM)
  })
})

describe('what is missing', () => {
  test('is reported all at once, by name, with what to do', async () => {
    const problems = await problemsOf({}, { policy: {} })
    expect(problems.map((problem) => problem.split(':')[0])).toEqual([
      'DATABASE_URL',
      'REDIS_URL',
      'TRUELAYER_CLIENT_ID',
      'TRUELAYER_CLIENT_SECRET',
      'ENCRYPTION_KEYS',
      'PUBLIC_URL',
      'SMTP_URL',
      'MAIL_FROM',
      'company.name',
    ])
    expect(problems[0]).toBe(
      'DATABASE_URL: is not set. Give the address of the PostgreSQL database: ' +
        'postgres://user:password@host:5432/database. DATABASE_URL_FILE may name a file that holds it.',
    )
    expect(problems[1]).toMatch(/^REDIS_URL: is not set\. .* QUEUE=postgres/)
  })

  test('reads well on a terminal', async () => {
    const error = await load({ ...soundEnv, PORT: 'x', MAIL_FROM: '' }).catch((thrown: unknown) => thrown)
    expect((error as ConfigError).message).toMatch(
      /^The configuration has 2 problems:\n {2}PORT: must be .*\n {2}MAIL_FROM: is not set\./,
    )
  })

  test('is reported with a misspelt variable that is set', async () => {
    expect(await problemsOf({ ...soundEnv, REDIS_URL: undefined, REDISURL: 'redis://x', PATH: '/bin' })).toEqual([
      expect.stringContaining('REDIS_URL: is not set. Was it misspelt as REDISURL?'),
    ])
  })

  test('one variable that two parts need is reported once', async () => {
    expect(await placesOf({ ...soundEnv, QUEUE: 'postgres', DATABASE_URL: '' })).toEqual(['DATABASE_URL'])
    expect(await placesOf({ ...soundEnv, QUEUE: 'postgres', DATABASE_URL: 'mysql://x' })).toEqual(['DATABASE_URL'])
  })
})

const production = { TRUELAYER_AUTH_URL: undefined, TRUELAYER_API_URL: undefined, TRUELAYER_CLIENT_ID: 'example-1' }
const mustBeHttps =
  "PUBLIC_URL: must begin with https:// with NODE_ENV=production or TrueLayer's production host: codes and " +
  'links of real users travel there'

describe('what is wrong', () => {
  test.each<[string, Env, string]>([
    [
      'a database of another kind',
      { DATABASE_URL: 'mysql://db/x' },
      'DATABASE_URL: must begin with postgres:// or postgresql://',
    ],
    [
      'a database without host',
      { DATABASE_URL: 'postgres:///x' },
      'DATABASE_URL: names no host: write it as postgres://user:password@host',
    ],
    [
      'a database with a # in its password',
      { DATABASE_URL: 'postgres://app:planted#1@db/x' },
      'DATABASE_URL: is not a valid address such as postgres://user:password@host: in user and password, write ' +
        'special characters as %XX',
    ],
    [
      'a database with a % in its password',
      { DATABASE_URL: 'postgres://app:100%planted@db/x' },
      'DATABASE_URL: has a % that is not followed by two hex digits: write % itself as %25',
    ],
    [
      'a bad owner',
      { MIGRATE_DATABASE_URL: 'db' },
      'MIGRATE_DATABASE_URL: is not a valid address such as postgres://user:password@host: in user and ' +
        'password, write special characters as %XX',
    ],
    [
      'a Redis of another kind',
      { REDIS_URL: 'http://redis' },
      'REDIS_URL: must begin with redis:// or rediss:// for one server, redis-cluster://, rediss-cluster://, ' +
        'redis-sentinel:// or rediss-sentinel:// for several',
    ],
    [
      'a misspelt parameter of Redis',
      { REDIS_URL: 'redis://:hush@redis?famly=4' },
      'REDIS_URL: has the unknown parameter famly: did you mean family?',
    ],
    [
      'a database of a cluster',
      { REDIS_URL: 'redis-cluster://redis/1' },
      'REDIS_URL: names a database: a cluster has only one, leave out what follows the last host',
    ],
    [
      'an authority that is not there',
      { REDIS_URL: 'rediss://redis?ca=/nowhere/ca.pem' },
      'REDIS_URL: names a file in ca that cannot be read (ENOENT)',
    ],
    ['another queue', { QUEUE: 'rabbit' }, 'QUEUE: must be redis (the default) or postgres'],
    [
      'a log level there is not',
      { LOG_LEVEL: 'verbose' },
      'LOG_LEVEL: must be one of trace, debug, info, warn, error, fatal, silent',
    ],
    ['an abbreviated production', { NODE_ENV: 'prod' }, 'NODE_ENV: must be production, development, test or unset'],
    ['a port out of range', { PORT: '65536' }, 'PORT: must be a whole number from 0 (any free port) to 65535'],
    ['a port with a host', { PORT: ':3000' }, 'PORT: must be a whole number from 0 (any free port) to 65535'],
    [
      'a host with a port',
      { HOST: 'localhost:3000' },
      'HOST: must be an IP address or host name to listen on, such as 0.0.0.0 or 127.0.0.1, without a port',
    ],
    [
      'a public address without scheme',
      { PUBLIC_URL: 'consents.example.com' },
      'PUBLIC_URL: is not a valid address such as https://consents.example.com',
    ],
    [
      'a public address with a path',
      { PUBLIC_URL: 'https://x.example/consents' },
      'PUBLIC_URL: must be a host of its own, without a path: pages and links are made for its root',
    ],
    ['a public address by ftp', { PUBLIC_URL: 'ftp://x.example' }, 'PUBLIC_URL: must begin with https://'],
    [
      'a public address with a query',
      { PUBLIC_URL: 'https://x.example/?a' },
      'PUBLIC_URL: must end with its host or path, without ? or #',
    ],
    [
      'a public address with a password',
      { PUBLIC_URL: 'https://a:planted@x.example' },
      'PUBLIC_URL: must not hold a user or password',
    ],
    [
      'a public address without https in production',
      { NODE_ENV: 'production', PUBLIC_URL: 'http://x.example' },
      mustBeHttps,
    ],
    ['the same at the production host', { ...production, PUBLIC_URL: 'http://x.example' }, mustBeHttps],
    ['the same on this machine', { ...production, PUBLIC_URL: 'http://localhost:3000' }, mustBeHttps],
    [
      'a provider without https',
      { TRUELAYER_AUTH_URL: 'http://auth.truelayer-sandbox.com' },
      'TRUELAYER_AUTH_URL: must begin with https://',
    ],
    [
      'production and sandbox together',
      { TRUELAYER_AUTH_URL: 'https://auth.truelayer.com', TRUELAYER_CLIENT_ID: 'example-1' },
      "TRUELAYER_API_URL: is TrueLayer's sandbox, while TRUELAYER_AUTH_URL is TrueLayer's production. Set both " +
        'to the same environment: unset, each means production',
    ],
    [
      'sandbox with the other host left out',
      { TRUELAYER_API_URL: undefined },
      "TRUELAYER_API_URL: is TrueLayer's production, while TRUELAYER_AUTH_URL is TrueLayer's sandbox. Set both " +
        'to the same environment: unset, each means production',
    ],
    [
      'a simulator with the other host left out',
      { TRUELAYER_AUTH_URL: 'http://127.0.0.1:4000', TRUELAYER_API_URL: undefined },
      "TRUELAYER_API_URL: is TrueLayer's production, while TRUELAYER_AUTH_URL is not TrueLayer itself. Set both " +
        'to the same environment: unset, each means production',
    ],
    [
      'a sandbox client in production',
      { ...production, TRUELAYER_CLIENT_ID: 'sandbox-example-1' },
      'TRUELAYER_CLIENT_ID: is of the sandbox, but TRUELAYER_AUTH_URL is production: set it to ' +
        'https://auth.truelayer-sandbox.com',
    ],
    [
      'a production client in the sandbox',
      { TRUELAYER_CLIENT_ID: 'example-1' },
      "TRUELAYER_CLIENT_ID: is not of the sandbox (those begin with 'sandbox-'), but TRUELAYER_AUTH_URL is",
    ],
    ['a short key', { ENCRYPTION_KEYS: 'k1:c2hvcnQ=' }, 'ENCRYPTION_KEYS: key 1 is 5 bytes long instead of exactly 32'],
    ['a mail server by http', { SMTP_URL: 'http://mail' }, 'SMTP_URL: must begin with smtp:// or smtps://'],
    [
      'a sender without address',
      { MAIL_FROM: 'Company' },
      "MAIL_FROM: must be one address, 'consents@example.com' or 'Company <consents@example.com>': the address " +
        'has no @',
    ],
    [
      'two senders',
      { MAIL_FROM: 'a@example.com, b@example.com' },
      "MAIL_FROM: must be one address, 'consents@example.com' or 'Company <consents@example.com>': a comma or " +
        'a semicolon separates addresses, and there may be only one',
    ],
    [
      'a sender that mail programs would read as a group',
      { MAIL_FROM: 'Example: Consents <a@example.com>' },
      "MAIL_FROM: must be one address, 'consents@example.com' or 'Company <consents@example.com>': the name " +
        'holds a colon, which begins a group of addresses: put the name in double quotes',
    ],
    [
      'a header after the sender',
      { MAIL_FROM: 'a@example.com\nBcc: b@example.com' },
      'MAIL_FROM: holds a line break or another control character, or is far too long',
    ],
    [
      'an API key in clear',
      { API_KEYS_SHA256: 'planted' },
      'API_KEYS_SHA256: entry 1 is not 64 hex digits: make one with: printf %s "$KEY" | sha256sum',
    ],
    [
      'the hash of no API key',
      { API_KEYS_SHA256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' },
      'API_KEYS_SHA256: entry 1 is the hash of an empty key',
    ],
    [
      'a login without password',
      { OPS_USER: 'ops' },
      'OPS_PASSWORD: is not set. The board needs both OPS_USER and OPS_PASSWORD; without either it is not ' +
        'mounted. OPS_PASSWORD_FILE may name a file that holds it.',
    ],
    [
      'a password without login',
      { OPS_PASSWORD: 'a long password' },
      'OPS_USER: is not set. The board needs both OPS_USER and OPS_PASSWORD; without either it is not mounted.',
    ],
    [
      'a short password',
      { OPS_USER: 'ops', OPS_PASSWORD: '11 letters!' },
      'OPS_PASSWORD: is too short: at least 12 characters',
    ],
    ['a login with a colon', { OPS_USER: 'o:ps', OPS_PASSWORD: 'a long password' }, 'OPS_USER: must not hold a colon'],
  ])('%s', async (_, change, problem) => {
    expect(await problemsOf({ ...soundEnv, ...change })).toEqual([problem])
  })

  test('is reported together, environment and policy', async () => {
    const env = { ...soundEnv, QUEUE: 'x', PORT: 'x', ENCRYPTION_KEYS: 'x', SMTP_URL: 'x', LOG_LEVEL: 'x' }
    expect(await placesOf(env, { policy: { ...company, ladder: [], link: { freshFor: '0s' } } })).toEqual([
      'LOG_LEVEL',
      'QUEUE',
      'ENCRYPTION_KEYS',
      'PORT',
      'SMTP_URL',
      'ladder',
      'link.freshFor',
    ])
  })

  test('is reported together within a section, also what spans several variables', async () => {
    const wrong = {
      TRUELAYER_CLIENT_ID: 'example-1',
      TRUELAYER_CLIENT_SECRET: undefined,
      HTTPS_PROXY: 'socks5://proxy',
      PUBLIC_URL: 'http://consents.example.com',
      PORT: 'x',
      OPS_USER: 'o:ps',
      MIGRATE_DATABASE_URL: 'postgres://db/x?schema=theirs',
      NODE_ENV: 'production',
    }
    expect(await placesOf({ ...soundEnv, ...wrong })).toEqual([
      'MIGRATE_DATABASE_URL',
      'TRUELAYER_CLIENT_SECRET',
      'TRUELAYER_CLIENT_ID',
      'HTTPS_PROXY',
      'PORT',
      'OPS_USER',
      'PUBLIC_URL',
      'OPS_PASSWORD',
    ])
  })

  test('is reported for QUEUE=postgres without reading REDIS_URL', async () => {
    const config = await load({ ...soundEnv, QUEUE: 'postgres', REDIS_URL: 'x', REDIS_URL_FILE: '/nowhere' })
    expect(config.queue.kind).toBe('postgres')
    // What connections learn about the address is stored under its Secret.
    expect(config.queue.url).toBe(config.database.url)
  })

  test('never repeats what the environment said', async () => {
    const planted = 'pLaNtEd'
    const names = Object.keys(variables)
    const spoilt = fc.constantFrom(
      planted,
      `${planted}:x`,
      `http://${planted}`,
      `k1:${planted}`,
      `postgres://u:${planted}#@h/`,
      `${planted}\n`,
      `smtp://u:%${planted}@h`,
    )
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.constantFrom(...names), spoilt), async (changes) => {
        const { RECONSENT_CONFIG: _, ...rest } = changes
        expect((await problemsOf({ ...soundEnv, ...rest })).join()).not.toContain(planted)
      }),
    )
  })

  test('the example’s company name is allowed, with a warning where users would see it', async () => {
    const policy = { company: { name: 'Example Company' } }
    expect((await load(soundEnv, { policy })).warnings).toEqual([])
    const warned = await load({ ...soundEnv, NODE_ENV: 'production' }, { policy })
    expect(warned.warnings).toEqual([
      "company.name is still 'Example Company': set your company's name in worker.config.ts",
    ])
  })
})

describe('a secret in a file', () => {
  const secrets = Object.entries(variables).flatMap(([name, { secret }]) => (secret ? [name] : []))

  test('is read, without the line break at its end', async () => {
    const cwd = aDirectory({ a: `${soundEnv.DATABASE_URL}\n`, b: `${soundEnv.ENCRYPTION_KEYS}\r\n` })
    const env = {
      ...soundEnv,
      DATABASE_URL: undefined,
      DATABASE_URL_FILE: `${cwd}/a`,
      ENCRYPTION_KEYS: '',
      ENCRYPTION_KEYS_FILE: 'b',
    }
    const config = await load(env, {}, cwd)
    expect(config.database.url.reveal()).toBe(soundEnv.DATABASE_URL)
    expect(config.keys.all).toHaveLength(2)
  })

  test('may begin with a byte order mark', async () => {
    const cwd = aDirectory({ a: `\uFEFF${soundEnv.DATABASE_URL}\r\n` })
    const config = await load({ ...soundEnv, DATABASE_URL: undefined, DATABASE_URL_FILE: 'a' }, {}, cwd)
    expect(config.database.url.reveal()).toBe(soundEnv.DATABASE_URL)
  })

  test.each([
    ['a/b', 'ENOTDIR'],
    ['loop', 'ELOOP'],
    ['x'.repeat(300), 'ENAMETOOLONG'],
    ['a\0b', 'ERR_INVALID_ARG_VALUE'],
  ])('is reported by its code when it cannot be read: %j', async (file, code) => {
    const cwd = aDirectory({ a: '' })
    symlinkSync('loop', `${cwd}/loop`)
    expect(await problemsOf({ ...soundEnv, SMTP_URL: undefined, SMTP_URL_FILE: file }, {}, cwd)).toEqual([
      `SMTP_URL_FILE: names a file that cannot be read (${code})`,
    ])
  })

  test('is possible for each secret, and for nothing else', async () => {
    expect(secrets).toEqual([
      'DATABASE_URL',
      'MIGRATE_DATABASE_URL',
      'REDIS_URL',
      'TRUELAYER_CLIENT_ID',
      'TRUELAYER_CLIENT_SECRET',
      'HTTPS_PROXY',
      'ENCRYPTION_KEYS',
      'SMTP_URL',
      'OPS_PASSWORD',
      'API_KEYS_SHA256',
    ])
    const cwd = aDirectory({ port: '5' })
    expect((await load({ ...soundEnv, PORT_FILE: 'port' }, {}, cwd)).web.port).toBe(3000)
  })

  test.each(secrets)('%s: a file that is not there, is empty, is a directory, or is set twice', async (name) => {
    const cwd = aDirectory({ empty: '', blank: '\n', two: 'a\nb' })
    const withFile = (file: string): Env => ({
      ...soundEnv,
      OPS_USER: 'ops',
      OPS_PASSWORD: 'a long password',
      [name]: undefined,
      [`${name}_FILE`]: file,
    })
    const problem = async (env: Env) => problemsOf(env, {}, cwd)
    expect(await problem(withFile('missing'))).toEqual([`${name}_FILE: names a file that cannot be read (ENOENT)`])
    expect(await problem(withFile('.'))).toEqual([`${name}_FILE: names a file that cannot be read (EISDIR)`])
    expect(await problem(withFile('empty'))).toEqual([`${name}_FILE: names a file that is empty`])
    expect(await problem(withFile('blank'))).toEqual([`${name}_FILE: names a file that is empty`])
    expect(await problem(withFile('two'))).toEqual([
      `${name}_FILE: holds a line break or another control character, or is far too long`,
    ])
    expect(await problem({ ...withFile('two'), [name]: 'x' })).toEqual([
      `${name}: and ${name}_FILE are both set: unset one of them`,
    ])
  })
})

describe('this process', () => {
  const module = new URL('../../src/config.ts', import.meta.url).href
  const script = `
    import { configFromProcess, isSetInProcess } from ${JSON.stringify(module)}
    const set = isSetInProcess('DATABASE_URL')
    const config = await configFromProcess({ needs: ['database', 'web'], override: JSON.parse(process.argv[1]) })
    console.log(JSON.stringify([set, config.database.url.reveal(), config.web.port, config.policy.company.name]))`
  const run = (env: Env, override: Env = {}): unknown => {
    const cwd = aDirectory({ 'worker.config.ts': 'export default { company: { name: "From File" as string } }' })
    const all = { PATH: process.env['PATH'], PUBLIC_URL: 'https://x.example', ...env }
    return JSON.parse(
      execFileSync(process.execPath, ['--input-type=module', '-e', script, JSON.stringify(override)], {
        cwd,
        env: all,
        encoding: 'utf8',
      }),
    )
  }

  test('gives its environment and the policy file of its directory', () => {
    expect(run({ DATABASE_URL: soundEnv.DATABASE_URL, PORT: '1' })).toEqual([
      true,
      soundEnv.DATABASE_URL,
      1,
      'From File',
    ])
  })

  test('can be overridden for one call, also a file', () => {
    const other = 'postgres://embedded/x'
    expect(run({ DATABASE_URL_FILE: '/nowhere', PORT: '1' }, { DATABASE_URL: other, PORT: '2' })).toEqual([
      true,
      other,
      2,
      'From File',
    ])
    expect(run({}, { DATABASE_URL: other })).toEqual([false, other, 3000, 'From File'])
  })
})
