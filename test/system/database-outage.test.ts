// The database becomes unavailable to a running web process: every request is answered with a request to come back, and
// is served again once the database is back.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type FaultProxy, startFaultProxy } from '../chaos/fault-proxy.ts'
import { API_KEY, startCompany } from '../setup/company.ts'
import { createDatabase } from '../setup/database.ts'

let proxy: FaultProxy
let company: Awaited<ReturnType<typeof startCompany>>

beforeAll(async () => {
  const url = new URL(await createDatabase())
  const target = Number(url.port)
  proxy = await startFaultProxy({ targets: () => [target] })
  url.port = String(proxy.port)
  company = await startCompany({ queue: 'redis', processes: [['web']], databaseUrl: url.href })
})
afterAll(async () => {
  await company.stop()
  await proxy.close()
})

const ask = async (path: string) => {
  const answer = await fetch(`${company.publicUrl}${path}`, { headers: { authorization: `Bearer ${API_KEY}` } })
  return { status: answer.status, retryAfter: answer.headers.get('retry-after'), body: await answer.text() }
}

test('pages and API answer 503 with Retry-After, and do not name the cause; then as before', async () => {
  const consent = await company.addConsent({ expiresAt: company.clock.now().plus({ days: 60 }) })
  const paths = ['/v1/events', `/v1/consents/${consent.id}`]
  for (const path of paths) expect((await ask(path)).status).toBe(200)
  await proxy.set({ kind: 'refuse' })
  for (const path of paths) {
    const { status, retryAfter, body } = await ask(path)
    expect([path, status, retryAfter, JSON.parse(body).type]).toEqual([
      path,
      503,
      '10',
      'urn:problem-type:reconsent:temporarily-unavailable',
    ])
    expect(body).not.toMatch(/prisma|postgres|database|127\.0\.0\.1/i)
  }
  const page = await ask(`/r/${company.vault.startLinkToken(consent.id)}`)
  expect([page.status, page.retryAfter]).toEqual([503, '10'])
  await proxy.set({ kind: 'pass' })
  for (const path of paths) expect((await ask(path)).status).toBe(200)
})

test('a write of the API answers 503, which is not kept: repeated, it is done once the database is back', async () => {
  const consent = await company.addConsent({ expiresAt: company.clock.now().plus({ days: 60 }) })
  const pause = async () =>
    fetch(`${company.publicUrl}/v1/consents/${consent.id}/pause`, {
      method: 'POST',
      headers: { authorization: `Bearer ${API_KEY}`, 'idempotency-key': 'the same' },
    })
  await proxy.set({ kind: 'refuse' })
  for (const answer of [await pause(), await pause()])
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '10'])
  await proxy.set({ kind: 'pass' })
  const done = await pause()
  expect([done.status, done.headers.get('idempotency-replayed')]).toEqual([200, null])
  expect((await pause()).headers.get('idempotency-replayed')).toBe('true')
})

test('a process whose database has fallen silent stops within timing.stopWithin all the same', async () => {
  const timing = {
    stopWithin: '2s',
    unreadyFor: '100ms',
    codeTimer: '100ms',
    lease: '10s',
    jobDeadline: '9s',
    requestTimeout: '8s',
  } as const
  const other = await startCompany({
    queue: 'redis',
    processes: [],
    databaseUrl: company.env.DATABASE_URL,
    policy: { timing },
  })
  onTestFinished(async () => void (await other.stop()))
  const running = await other.start(['web', 'worker', 'scheduler'])
  expect((await fetch(`${running.url}/readyz`)).status).toBe(200)
  await proxy.set({ kind: 'blackhole' })
  // A request that waits for the database, in addition to the timers that wait for it.
  const page = fetch(`${running.url}/r/${other.vault.startLinkToken(randomUUID())}`).then(
    ({ status }) => status,
    () => 'cut off',
  )
  const began = performance.now()
  await running.stop()
  expect(performance.now() - began).toBeLessThan(3_000)
  await proxy.set({ kind: 'pass' })
  expect(await page).not.toBe(200)
})
