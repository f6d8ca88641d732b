// A whole Reconsent whose Redis fails over, with a demoted primary that keeps its connections and with sentinels:
// renewals go on without a restart, and each process reports what it can do.
import { PassThrough } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FaultProxy, startFaultProxy } from '../chaos/fault-proxy.ts'
import type { Consent } from '../../src/domain/model.ts'
import { startCompany, until } from '../setup/company.ts'
import { type Pair, startCluster, startPair, startSentinels } from '../setup/redis-topologies.ts'

type Company = Awaited<ReturnType<typeof startCompany>>

const aDue = async (company: Company): Promise<Consent> =>
  company.addConsent({ expiresAt: company.clock.now().plus({ days: 10 }) })
const mailed = async (company: Company, consent: Consent, withinMs = 15_000) =>
  until('the mail', async () => company.simulator.mails({ to: consent.email ?? '' })[0], withinMs)
const renews = async (company: Company, consent: Consent): Promise<void> => {
  await mailed(company, consent)
  await company.visit(consent, 'approve')
  await until(
    'the renewal',
    async () => ((await company.store.getView(consent.id))?.consent.cycle === 2 ? true : undefined),
    15_000,
  )
}
const readiness = async (url: string) => {
  const answer = await fetch(`${url}/readyz`)
  return {
    code: answer.status,
    ...((await answer.json()) as {
      status: string
      detail: string
      degraded?: string
      queue?: { ok: boolean; answer?: string; checked_seconds_ago: number }
    }),
  }
}

describe('a primary that was demoted', () => {
  let pair: Pair
  let address: FaultProxy
  let primary: Pair['first']
  let company: Company
  const logged: string[] = []
  beforeAll(async () => {
    pair = await startPair({ password: 'hush' })
    primary = pair.first
    address = await startFaultProxy({ targets: () => [primary.port] })
    const logTo = new PassThrough()
    logTo.on('data', (line: Buffer) => logged.push(String(line)))
    company = await startCompany({
      queue: 'redis',
      redisUrl: `redis://:hush@127.0.0.1:${address.port}`,
      processes: [['web', 'worker', 'scheduler'], ['worker'], ['scheduler']],
      logTo,
    })
  }, 60_000)
  afterAll(async () => {
    await company.stop()
    await address.close()
    await pair.stop()
  })

  test('renewals go on within seconds, twice', async () => {
    await renews(company, await aDue(company))
    for (const next of [pair.second, pair.first]) {
      const [before, under] = [await aDue(company), await aDue(company)]
      await mailed(company, under)
      await pair.failOver(primary, next)
      primary = next
      const after = await aDue(company)
      for (const consent of [before, under, after]) await renews(company, consent)
      for (const consent of [before, under, after])
        expect(company.simulator.mails({ to: consent.email ?? '' })).toHaveLength(1)
    }
    expect(logged.join('')).toContain('"answer":"READONLY"')
    expect(logged.join('')).not.toMatch(/hush|"name":"\[censored\]"/)
  }, 120_000)

  test('/readyz: a process with pages stays ready but degraded; the others are unready; all come back', async () => {
    const [all, worker, scheduler] = company.running.map(({ url }) => url) as [string, string, string]
    for (const url of [all, worker, scheduler]) {
      await expect
        .poll(async () => readiness(url), { timeout: 20_000 })
        .toMatchObject({ code: 200, status: 'ready', detail: 'ready', queue: { ok: true } })
    }
    // No replica is promoted this time: every connection, old or new, leads to a replica.
    const other = primary === pair.first ? pair.second : pair.first
    await primary.ask((client) => client.replicaof('127.0.0.1', other.port))
    await expect
      .poll(async () => readiness(worker), { timeout: 25_000 })
      .toMatchObject({
        code: 503,
        status: 'unready',
        detail: expect.stringMatching(/^queue: READONLY/),
        degraded: 'queue',
        queue: { ok: false, answer: 'READONLY', checked_seconds_ago: expect.any(Number) },
      })
    await expect
      .poll(async () => readiness(scheduler), { timeout: 25_000 })
      .toMatchObject({ code: 503, degraded: 'queue' })
    await expect
      .poll(async () => readiness(all), { timeout: 25_000 })
      .toMatchObject({ code: 200, status: 'ready', degraded: 'queue', queue: { ok: false, answer: 'READONLY' } })
    expect(await (await fetch(`${all}/metrics`)).text()).toMatch(/^reconsent_queue_usable 0$/m)
    await primary.ask((client) => client.replicaof('NO', 'ONE'))
    for (const url of [all, worker, scheduler])
      await expect
        .poll(async () => readiness(url), { timeout: 25_000 })
        .toMatchObject({ code: 200, queue: { ok: true } })
    expect(await (await fetch(`${all}/metrics`)).text()).toMatch(/^reconsent_queue_usable 1$/m)
    await renews(company, await aDue(company))
  }, 150_000)

  test('asking /readyz writes nothing', async () => {
    const writes = async (): Promise<number> =>
      primary.ask(async (client) => Number(/cmdstat_set:calls=(\d+)/.exec(await client.info('commandstats'))?.[1] ?? 0))
    const [, worker] = company.running.map(({ url }) => url) as [string, string]
    const before = await writes()
    await Promise.all(Array.from({ length: 200 }, async () => readiness(worker)))
    // At most the background checks' own writes: one from each of three processes.
    expect((await writes()) - before).toBeLessThanOrEqual(3)
  })
})

describe('sentinels', () => {
  test('renewals go on after they have failed over', async () => {
    const sentinels = await startSentinels({ password: 'hush' })
    const company = await startCompany({
      queue: 'redis',
      redisUrl: `${sentinels.url}?sentinel_password=hush`,
      processes: [['web', 'worker', 'scheduler']],
    })
    try {
      await renews(company, await aDue(company))
      const under = await aDue(company)
      const dead = await sentinels.primaryPort()
      await (dead === sentinels.first.port ? sentinels.first : sentinels.second).kill()
      await sentinels.untilOther(dead)
      for (const consent of [under, await aDue(company)]) await renews(company, consent)
    } finally {
      await company.stop()
      await sentinels.stop()
    }
  }, 120_000)
})

describe('a cluster, with a user who has only the rights that the queue needs', () => {
  test('renewals go on while slots move and after a primary has died; the board works', async () => {
    const cluster = await startCluster({ replicas: true })
    for (const node of cluster.nodes) {
      await node.ask((client) =>
        client.call('ACL', 'SETUSER', 'app', 'on', '>hush', '~{test-*', '&{test-*', '+@all', '-@dangerous'),
      )
    }
    const company = await startCompany({
      queue: 'redis',
      redisUrl: cluster.url.replace('://', '://app:hush@'),
      processes: [['web', 'worker', 'scheduler'], ['worker']],
    })
    const board = async (path: string) =>
      fetch(`${company.publicUrl}/ops/queues${path}`, {
        headers: { authorization: `Basic ${Buffer.from('operator:operator-password').toString('base64')}` },
      })
    try {
      await renews(company, await aDue(company))
      expect(await readiness(company.publicUrl)).toMatchObject({ code: 200, detail: 'ready', queue: { ok: true } })
      for (const path of [
        '/api/queues',
        '/api/queues?activeQueue=reauth&status=latest&page=1&jobsPerPage=10',
        '/api/redis/stats',
      ]) {
        const answer = await board(path)
        expect([path, answer.status]).toEqual([path, 200])
        expect(await answer.text()).not.toContain('hush')
      }
      const slot = await cluster.slotOf(`{${company.queuePrefix}}`)
      for (let time = 0; time < 2; time += 1) {
        const consents = await Promise.all([aDue(company), aDue(company), aDue(company)])
        await cluster.moveSlot(slot)
        for (const consent of consents) await renews(company, consent)
      }
      const owner = await cluster.ownerOf(slot)
      const under = await aDue(company)
      await owner.kill()
      for (const consent of [under, await aDue(company)]) await renews(company, consent)
    } finally {
      await company.stop()
      await cluster.stop()
    }
  }, 150_000)
})
