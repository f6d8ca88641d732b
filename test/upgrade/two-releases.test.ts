// The release before and this one, as real processes in turn on one database: by the documented stop, and where an
// operator forgets it. The queue is in the same database, so that one release finds the jobs of the other.
import { randomUUID } from 'node:crypto'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DateTime } from 'luxon'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { startSimulator, type Simulator } from '../../simulator/src/start-simulator.ts'
import { cli as thisRelease, run } from '../commands/reconsent.ts'
import { keyText } from '../crypto/keys.ts'
import { until } from '../setup/company.ts'
import { createEmptyDatabase } from '../setup/database.ts'
import { freePort } from '../setup/free-port.ts'
import { asOwner } from '../setup/roles.ts'
import { type Release, type Running, startProcess, unpackReleaseBefore } from './release-before.ts'

let releaseBefore: Release
beforeAll(async () => {
  releaseBefore = await unpackReleaseBefore()
}, 120_000)
afterAll(async () => releaseBefore.remove())

let simulator: Simulator
let env: Readonly<Record<string, string>>
let url: string
const running: Running[] = []

beforeEach(async () => {
  const port = await freePort()
  const redirectUri = `http://127.0.0.1:${port}/callback`
  simulator = await startSimulator({
    clientId: 'client',
    clientSecret: 'client-secret-of-tests',
    redirectUris: [redirectUri],
  })
  url = await createEmptyDatabase()
  const policy = join(await mkdtemp(join(tmpdir(), 'reconsent-policy-')), 'policy.json')
  await writeFile(
    policy,
    JSON.stringify({
      company: { name: 'Brightside' },
      quietHours: false,
      spread: false,
      sweep: { cron: '* * * * * *' },
      timing: { queuedFor: '3s', codeTimer: '500ms', retry: { attempts: 2, firstDelay: '200ms' } },
    }),
  )
  env = {
    NODE_ENV: 'test',
    DATABASE_URL: url,
    QUEUE: 'postgres',
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
    RECONSENT_CONFIG: policy,
  }
  expect((await run(['migrate'], { cli: releaseBefore.cli, env })).code).toBe(0)
})
afterEach(async () => {
  for (const { child } of running.splice(0)) child.kill('SIGKILL')
  await simulator.close()
})

const start = async (cli: string): Promise<Running> => {
  const started = startProcess(cli, env)
  running.push(started)
  await until('readiness', async () =>
    fetch(`${env['PUBLIC_URL']}/readyz`).then(
      ({ status }) => (status === 200 ? true : undefined),
      () => undefined,
    ),
  ).catch((error: unknown) => {
    throw new Error(started.output(), { cause: error })
  })
  return started
}

/** Imports consents that expire in so many days, with the release before. */
const importConsents = async (...inDays: readonly number[]): Promise<void> => {
  const rows = inDays.map((days, index) => {
    const row = {
      credentials_id: `cred-${index}`,
      refresh_token: `refresh-of-${index}-${randomUUID()}`,
      provider_id: 'uk-ob-monzo',
      country: 'GB',
      redirect_uri: `${env['PUBLIC_URL']}/callback`,
      user_id: `user-${index}`,
      email: `user-${index}@example.com`,
      expires_at: DateTime.utc().plus({ days }),
    }
    simulator.seedConnection({
      credentialsId: row.credentials_id,
      providerId: row.provider_id,
      country: row.country,
      redirectUri: row.redirect_uri,
      refreshToken: row.refresh_token,
      expiresAt: row.expires_at,
    })
    return JSON.stringify({ ...row, expires_at: row.expires_at.toISO() })
  })
  expect(await run(['import', '-'], { cli: releaseBefore.cli, env, input: rows.join('\n') })).toMatchObject({ code: 0 })
}

/** The user follows the mail to the bank and approves; returns the callback that the bank sends the browser to. */
const approve = async (index: number): Promise<string> => {
  const link = await until('a mail', async () => simulator.mails({ to: `user-${index}@example.com` })[0]?.links[0])
  await (await fetch(link)).arrayBuffer()
  const pressed = await fetch(link, { method: 'POST', redirect: 'manual' })
  const played = await simulator.play({ link: pressed.headers.get('location') ?? '', as: 'approve' })
  if (played.kind !== 'callback') throw new Error(`the bank answered ${played.kind}`)
  return played.url
}
const comeBack = async (callback: string): Promise<number> => (await fetch(callback)).status

const attemptOf = async (index: number): Promise<Record<string, unknown> | undefined> =>
  (
    await asOwner(
      url,
      `SELECT to_jsonb(a) || jsonb_build_object('cycle', c.cycle) AS row
       FROM authorisations AS a JOIN consents AS c ON c.id = a.consent_id
       WHERE c.credentials_id = 'cred-${index}' AND a.handed_out_at IS NOT NULL ORDER BY a.issued_at DESC LIMIT 1`,
    )
  ).rows[0]?.row as Record<string, unknown> | undefined
const untilAttempt = async (index: number, status: string): Promise<void> => {
  await until(`${status} (consent ${index})`, async () =>
    (await attemptOf(index))?.['status'] === status ? true : undefined,
  )
}
const rowsOf = async (table: string): Promise<Record<string, unknown>[]> =>
  (await asOwner(url, `SELECT to_jsonb(t) AS row FROM ${table} AS t ORDER BY id`)).rows.map(
    ({ row }: { row: Record<string, unknown> }) => row,
  )
/** The sweep of either release may mark a row as dispatched: those marks are unfenced and write nothing else. */
const withoutDispatch = (row: Record<string, unknown>): Record<string, unknown> => ({
  ...row,
  next_action_at: undefined,
  queued_until: undefined,
  dispatch_no: undefined,
})
const exchanges = (): number => simulator.ledger.entries({ what: 'exchange' }).length

test('the documented stop: what the release before began, this one ends', { timeout: 120_000 }, async () => {
  await importConsents(2, 2, 2)
  const old = await start(releaseBefore.cli)
  const [first, second, third] = [await approve(0), await approve(1), await approve(2)]

  // The answer to the second code is lost: its outcome is in doubt when the release ends.
  simulator.faults.add({ endpoint: 'exchange', kind: 'reset-after', count: 1 })
  simulator.switches.set({ me_dates: 'none' })
  expect(await comeBack(second)).toBe(200)
  await until('a poll in doubt', async () => {
    const attempt = await attemptOf(1)
    return attempt?.['status'] === 'unknown' && Number(attempt['asked']) > 0 ? true : undefined
  })
  simulator.switches.set({ me_dates: 'all' })

  // The first code is on its way when somebody migrates: nothing is migrated, and its tokens are stored.
  simulator.faults.add({ endpoint: 'exchange', kind: 'slow', ms: 6_000, count: 1 })
  expect(await comeBack(first)).toBe(200)
  await untilAttempt(0, 'exchanging')
  const refused = await run(['migrate'], { env })
  expect(refused.code).toBe(1)
  expect(refused.stderr).toMatch(/processes of the release before are at work on \d+ record\(s\).*stop them all/)
  await untilAttempt(0, 'renewed')
  expect(await attemptOf(0)).toMatchObject({ cycle: 2, epoch: expect.any(Number) })

  expect(await old.stop()).toBe(0)
  const migrated = await run(['migrate'], { env })
  expect(migrated).toMatchObject({ code: 0, stderr: '' })
  expect(await attemptOf(1)).toMatchObject({ status: 'in_doubt' })

  // What waited goes on under this release: the code in doubt is settled, the link that was handed out is taken.
  await start(thisRelease)
  expect(await comeBack(third)).toBe(200)
  await untilAttempt(2, 'renewed')
  await asOwner(url, `UPDATE authorisations SET next_action_at = now() WHERE status = 'in_doubt'`)
  await untilAttempt(1, 'renewed')
  expect(exchanges()).toBe(3)
  expect(await run(['verify'], { env })).toMatchObject({ code: 0 })
  const shown = await run(['show', 'cred-1', '--json'], { env })
  expect(shown.stdout).toContain('authorisation.in-doubt')
  expect(shown.stdout).not.toContain('authorisation.unknown')
})

test('a process that was forgotten writes nothing and sends nothing', { timeout: 120_000 }, async () => {
  await importConsents(2, 60)
  const old = await start(releaseBefore.cli)
  const callback = await approve(0)
  await until('an idle moment', async () => ((await run(['migrate'], { env })).code === 0 ? true : undefined))
  const [consents, attempts] = [await rowsOf('consents'), await rowsOf('authorisations')]
  const calls = simulator.ledger.entries({}).length

  // The user comes back to the old process, and the other consent becomes due for its workers.
  expect(await comeBack(callback)).toBeGreaterThanOrEqual(500)
  await asOwner(url, `UPDATE consents SET next_action_at = now() WHERE credentials_id = 'cred-1'`)
  // With each try of the queue: the job is dispatched twice, and tried twice each time.
  await until('jobs that fail', async () =>
    old.output().split('"error_code":"internal"').length > 4 ? true : undefined,
  )
  expect(await rowsOf('authorisations')).toEqual(attempts)
  expect((await rowsOf('consents')).map(withoutDispatch)).toEqual(consents.map(withoutDispatch))
  expect(simulator.ledger.entries({})).toHaveLength(calls)
  await old.stop()

  await start(thisRelease)
  expect(await comeBack(callback)).toBe(200)
  await untilAttempt(0, 'renewed')
  expect(exchanges()).toBe(1)
  expect(await run(['verify'], { env })).toMatchObject({ code: 0 })
})
