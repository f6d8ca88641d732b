// PostgreSQL holds the truth, the queue only wakes: losing Redis, pausing a queue, or deleting the scheduler loses no
// renewal.
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Consent } from '../../src/domain/model.ts'
import { startCompany, until } from '../setup/company.ts'
import { type OwnRedis, startOwnRedis } from '../setup/redis.ts'

let redis: OwnRedis
let company: Awaited<ReturnType<typeof startCompany>>
let client: Redis

beforeAll(async () => {
  redis = await startOwnRedis()
  company = await startCompany({ queue: 'redis', redisUrl: redis.url, processes: [['web', 'worker', 'scheduler']] })
  client = new Redis(redis.url, { retryStrategy: () => 50, maxRetriesPerRequest: null })
  client.on('error', () => undefined)
})
afterAll(async () => {
  await company.stop()
  client.disconnect()
  await redis.stop()
})

const aDue = async (): Promise<Consent> => company.addConsent({ expiresAt: company.clock.now().plus({ days: 10 }) })
const mailed = async (consent: Consent) =>
  until('the mail', async () => company.simulator.mails({ to: consent.email ?? '' })[0])
const renewed = async (consent: Consent) =>
  until('the renewal', async () => ((await company.store.getView(consent.id))?.consent.cycle === 2 ? true : undefined))
const ops = async (method: string, path: string) =>
  fetch(`${company.publicUrl}/ops/queues${path}`, {
    method,
    headers: {
      authorization: `Basic ${Buffer.from('operator:operator-password').toString('base64')}`,
      origin: company.publicUrl,
    },
  })

test('FLUSHALL in the middle: the next sweep finds the same rows, the watchdog registers the schedule', async () => {
  const consents = await Promise.all(Array.from({ length: 10 }, aDue))
  await client.flushall()
  for (const consent of consents) await mailed(consent)
  await client.flushall()
  for (const consent of consents) await company.visit(consent, 'approve')
  await client.flushall()
  for (const consent of consents) await renewed(consent)
  for (const consent of consents) expect(company.simulator.mails({ to: consent.email ?? '' })).toHaveLength(1)
  await until('the schedule', async () => {
    const keys = await client.keys('*repeat*')
    return keys.length > 0 ? true : undefined
  })
})

test('with the exchange queue paused on the board, codes are exchanged by their own timer', async () => {
  const consent = await aDue()
  await mailed(consent)
  expect((await ops('PUT', '/api/queues/exchange/pause')).status).toBeLessThan(300)
  try {
    await company.visit(consent, 'approve')
    await renewed(consent)
    expect(company.simulator.ledger.count({ what: 'exchange', credentials_id: consent.credentialsId })).toBe(1)
  } finally {
    expect((await ops('PUT', '/api/queues/exchange/resume')).status).toBeLessThan(300)
  }
})

test('without Redis the callback still commits, and the exchange happens', async () => {
  const consent = await aDue()
  await mailed(consent)
  await redis.kill()
  try {
    await company.visit(consent, 'approve')
    await renewed(consent)
  } finally {
    await redis.start()
  }
  const later = await aDue()
  await mailed(later)
})

test('with the sweep queue paused on the board, the watchdog sweeps', async () => {
  expect((await ops('PUT', '/api/queues/sweep/pause')).status).toBeLessThan(300)
  try {
    await mailed(await aDue())
  } finally {
    expect((await ops('PUT', '/api/queues/sweep/resume')).status).toBeLessThan(300)
  }
})
