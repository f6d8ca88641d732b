// `reconsent start` as operators run it: a real process, its environment, its signals and its exit codes.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { startSimulator, type Simulator } from '../../simulator/src/start-simulator.ts'
import type { PolicyInput } from '../../src/config/define-config.ts'
import { keyText } from '../crypto/keys.ts'
import { startCompany, until } from '../setup/company.ts'
import { createDatabase } from '../setup/database.ts'
import { freePort } from '../setup/free-port.ts'

const CLI = join(import.meta.dirname, '../../src/cli.ts')
let simulator: Simulator
const children: ChildProcess[] = []

beforeAll(async () => {
  simulator = await startSimulator({
    clientId: 'client',
    clientSecret: 'client-secret-of-tests',
    redirectUris: ['http://127.0.0.1:3000/callback'],
  })
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})
afterAll(async () => simulator.close())

interface Started {
  readonly child: ChildProcess
  readonly url: string
  output(): string
  /** The exit code, or the signal's name. */
  ended(): Promise<number | string>
}

const environment = async (
  over: Record<string, string | undefined> = {},
): Promise<Record<string, string | undefined>> => {
  const port = await freePort()
  return {
    PATH: process.env['PATH'],
    NODE_ENV: 'test',
    DATABASE_URL: await createDatabase(),
    REDIS_URL: inject('redisUrl'),
    TRUELAYER_AUTH_URL: simulator.url,
    TRUELAYER_API_URL: simulator.url,
    TRUELAYER_CLIENT_ID: 'client',
    TRUELAYER_CLIENT_SECRET: 'client-secret-of-tests',
    PUBLIC_URL: `http://127.0.0.1:${port}`,
    HOST: '127.0.0.1',
    PORT: String(port),
    ENCRYPTION_KEYS: `k1:${keyText('k1')}`,
    SMTP_URL: simulator.smtpUrl,
    MAIL_FROM: 'consents@example.com',
    RECONSENT_CONFIG: await policyFile({ timing: { unreadyFor: '100ms' } }),
    ...over,
  }
}

const start = (env: Record<string, string | undefined>, ...args: string[]): Started => {
  const child = spawn(process.execPath, [CLI, 'start', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const exit = once(child, 'close') as Promise<[number | null, string | null]>
  return {
    child,
    url: env['PUBLIC_URL'] ?? '',
    output: () => output,
    ended: async () => exit.then(([code, signal]) => code ?? signal ?? -1),
  }
}

const statusOf = async (url: string): Promise<number | undefined> =>
  fetch(url).then(
    ({ status }) => status,
    () => undefined,
  )
const ready = async (started: Started): Promise<void> => {
  await until('readiness', async () => ((await statusOf(`${started.url}/readyz`)) === 200 ? true : undefined)).catch(
    (error: unknown) => {
      throw new Error(started.output(), { cause: error })
    },
  )
}

const unready = async (started: Started): Promise<void> => {
  await until('unreadiness', async () => ((await statusOf(`${started.url}/readyz`)) === 503 ? true : undefined))
}
/** Writes a policy file with a company's name; returns its path. */
const policyFile = async (policy: PolicyInput): Promise<string> => {
  const path = join(await mkdtemp(join(tmpdir(), 'reconsent-policy-')), 'policy.json')
  await writeFile(path, JSON.stringify({ company: { name: 'Brightside' }, ...policy }))
  return path
}

test('trusts the proxies of TRUSTED_PROXIES, refuses one that means everybody, and a wrong HTTPS_PROXY', async () => {
  const env = await environment({ TRUSTED_PROXIES: 'loopback' })
  const started = start(env, '--roles', 'web')
  await ready(started)
  const wrongBy = async (client: string) =>
    fetch(`${started.url}/v1/events`, { headers: { authorization: 'Bearer wrong', 'x-forwarded-for': client } }).then(
      ({ status }) => status,
    )
  for (let at = 0; at < 20; at += 1) expect(await wrongBy('203.0.113.1')).toBe(401)
  expect([await wrongBy('203.0.113.1'), await wrongBy('203.0.113.2')]).toEqual([429, 401])
  started.child.kill('SIGTERM')
  expect(await started.ended()).toBe(0)
  for (const wrong of [
    { TRUSTED_PROXIES: '0.0.0.0/0' },
    { HTTPS_PROXY: 'proxy:3128' },
    { https_proxy: 'socks5://proxy:1080' },
  ]) {
    const refused = start({ ...env, ...wrong }, '--roles', 'web')
    expect(await refused.ended()).toBe(2)
    expect(refused.output()).toContain(`  ${Object.keys(wrong)[0]}: `)
  }
})

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

test('on SIGTERM the role web is unready but answers users for timing.unreadyFor, then stops listening', async () => {
  const started = start(await environment({ RECONSENT_CONFIG: undefined }), '--roles', 'web')
  await ready(started)
  const began = Date.now()
  started.child.kill('SIGTERM')
  await unready(started)
  expect(await statusOf(`${started.url}/r/any-token`)).toBe(404)
  await until('the listener to close', async () =>
    (await statusOf(`${started.url}/livez`)) === undefined ? true : undefined,
  )
  expect(Date.now() - began).toBeGreaterThanOrEqual(3_000)
  expect(await started.ended()).toBe(0)
})

test.each([
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const)('a second signal, %s, ends it at once with %i', async (signal, code) => {
  // With this policy a graceful stop would take half a minute.
  const started = start(
    await environment({ RECONSENT_CONFIG: await policyFile({ timing: { stopWithin: '1m', unreadyFor: '30s' } }) }),
  )
  await ready(started)
  started.child.kill('SIGTERM')
  await unready(started)
  const began = Date.now()
  started.child.kill(signal)
  expect(await started.ended()).toBe(code)
  expect(Date.now() - began).toBeLessThan(5_000)
})

describe('stopped in the middle of slow work', () => {
  const timing = {
    lease: '6s',
    queuedFor: '2s',
    codeTimer: '500ms',
    jobDeadline: '5s',
    requestTimeout: '4s',
    stopWithin: '2s',
    unreadyFor: '500ms',
    retry: { attempts: 3, firstDelay: '200ms' },
  } as const
  const STOPS_WITHIN_MS = 2_000
  /** Time from the last deadline until the test sees the process end. */
  const GOES_IN_MS = 1_500

  const aCompany = async () => {
    const company = await startCompany({ queue: 'postgres', processes: [] })
    onTestFinished(async () => void (await company.stop()))
    const policy = await policyFile({ quietHours: false, spread: false, sweep: { cron: '* * * * * *' }, timing })
    const env = { PATH: process.env['PATH'], ...company.env, RECONSENT_CONFIG: policy, LOG_LEVEL: 'info' }
    const consent = await company.addConsent({ expiresAt: company.clock.now().plus({ days: 10 }) })
    return {
      company,
      consent,
      run: async () => {
        const started = start(env)
        await ready(started)
        return started
      },
    }
  }
  const stopInTime = async (started: Started): Promise<number | string> => {
    const began = Date.now()
    started.child.kill('SIGTERM')
    const code = await started.ended()
    expect(Date.now() - began).toBeLessThan(STOPS_WITHIN_MS + GOES_IN_MS)
    return code
  }

  test('a link that does not come: exit code 1 in time, and the next process asks the user', async () => {
    const { company, consent, run } = await aCompany()
    company.simulator.faults.add({ endpoint: 'reauthuri', kind: 'slow', ms: 60_000 })
    const first = await run()
    await until(
      'a job to wait for its link',
      async () =>
        (await company.db.prisma.consent.findUniqueOrThrow({ where: { id: consent.id } })).leaseUntil ?? undefined,
    )
    expect(await stopInTime(first)).toBe(1)
    company.simulator.faults.clear()
    const second = await run()
    await until('the message', async () => company.simulator.mails({ to: consent.email ?? '' })[0])
    second.child.kill('SIGTERM')
    expect(await second.ended()).toBe(0)
  })

  test('a code’s answer does not come: exit code 1 in time, and the next process finds that it was used', async () => {
    const { company, consent, run } = await aCompany()
    const first = await run()
    await until('the message', async () => company.simulator.mails({ to: consent.email ?? '' })[0])
    company.simulator.faults.add({ endpoint: 'exchange', kind: 'slow', ms: 60_000, processed: true })
    await company.visit(consent, 'approve')
    const statusNow = async () =>
      (await company.db.prisma.authorisation.findMany({ where: { consentId: consent.id } })).map(({ status }) => status)
    await until('the code to be sent', async () => ((await statusNow()).includes('exchanging') ? true : undefined))
    expect(await stopInTime(first)).toBe(1)
    company.simulator.faults.clear()
    const second = await run()
    await until('the renewal', async () => ((await statusNow()).includes('renewed') ? true : undefined))
    expect(company.simulator.ledger.entries({ what: 'exchange', credentials_id: consent.credentialsId })).toHaveLength(
      1,
    )
    second.child.kill('SIGTERM')
    expect(await second.ended()).toBe(0)
  })
})

describe('needs only what its roles need', () => {
  const withoutMail = { SMTP_URL: undefined, MAIL_FROM: undefined }

  test.each([['web'], ['scheduler'], ['web,scheduler']])('%s runs without a mail server', async (roles) => {
    const started = start(await environment(withoutMail), '--roles', roles)
    await ready(started)
    started.child.kill('SIGINT')
    expect(await started.ended()).toBe(0)
  })

  test.each([[['--roles', 'worker']], [[]]])('%j reports what it lacks', async (args) => {
    const started = start(await environment(withoutMail), ...args)
    expect(await started.ended()).toBe(2)
    for (const name of Object.keys(withoutMail)) expect(started.output()).toContain(name)
  })

  test('web does not read values that it does not need, even if they are wrong', async () => {
    const started = start(await environment({ SMTP_URL: 'gopher://mail', MAIL_FROM: 'nobody' }), '--roles', 'web')
    await ready(started)
    started.child.kill('SIGTERM')
    expect(await started.ended()).toBe(0)
  })
})

test('refuses to start with all problems at once, each by its name, and repeats no secret', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-config-'))
  const policy = join(folder, 'policy.ts')
  await writeFile(policy, `export default { company: { name: 'Brightside' }, laddr: ['-14d'], spread: 'soon' }`)
  const started = start(
    await environment({
      DATABASE_URL: undefined,
      TRUELAYER_CLIENT_SECRET: undefined,
      ENCRYPTION_KEYS: 'k1:c2hvcnQ=',
      RECONSENT_CONFIG: policy,
      OPS_USER: 'me',
    }),
  )
  expect(await started.ended()).toBe(2)
  for (const named of [
    'DATABASE_URL',
    'TRUELAYER_CLIENT_SECRET',
    'ENCRYPTION_KEYS',
    'OPS_PASSWORD',
    'laddr',
    'ladder',
    'spread',
  ]) {
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

test('refuses, in production, to use stored callbacks that are not https', async () => {
  const company = await startCompany({ queue: 'redis', processes: [] })
  onTestFinished(async () => void (await company.stop()))
  await company.addConsent({ expiresAt: company.clock.now().plus({ days: 60 }) })
  const over = {
    DATABASE_URL: company.env.DATABASE_URL,
    NODE_ENV: 'production',
    PUBLIC_URL: 'https://consents.example.com',
  }
  const started = start(await environment(over))
  expect(await started.ended()).toBe(2)
  expect(started.output()).toMatch(/redirect_uri: is not https for 1 stored consents/)
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

test('starts while Redis is unavailable, and is not ready without a database', async () => {
  const gone = `redis://127.0.0.1:${await freePort()}`
  const started = start(await environment({ REDIS_URL: gone }))
  await ready(started)
  started.child.kill('SIGTERM')
  expect(await started.ended()).toBe(0)
  const withoutDatabase = start(
    await environment({ DATABASE_URL: `postgresql://nobody@127.0.0.1:${await freePort()}/none` }),
  )
  await until('an answer', async () => ((await statusOf(`${withoutDatabase.url}/readyz`)) === 503 ? true : undefined))
})
