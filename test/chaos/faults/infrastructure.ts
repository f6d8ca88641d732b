// Faults of Redis and PostgreSQL: they are killed, lose data, are full, or cannot be reached.
import { setTimeout as wait } from 'node:timers/promises'
import type { Rig } from '../rig.ts'
import { barFor, type Fault, untilMet } from './fault.ts'

/** Resolves when Redis answers. */
const untilRedis = async ({ direct }: Rig): Promise<void> => void (await direct.ping())

/** The number of commands that Redis itself has refused since its start because its memory was full. */
const refusedForMemory = async ({ direct }: Pick<Rig, 'direct'>): Promise<number> =>
  Number(/errorstat_OOM:count=(\d+)/.exec(await direct.info('errorstats'))?.[1] ?? 0)

/** Empties Redis; returns 1 if Redis held any key. */
export const empty = async ({ direct }: Pick<Rig, 'direct'>): Promise<number> => {
  const keys = await direct.dbsize()
  await direct.flushall()
  return Math.min(keys, 1)
}

export const ofInfrastructure: Readonly<Record<string, Fault>> = {
  'kill Redis, with its file': {
    lane: 'infrastructure',
    hinders: ['queue'],
    act: async ({ rig, chance }) => {
      await rig.redis.kill()
      await wait(chance.between(200, 1500))
      await rig.redis.start()
      return 1
    },
  },
  'restart Redis empty': {
    lane: 'infrastructure',
    hinders: ['queue'],
    act: async ({ rig, beforeEmptying }) => {
      await beforeEmptying()
      await rig.proxies.redis.set({ kind: 'refuse' })
      await rig.redis.kill()
      await rig.redis.start()
      const held = await empty(rig)
      await rig.proxies.redis.set({ kind: 'pass' })
      return held
    },
  },
  FLUSHALL: {
    lane: 'infrastructure',
    hinders: ['queue'],
    act: async ({ rig, chance, beforeEmptying }) => {
      await beforeEmptying()
      let emptied = 0
      for (let time = 0; time < 3; time += 1) {
        emptied += await empty(rig)
        await wait(chance.between(200, 1200))
      }
      return emptied
    },
  },
  'Redis at its memory limit': {
    lane: 'infrastructure',
    hinders: ['queue'],
    act: async ({ rig, span }) => {
      const before = await refusedForMemory(rig)
      const refused = async (): Promise<number> => (await refusedForMemory(rig)) - before
      await rig.direct.config('SET', 'maxmemory', '1mb')
      try {
        await wait(span(15))
        return await untilMet(refused, span(15))
      } finally {
        await rig.direct.config('SET', 'maxmemory', '0')
      }
    },
  },
  'Redis fails over': {
    lane: 'infrastructure',
    hinders: ['queue'],
    act: async ({ rig, span, beforeEmptying }) => {
      await beforeEmptying()
      const refused = await rig.failOverRedis()
      // Processes meet this fault when their connections have stayed with the old primary.
      return untilMet(refused, span(30))
    },
  },
  'Redis unreachable': {
    lane: 'infrastructure',
    hinders: ['queue'],
    act: async ({ rig, span }) => barFor(rig.proxies.redis, { kind: 'blackhole' }, { ms: span(60) }),
  },
  'delete the key of the job scheduler': {
    lane: 'infrastructure',
    hinders: ['queue'],
    act: async ({ rig, span }) => {
      await untilRedis(rig)
      const find = async (): Promise<string[]> => rig.direct.keys('*:sweep:repeat*')
      // A Redis that was just emptied has no such key until the watchdog notices.
      await untilMet(async () => (await find()).length, span(15))
      const keys = await find()
      return keys.length === 0 ? 0 : rig.direct.del(...keys)
    },
  },
  'restart PostgreSQL immediately': {
    lane: 'infrastructure',
    hinders: ['database'],
    act: async ({ rig, chance }) => {
      await rig.postgres.crash()
      await wait(chance.between(100, 1500))
      await rig.postgres.start()
      return 1
    },
  },
  'terminate backends': {
    lane: 'infrastructure',
    hinders: ['database'],
    each: 'call',
    act: async ({ rig, chance }) => {
      let ended = 0
      for (let time = 0; time < 4; time += 1) {
        const rows = await rig.sql<{ ended: boolean }>(`SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity
          WHERE datname = 'reconsent' AND application_name <> 'chaos' AND client_addr IS NOT NULL AND random() < 0.5`)
        ended += rows.filter((row) => row.ended).length
        await wait(chance.between(200, 900))
      }
      return ended
    },
  },
  'cut acknowledgements of commits': {
    lane: 'infrastructure',
    hinders: ['database'],
    each: 'call',
    act: async ({ rig, chance, span }) => {
      const before = rig.proxies.postgres.swallowed()
      for (let time = 0; time < 8; time += 1) {
        // A step is one named statement, and commits by itself (src/store/statements.ts).
        const after = chance.happens(0.3) ? 'COMMIT' : 'step_'
        await rig.proxies.postgres.set({ kind: 'cut-answer', after, times: chance.between(1, 3) })
        await wait(span(6) / 4)
      }
      await rig.proxies.postgres.set({ kind: 'pass' })
      return rig.proxies.postgres.swallowed() - before
    },
  },
  'PostgreSQL late': {
    lane: 'infrastructure',
    hinders: ['database-late'],
    act: async ({ rig, chance, span }) =>
      barFor(rig.proxies.postgres, { kind: 'latency', ms: chance.between(20, 80) }, { ms: span(20) }),
  },
  'PostgreSQL unreachable': {
    lane: 'infrastructure',
    hinders: ['database'],
    each: 'outage',
    act: async ({ rig, chance, span }) =>
      barFor(rig.proxies.postgres, { kind: chance.happens(0.5) ? 'blackhole' : 'refuse' }, { ms: span(15) }),
  },
}
