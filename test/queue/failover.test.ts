// A Redis that changes under open connections: the workers and producers must notice that from its answers and find the
// right server.
import { writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type FaultProxy, startFaultProxy } from '../chaos/fault-proxy.ts'
import { loadConfig } from '../../src/config.ts'
import type { BackendTarget } from '../../src/queue/connection.ts'
import { Secret } from '../../src/secret.ts'
import { done } from '../../src/processors/outcome.ts'
import { startRedisServer } from '../setup/redis.ts'
import { type Pair, startPair } from '../setup/redis-topologies.ts'
import { aCrew } from './crew.ts'
import { aBackend, anId, aPrefix, eventually, jobIn, workersOn } from './setup.ts'

describe('a primary that becomes a replica while its connections stay', () => {
  let pair: Pair
  let address: FaultProxy
  let primary: Pair['first']
  const target = (): BackendTarget => ({ kind: 'redis', url: new Secret(`redis://:hush@127.0.0.1:${address.port}`) })
  beforeAll(async () => {
    pair = await startPair({ password: 'hush' })
    primary = pair.first
    // As with DNS or a load balancer: new connections reach the new primary, old ones stay on their server.
    address = await startFaultProxy({ targets: () => [primary.port] })
  })
  afterAll(async () => {
    await address.close()
    await pair.stop()
  })
  const failOver = async (): Promise<void> => {
    const other = primary === pair.first ? pair.second : pair.first
    await pair.failOver(primary, other)
    primary = other
  }

  test('jobs go on within seconds, there and back; a running job is done once; the log names the server', async () => {
    const crew = await aCrew(target())
    for (const _time of ['there', 'back']) {
      await failOver()
      await crew.worksWithin(10_000)
      expect(await crew.backend.tryOut()).toEqual({ ok: true })
    }
    await crew.hold()
    // What the replica does not have yet would be lost with the old primary; this test is about what it has.
    await primary.ask(async (client) => {
      await client.set('mark', '1')
      await client.wait(1, 5_000)
    })
    await failOver()
    crew.release()
    await crew.worksWithin(10_000)
    await jobIn(crew.backend, 'reauth', `${crew.held}-1`, 'completed')
    expect(crew.runs.filter((id) => id === crew.held)).toHaveLength(1)
    expect(crew.lines.find(({ answer }) => answer === 'READONLY')).toMatchObject({
      error_class: 'ReplyError',
      server: `127.0.0.1:${address.port}`,
    })
    expect(JSON.stringify(crew.lines)).not.toMatch(/hush|censored/)
  })

  test('with nothing to do at the time, the sweep is woken by the new primary', async () => {
    const crew = await aCrew(target())
    const swept = async (): Promise<number> => crew.backend.queue('sweep').getCompletedCount()
    await expect.poll(swept, { timeout: 10_000 }).toBeGreaterThan(0)
    await failOver()
    const before = await eventually(swept)
    await expect.poll(swept, { timeout: 10_000 }).toBeGreaterThan(before + 1)
  })

  test('a primary that falls silent is given up', async () => {
    const crew = await aCrew(target())
    await crew.worksWithin(5_000)
    const wake = primary.freeze()
    onTestFinished(() => {
      wake()
    })
    const other = primary === pair.first ? pair.second : pair.first
    await other.ask((client) => client.replicaof('NO', 'ONE'))
    primary = other
    // The connections to the old server are silent, not closed: those that block may rightly be silent for ten seconds.
    await crew.worksWithin(30_000)
  })
})

describe('a password that is rotated', () => {
  test('is read again from REDIS_URL_FILE; a file that is wrong for a while only delays that', async () => {
    const server = await startRedisServer()
    onTestFinished(() => server.stop())
    const file = join(await mkdtemp(join(tmpdir(), 'reconsent-secret-')), 'redis_url')
    const write = (password: string): void => writeFileSync(file, `redis://app:${password}@127.0.0.1:${server.port}\n`)
    const rotate = async (password: string): Promise<void> => {
      await server.ask((client) =>
        client.call('ACL', 'SETUSER', 'app', 'reset', 'on', `>${password}`, '~*', '&*', '+@all', '-@dangerous'),
      )
      await server.ask((client) => client.call('CLIENT', 'KILL', 'USER', 'app'))
    }
    await rotate('first')
    write('first')
    const { queue } = await loadConfig({ cwd: '/', needs: ['queue'], env: { REDIS_URL_FILE: file }, policy: {} })
    const crew = await aCrew(queue)
    await crew.worksWithin(5_000)

    await rotate('second')
    await expect
      .poll(async () => crew.backend.tryOut(), { timeout: 10_000 })
      .toMatchObject({ ok: false, word: 'WRONGPASS' })
    writeFileSync(file, '')
    await expect.poll(async () => crew.backend.tryOut()).toMatchObject({ ok: false, word: 'WRONGPASS' })
    write('second')
    await crew.worksWithin(10_000)
    expect(JSON.stringify(crew.lines)).not.toMatch(/first|second/)
  })

  test('without a file, it goes on when the server takes the old one again', async () => {
    const server = await startRedisServer()
    onTestFinished(() => server.stop())
    const crew = await aCrew({ kind: 'redis', url: new Secret(server.url) })
    await server.ask(async (client) => {
      await client.config('SET', 'requirepass', 'hush')
      await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      await expect
        .poll(async () => crew.backend.tryOut(), { timeout: 10_000 })
        .toMatchObject({ ok: false, word: 'NOAUTH' })
      await client.config('SET', 'requirepass', '')
    })
    await crew.worksWithin(10_000)
  })
})

describe('a problem that passes by itself', () => {
  const refusals: Record<
    string,
    { readonly set: [string, string]; readonly unset: [string, string]; readonly word: string }
  > = {
    'too few replicas': {
      set: ['min-replicas-to-write', '1'],
      unset: ['min-replicas-to-write', '0'],
      word: 'NOREPLICAS',
    },
    'memory that is full': { set: ['maxmemory', '1'], unset: ['maxmemory', '0'], word: 'OOM' },
  }
  test.each(Object.entries(refusals))(
    '%s is named while it lasts and over when it is over',
    async (_, { set, unset, word }) => {
      const server = await startRedisServer()
      onTestFinished(() => server.stop())
      const crew = await aCrew({ kind: 'redis', url: new Secret(server.url) })
      await server.ask((client) => client.config('SET', ...set))
      await expect.poll(async () => crew.backend.tryOut(), { timeout: 10_000 }).toMatchObject({ ok: false, word })
      await server.ask((client) => client.config('SET', ...unset))
      await crew.worksWithin(10_000)
      expect(await crew.backend.tryOut()).toEqual({ ok: true })
    },
  )

  // With a maxmemory of 1 byte, scripts that only read still run, and RPOPLPUSH does not.
  const refusesTheNextJob: Record<
    string,
    { readonly set: [string, ...string[]]; readonly unset: [string, ...string[]] }
  > = {
    'memory that is full': { set: ['CONFIG', 'SET', 'maxmemory', '1'], unset: ['CONFIG', 'SET', 'maxmemory', '0'] },
    'a right that is missing': {
      set: ['ACL', 'SETUSER', 'default', '-rpoplpush'],
      unset: ['ACL', 'SETUSER', 'default', '+@all'],
    },
  }
  test.each(Object.entries(refusesTheNextJob))(
    '%s, while jobs wait: the server is not asked thousands of times',
    async (_, { set, unset }) => {
      const server = await startRedisServer()
      onTestFinished(() => server.stop())
      const ask = async ([name, ...words]: [string, ...string[]]): Promise<unknown> =>
        server.ask((client) => client.call(name, ...words))
      const scripts = async (): Promise<number> =>
        server.ask(async (client) =>
          Number(/cmdstat_evalsha:calls=(\d+)/.exec(await client.info('commandstats'))?.[1] ?? 0),
        )
      const { backend, work } = await aBackend({
        target: { kind: 'redis', url: new Secret(server.url) },
        prefix: aPrefix(),
      })
      const ids = Array.from({ length: 30 }, anId)
      await work.add(
        'reauth',
        ids.map((id) => ({ id, dispatchNo: 1 })),
      )
      await ask(set)
      const runs: string[] = []
      const reauth = async (id = '') => {
        runs.push(id)
        return done('made a link')
      }
      await workersOn(backend, { timings: { lockDuration: 30_000 }, handlers: { reauth } })
      const before = await scripts()
      await delay(2_500)
      expect((await scripts()) - before).toBeLessThan(20)
      await ask(unset)
      await expect.poll(() => runs.toSorted(), { timeout: 5_000 }).toEqual(ids.toSorted())
    },
  )
})
