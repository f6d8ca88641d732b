// Real sentinels and a real cluster: the promises for one server also hold while they fail over and while slots move.
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { loadConfig } from '../../src/config.ts'
import { Secret } from '../../src/secret.ts'
import { makeSweepSchedule } from '../../src/queue/schedule.ts'
import { examineRedis } from '../../src/queue/redis-info.ts'
import { startRedisServer } from '../setup/redis.ts'
import { PRIMARY, startCluster, startSentinels } from '../setup/redis-topologies.ts'
import { aCrew } from './crew.ts'
import { aPrefix, eventually } from './setup.ts'

const redis = (url: string) => ({ kind: 'redis', url: new Secret(url) }) as const

describe('sentinels', () => {
  let sentinels: Awaited<ReturnType<typeof startSentinels>>
  beforeAll(async () => {
    sentinels = await startSentinels({ password: 'hush' })
  }, 60_000)
  afterAll(() => sentinels.stop())
  const url = (more = '') => `${sentinels.url}?sentinel_password=hush${more}`

  test('a requested failover, and one after a death', async () => {
    const crew = await aCrew(redis(url()))
    await crew.worksWithin(5_000)
    await sentinels.failOver()
    await crew.worksWithin(10_000)
    const dead = await sentinels.primaryPort()
    const server = dead === sentinels.first.port ? sentinels.first : sentinels.second
    await server.kill()
    onTestFinished(() => server.start())
    await sentinels.untilOther(dead)
    await crew.worksWithin(10_000)
    expect(await crew.backend.tryOut()).toEqual({ ok: true })
    expect(JSON.stringify(crew.lines)).not.toContain('hush')
  }, 60_000)

  test('their password is wrong, they know no such primary, they are unavailable: each is named', async () => {
    const wordOf = async (address: string): Promise<unknown> => (await examineRedis({ url: new Secret(address) })).trial
    expect(await wordOf(url())).toEqual({ ok: true })
    expect(await wordOf(sentinels.url)).toMatchObject({ ok: false, word: 'NOAUTH' })
    expect(await wordOf(`${sentinels.url}?sentinel_password=wrong`)).toMatchObject({ ok: false, word: 'WRONGPASS' })
    expect(await wordOf(url().replace(PRIMARY, 'other'))).toMatchObject({ ok: false, word: 'NOPRIMARY' })
    expect(await wordOf('redis-sentinel://127.0.0.1:1/mymaster')).toMatchObject({ ok: false, word: 'NOSENTINEL' })
    expect(await wordOf(`redis://:hush@127.0.0.1:${sentinels.sentinels[0]?.port}`)).toMatchObject({
      ok: false,
      word: 'UNKNOWNCOMMAND',
    })
  })

  test('their password is rotated: it is read again from REDIS_URL_FILE', async () => {
    const file = join(await mkdtemp(join(tmpdir(), 'reconsent-secret-')), 'redis_url')
    await writeFile(file, url())
    const { queue } = await loadConfig({ cwd: '/', needs: ['queue'], env: { REDIS_URL_FILE: file }, policy: {} })
    const crew = await aCrew(queue)
    await crew.worksWithin(5_000)
    for (const sentinel of sentinels.sentinels) {
      await sentinel.ask((client) => client.call('ACL', 'SETUSER', 'default', 'resetpass', '>other'))
    }
    for (const server of [sentinels.first, sentinels.second]) {
      await server.ask((client) => client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'))
    }
    await expect
      .poll(async () => crew.backend.tryOut(), { timeout: 10_000 })
      .toMatchObject({ ok: false, word: 'WRONGPASS' })
    await writeFile(file, `${sentinels.url}?sentinel_password=other`)
    await crew.worksWithin(10_000)
    expect(await crew.backend.tryOut()).toEqual({ ok: true })
  }, 60_000)
})

describe('a cluster', () => {
  let cluster: Awaited<ReturnType<typeof startCluster>>
  beforeAll(async () => {
    cluster = await startCluster({ replicas: true })
  }, 60_000)
  afterAll(() => cluster.stop())

  test('slots that move while jobs run', async () => {
    const prefix = aPrefix()
    const crew = await aCrew(redis(cluster.url), prefix)
    await makeSweepSchedule(crew.backend).registerSweep('* * * * * *')
    const slot = await cluster.slotOf(`{${prefix}}`)
    for (let time = 0; time < 3; time += 1) {
      const before = crew.runs.length
      const feeding = crew.feed(150)
      await cluster.moveSlot(slot)
      await feeding
      await crew.worksWithin(10_000)
      expect(crew.runs.length).toBeGreaterThan(before)
    }
    await eventually(async () => expect(await crew.missing()).toEqual([]), 20_000)
    expect(await crew.backend.tryOut()).toEqual({ ok: true })
  }, 90_000)

  test('a primary that dies and is followed by its replica', async () => {
    const prefix = aPrefix()
    const crew = await aCrew(redis(cluster.url), prefix)
    await crew.worksWithin(10_000)
    const owner = await cluster.ownerOf(await cluster.slotOf(`{${prefix}}`))
    await owner.kill()
    onTestFinished(() => owner.start())
    await crew.worksWithin(30_000)
    await expect.poll(async () => crew.backend.tryOut(), { timeout: 10_000 }).toEqual({ ok: true })
  }, 90_000)

  test('a password that is rotated is read again from REDIS_URL_FILE', async () => {
    const file = join(await mkdtemp(join(tmpdir(), 'reconsent-secret-')), 'redis_url')
    const rotate = async (password: string): Promise<void> => {
      for (const node of cluster.nodes) {
        await node
          .ask((client) =>
            client.call('ACL', 'SETUSER', 'app', 'reset', 'on', `>${password}`, '~*', '&*', '+@all', '-@dangerous'),
          )
          .catch(() => undefined)
        await node.ask((client) => client.call('CLIENT', 'KILL', 'USER', 'app')).catch(() => undefined)
      }
    }
    const write = async (password: string): Promise<void> =>
      writeFile(file, cluster.url.replace('://', `://app:${password}@`))
    await rotate('first')
    await write('first')
    const { queue } = await loadConfig({ cwd: '/', needs: ['queue'], env: { REDIS_URL_FILE: file }, policy: {} })
    const crew = await aCrew(queue)
    await crew.worksWithin(10_000)
    await rotate('second')
    await expect
      .poll(async () => crew.backend.tryOut(), { timeout: 20_000 })
      .toMatchObject({ ok: false, word: 'WRONGPASS' })
    await write('second')
    await crew.worksWithin(15_000)
    expect(await crew.backend.tryOut()).toEqual({ ok: true })
  }, 90_000)

  test('each of its nodes by itself is refused, whichever has our slot', async () => {
    for (const { url } of cluster.primaries) {
      const { trial } = await examineRedis({ url: new Secret(url) })
      expect(trial).toMatchObject({ ok: false, word: 'MOVED', advice: expect.stringContaining('redis-cluster://') })
    }
  })

  test('and a server without cluster mode is refused as a cluster', async () => {
    const server = await startRedisServer()
    onTestFinished(() => server.stop())
    const { trial } = await examineRedis({ url: new Secret(server.url.replace('redis:', 'redis-cluster:')) })
    expect(trial).toMatchObject({ ok: false, word: 'NOCLUSTER', advice: expect.stringContaining('redis://') })
  })
})

describe('a cluster without replicas', () => {
  let cluster: Awaited<ReturnType<typeof startCluster>>
  beforeAll(async () => {
    cluster = await startCluster()
  }, 60_000)
  afterAll(() => cluster.stop())
  const trialOf = async (url: string) => (await examineRedis({ url: new Secret(url) })).trial

  test('one node that answers is enough to find the others; where none does, the reason is named', async () => {
    const [only] = cluster.primaries
    expect(await trialOf(`redis-cluster://127.0.0.1:${only?.port}`)).toEqual({ ok: true })
    expect(await trialOf(`redis-cluster://127.0.0.1:1,127.0.0.1:${only?.port}`)).toEqual({ ok: true })
    expect(await trialOf('redis-cluster://127.0.0.1:1')).toMatchObject({ word: 'ECONNREFUSED', server: '127.0.0.1:1' })
    expect(await trialOf(cluster.url.replace('redis-', 'rediss-'))).toMatchObject({
      ok: false,
      advice: expect.stringContaining('speaks TLS'),
    })
  })

  test('a node that is dead: named by running processes and by doctor, which ends; over when it is back', async () => {
    const prefix = aPrefix()
    const owner = await cluster.ownerOf(await cluster.slotOf(`{${prefix}}`))
    const crew = await aCrew(redis(cluster.url), prefix)
    await crew.worksWithin(10_000)
    await owner.kill()
    // Whether the other nodes have noticed the loss yet, or only our client.
    const isNamed = { ok: false, word: expect.stringMatching(/^(?:CLUSTERDOWN|ECONNREFUSED)$/) }
    await expect.poll(async () => crew.backend.tryOut(), { timeout: 30_000 }).toMatchObject(isNamed)
    await expect
      .poll(async () => (await examineRedis({ url: new Secret(cluster.url) }, `{${prefix}}`)).trial, {
        timeout: 30_000,
      })
      .toMatchObject({ ok: false, word: 'CLUSTERDOWN' })
    // With this setting the other nodes serve their own slots, nobody has ours, and advice about the address would not
    // help.
    for (const node of cluster.primaries.filter((one) => one !== owner)) {
      await node.ask((client) => client.config('SET', 'cluster-require-full-coverage', 'no'))
    }
    const lost = { ok: false, word: 'MOVED', advice: expect.stringContaining('CLUSTER NODES') }
    await expect.poll(async () => crew.backend.tryOut(), { timeout: 30_000 }).toMatchObject(lost)
    await owner.start()
    await crew.worksWithin(20_000)
    expect(await crew.backend.tryOut()).toEqual({ ok: true })
  }, 120_000)
})
