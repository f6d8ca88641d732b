// What the nemesis can do, by name: each acts for a while, heals what it did, and answers how often it really happened.
import { setTimeout as wait } from 'node:timers/promises'
import type { FaultSettings } from '../src/simulator/fault-kinds.ts'
import type { FaultOrder } from '../src/simulator/faults.ts'
import type { Role } from '../src/main.ts'
import { type Rig, LEASE_MS } from './rig.ts'
import type { Chance } from './seeded.ts'

export type Lane = 'processes' | 'infrastructure' | 'provider' | 'mail'

export interface Stage {
  readonly rig: Rig
  readonly chance: Chance
  /** Milliseconds for what takes so many seconds in a run of twenty minutes. */
  readonly span: (seconds: number) => number
  /** Looks at what Redis holds before it is lost. */
  readonly beforeEmptying: () => Promise<void>
}

export interface Fault {
  readonly lane: Lane
  readonly act: (stage: Stage) => Promise<number>
}

const pickMember = ({ rig, chance }: Stage, role: Role) => {
  const members = rig.fleet.members(role)
  return members.length === 0 ? undefined : chance.pick(members)
}

const kill = (role: Role): Fault => ({
  lane: 'processes',
  act: async (stage) => {
    const member = pickMember(stage, role)
    if (member === undefined) return 0
    await stage.rig.fleet.kill(member, stage.chance.between(100, 1500))
    return 1
  },
})

const pause = (role: Role): Fault => ({
  lane: 'processes',
  act: async (stage) => {
    const member = pickMember(stage, role)
    if (member === undefined) return 0
    // Slow answers make sure that the process sleeps with work in hand, past its lease, while another takes over.
    const slow = stage.rig.simulator.faults.add({ endpoint: 'reauthuri', kind: 'slow', ms: 900, rate: 0.5 })
    await wait(300)
    await stage.rig.fleet.pause(member, LEASE_MS + stage.chance.between(1500, 4000))
    stage.rig.simulator.faults.remove(slow.id)
    return 1
  },
})

/** The simulator's own faults: counted where they fired. */
const atSimulator = (lane: Lane, seconds: number, orders: (chance: Chance) => readonly FaultOrder[]): Fault => ({
  lane,
  act: async ({ rig: { simulator }, chance, span }) => {
    const added = orders(chance).map((order) => simulator.faults.add(order).id)
    const met = (): number => simulator.faults.list().filter(({ id }) => added.includes(id)).reduce((sum, fault) => sum + fault.fired, 0)
    await wait(span(seconds))
    // A fault that nobody met shows nothing: it waits a little for somebody.
    const end = Date.now() + 2 * span(seconds)
    while (met() === 0 && Date.now() < end) await wait(100)
    const fired = met()
    for (const id of added) simulator.faults.remove(id)
    return fired
  },
})

const CALLS = ['reauthuri', 'exchange', 'refresh', 'me'] as const
const everywhere = (fault: FaultSettings): readonly FaultOrder[] => CALLS.map((endpoint) => ({ ...fault, endpoint }))

/** Time goes by while a long outage lasts: ten minutes of it need not take ten minutes. */
const meanwhile = async ({ rig: { clock } }: Stage, ms: number, minutes: number): Promise<void> => {
  const steps = Math.max(2, Math.round(ms / 1000))
  for (let step = 0; step < steps; step += 1) {
    await wait(ms / steps)
    clock.advance({ seconds: Math.round((minutes * 60) / steps) })
  }
}

/** Redis answers again, and the schedule's clients have had a moment. */
const untilRedis = async ({ direct }: Rig): Promise<void> => void (await direct.ping())

export const faults: Readonly<Record<string, Fault>> = {
  'kill a worker': kill('worker'),
  'kill a web process': kill('web'),
  'kill a scheduler': kill('scheduler'),
  'pause a worker past its lease': pause('worker'),
  'pause a web process': pause('web'),
  'pause a scheduler': pause('scheduler'),
  'roll all processes': {
    lane: 'processes',
    act: async ({ rig }) => {
      await rig.fleet.roll()
      return 1
    },
  },
  'kill all workers at once': {
    lane: 'processes',
    act: async ({ rig, chance }) => {
      const workers = rig.fleet.members('worker')
      await Promise.all(workers.map(async (member) => rig.fleet.kill(member, chance.between(100, 800))))
      return workers.length
    },
  },

  'kill Redis, with its file': {
    lane: 'infrastructure',
    act: async ({ rig, chance }) => {
      await rig.redis.kill()
      await wait(chance.between(200, 1500))
      await rig.redis.start()
      return 1
    },
  },
  'restart Redis empty': {
    lane: 'infrastructure',
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
    act: async ({ rig, span }) => {
      await rig.direct.config('SET', 'maxmemory', '1mb')
      await wait(span(15))
      await rig.direct.config('SET', 'maxmemory', '0')
      return 1
    },
  },
  'Redis unreachable': {
    lane: 'infrastructure',
    act: async ({ rig, span }) => {
      await rig.proxies.redis.set({ kind: 'blackhole' })
      await wait(span(60))
      await rig.proxies.redis.set({ kind: 'pass' })
      return 1
    },
  },
  'delete the key of the job scheduler': {
    lane: 'infrastructure',
    act: async ({ rig }) => {
      await untilRedis(rig)
      const keys = await rig.direct.keys('*:sweep:repeat*')
      return keys.length === 0 ? 0 : rig.direct.del(...keys)
    },
  },
  'restart PostgreSQL immediately': {
    lane: 'infrastructure',
    act: async ({ rig, chance }) => {
      await rig.postgres.crash()
      await wait(chance.between(100, 1500))
      await rig.postgres.start()
      return 1
    },
  },
  'terminate backends': {
    lane: 'infrastructure',
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
    act: async ({ rig, chance, span }) => {
      await rig.proxies.postgres.set({ kind: 'latency', ms: chance.between(20, 80) })
      await wait(span(20))
      await rig.proxies.postgres.set({ kind: 'pass' })
      return 1
    },
  },
  'PostgreSQL unreachable': {
    lane: 'infrastructure',
    act: async ({ rig, chance, span }) => {
      await rig.proxies.postgres.set({ kind: chance.happens(0.5) ? 'blackhole' : 'refuse' })
      await wait(span(15))
      await rig.proxies.postgres.set({ kind: 'pass' })
      return 1
    },
  },

  '429 with Retry-After': atSimulator('provider', 20, () => everywhere({ kind: 'rate-limited', retry_after: 1, rate: 0.5 })),
  '429 without Retry-After': atSimulator('provider', 20, () => everywhere({ kind: 'rate-limited', rate: 0.5 })),
  '500 before and after processing': atSimulator('provider', 20, () => [
    ...everywhere({ kind: 'error-json', rate: 0.2 }),
    ...everywhere({ kind: 'error-json', processed: true, rate: 0.25 }),
  ]),
  '502 with a page': atSimulator('provider', 20, () => [
    ...everywhere({ kind: 'error-html', rate: 0.2 }),
    ...everywhere({ kind: 'error-html', processed: true, rate: 0.25 }),
  ]),
  'time-outs': atSimulator('provider', 20, () => [
    ...everywhere({ kind: 'slow', ms: 2500, rate: 0.15 }),
    ...everywhere({ kind: 'slow', ms: 2500, processed: true, rate: 0.2 }),
  ]),
  'reset before processing': atSimulator('provider', 20, () => everywhere({ kind: 'reset-before', rate: 0.4 })),
  'reset after processing': atSimulator('provider', 20, () => everywhere({ kind: 'reset-after', rate: 0.4 })),
  'one byte a second': atSimulator('provider', 20, () => everywhere({ kind: 'drip', interval_ms: 1000, rate: 0.25 })),
  'answers cut in the middle': atSimulator('provider', 20, () => everywhere({ kind: 'bad-json', rate: 0.3 })),
  'ten minutes of invalid_client': {
    lane: 'provider',
    act: async (stage) => {
      const { simulator, clock } = stage.rig
      const before = simulator.ledger.count({ outcome: 'invalid_client' })
      simulator.switches.set({ invalid_client_until: clock.now().plus({ minutes: 10 }).toISO() })
      await meanwhile(stage, stage.span(40), 10)
      simulator.switches.set({ invalid_client_until: null })
      return simulator.ledger.count({ outcome: 'invalid_client' }) - before
    },
  },
  'fifteen minutes of nothing at all': {
    lane: 'provider',
    act: async (stage) => {
      const { provider } = stage.rig.proxies
      await provider.set({ kind: stage.chance.happens(0.5) ? 'refuse' : 'blackhole' })
      await meanwhile(stage, stage.span(50), 15)
      await provider.set({ kind: 'pass' })
      return 1
    },
  },
  'connections to the provider cut': {
    lane: 'provider',
    act: async ({ rig, chance }) => {
      let cut = 0
      for (let time = 0; time < 10; time += 1) {
        cut += rig.proxies.provider.cut()
        await wait(chance.between(50, 400))
      }
      return cut
    },
  },
  'refresh tokens rotate': {
    lane: 'provider',
    act: async ({ rig: { simulator }, chance, span }) => {
      const before = simulator.ledger.count({ what: 'rotated' })
      simulator.switches.set({ rotate_refresh_tokens: chance.pick(['on-reauth', 'on-refresh', 'always'] as const) })
      await wait(span(60))
      simulator.switches.set({ rotate_refresh_tokens: 'never' })
      return simulator.ledger.count({ what: 'rotated' }) - before
    },
  },
  'new dates show late': {
    lane: 'provider',
    act: async ({ rig: { simulator }, span }) => {
      simulator.switches.set({ me_lag_seconds: 8 })
      await wait(span(30))
      simulator.switches.set({ me_lag_seconds: 0 })
      return 1
    },
  },

  'mail put off (4xx)': atSimulator('mail', 20, () => [
    { endpoint: 'mail', kind: 'rcpt-4xx', rate: 0.25 },
    { endpoint: 'mail', kind: 'data-4xx', rate: 0.25 },
  ]),
  'mail refused (5xx)': atSimulator('mail', 10, () => [
    { endpoint: 'mail', kind: 'rcpt-5xx', rate: 0.15 },
    { endpoint: 'mail', kind: 'data-5xx', rate: 0.15 },
  ]),
  'cut after the final dot': atSimulator('mail', 20, () => [
    { endpoint: 'mail', kind: 'cut-after-dot', rate: 0.25 },
    { endpoint: 'mail', kind: 'cut-after-dot', stored: false, rate: 0.2 },
  ]),
  'mail server answers too late': atSimulator('mail', 20, () => [{ endpoint: 'mail', kind: 'slow-mail', ms: 2200, rate: 0.4 }]),
  'connections to the mail server cut': {
    lane: 'mail',
    act: async ({ rig, chance }) => {
      let cut = 0
      for (let time = 0; time < 10; time += 1) {
        cut += rig.proxies.smtp.cut()
        await wait(chance.between(50, 400))
      }
      return cut
    },
  },
  'mail server unreachable': {
    lane: 'mail',
    act: async ({ rig, chance, span }) => {
      await rig.proxies.smtp.set({ kind: chance.happens(0.5) ? 'refuse' : 'blackhole' })
      await wait(span(20))
      await rig.proxies.smtp.set({ kind: 'pass' })
      return 1
    },
  },
  'connections of users cut': {
    lane: 'mail',
    act: async ({ rig, chance }) => {
      let cut = 0
      for (let time = 0; time < 10; time += 1) {
        cut += rig.proxies.web.cut()
        await wait(chance.between(50, 300))
      }
      return cut
    },
  },
}
