// Redis and PostgreSQL that die, forget, fill up, or cannot be reached.
import { setTimeout as wait } from 'node:timers/promises'
import type { Rig } from '../rig.ts'
import type { Fault } from './fault.ts'

/** Redis answers again, and the schedule's clients have had a moment. */
const untilRedis = async ({ direct }: Rig): Promise<void> => void (await direct.ping())

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
      await rig.direct.flushall()
      await rig.proxies.redis.set({ kind: 'pass' })
      return 1
    },
  },
  'FLUSHALL': {
    lane: 'infrastructure',
    hinders: ['queue'],
    act: async ({ rig, chance, beforeEmptying }) => {
      await beforeEmptying()
      for (let time = 0; time < 3; time += 1) {
        await rig.direct.flushall()
        await wait(chance.between(200, 1200))
      }
      return 3
    },
  },
  'Redis at its memory limit': {
    lane: 'infrastructure',
    hinders: ['queue'],
    act: async ({ rig, span }) => {
      await rig.direct.config('SET', 'maxmemory', '1mb')
      await wait(span(15))
      await rig.direct.config('SET', 'maxmemory', '0')
      return 1
    },
  },
  'Redis unreachable': {
    lane: 'infrastructure',
    hinders: ['queue'],
    act: async ({ rig, span }) => {
      await rig.proxies.redis.set({ kind: 'blackhole' })
      await wait(span(60))
      await rig.proxies.redis.set({ kind: 'pass' })
      return 1
    },
  },
  'delete the key of the job scheduler': {
    lane: 'infrastructure',
    hinders: ['queue'],
    act: async ({ rig }) => {
      await untilRedis(rig)
      const keys = await rig.direct.keys('*:sweep:repeat*')
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
    act: async ({ rig, chance }) => {
      let ended = 0
      for (let time = 0; time < 4; time += 1) {
        const rows = await rig.sql<{ ended: boolean }>(`SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity
          WHERE datname = 'reconsent' AND application_name <> 'chaos' AND client_addr IS NOT NULL AND random() < 0.5`)
        ended += rows.length
        await wait(chance.between(200, 900))
      }
      return ended
    },
  },
  'cut acknowledgements of commits': {
    lane: 'infrastructure',
    hinders: ['database'],
    act: async ({ rig, chance, span }) => {
      const before = rig.proxies.postgres.swallowed()
      for (let time = 0; time < 8; time += 1) {
        await rig.proxies.postgres.set({ kind: 'cut-answer', after: 'COMMIT', times: chance.between(1, 3) })
        await wait(span(6) / 4)
      }
      await rig.proxies.postgres.set({ kind: 'pass' })
      return rig.proxies.postgres.swallowed() - before
    },
  },
  'PostgreSQL late': {
    lane: 'infrastructure',
    hinders: ['database'],
    act: async ({ rig, chance, span }) => {
      await rig.proxies.postgres.set({ kind: 'latency', ms: chance.between(20, 80) })
      await wait(span(20))
      await rig.proxies.postgres.set({ kind: 'pass' })
      return 1
    },
  },
  'PostgreSQL unreachable': {
    lane: 'infrastructure',
    hinders: ['database'],
    act: async ({ rig, chance, span }) => {
      await rig.proxies.postgres.set({ kind: chance.happens(0.5) ? 'blackhole' : 'refuse' })
      await wait(span(15))
      await rig.proxies.postgres.set({ kind: 'pass' })
      return 1
    },
  },
}
