// Faults of the provider: it refuses, breaks off, does not answer, or loses its answers.
import { setTimeout as wait } from 'node:timers/promises'
import type { FaultSettings } from '../../../simulator/src/fault-kinds.ts'
import type { FaultOrder } from '../../../simulator/src/faults.ts'
import type { OwnSwitchName } from '../../../simulator/src/switches.ts'
import { countFromNow } from '../logs.ts'
import { atSimulator, barFor, cutAgain, type Fault, type Stage, untilMet } from './fault.ts'

const CALLS = ['reauthuri', 'exchange', 'refresh', 'me'] as const
const everywhere = (fault: FaultSettings): readonly FaultOrder[] => CALLS.map((endpoint) => ({ ...fault, endpoint }))

/** Moves the clock during a long outage, so that ten minutes of outage need not take ten real minutes. */
const meanwhile = async ({ rig: { clock } }: Stage, ms: number, minutes: number): Promise<void> => {
  const steps = Math.max(2, Math.round(ms / 1000))
  for (let step = 0; step < steps; step += 1) {
    await wait(ms / steps)
    clock.advance({ seconds: Math.round((minutes * 60) / steps) })
  }
}

/**
 * Counts this effect from now on. Connections that have set the switch for themselves are left out: they do not meet a
 * fault that sets it for all.
 */
const countWhereSetForAll = (
  { rig: { simulator } }: Stage,
  what: 'rotated' | 'renewed',
  name: OwnSwitchName,
): (() => number) => {
  const after = simulator.ledger.count()
  return () =>
    simulator.ledger
      .entries({ what, after })
      .filter(({ credentials_id: id = '' }) => simulator.connection(id)?.switches[name] === undefined).length
}

export const ofProvider: Readonly<Record<string, Fault>> = {
  '429 with Retry-After': atSimulator('provider', ['provider-refuses'], 20, () =>
    everywhere({ kind: 'rate-limited', retry_after: 1, rate: 0.5 }),
  ),
  '429 without Retry-After': atSimulator('provider', ['provider-refuses'], 20, () =>
    everywhere({ kind: 'rate-limited', rate: 0.5 }),
  ),
  '500 before and after processing': atSimulator('provider', ['provider-fails'], 20, () => [
    ...everywhere({ kind: 'error-json', rate: 0.2 }),
    ...everywhere({ kind: 'error-json', processed: true, rate: 0.25 }),
  ]),
  '502 with a page': atSimulator('provider', ['provider-fails'], 20, () => [
    ...everywhere({ kind: 'error-html', rate: 0.2 }),
    ...everywhere({ kind: 'error-html', processed: true, rate: 0.25 }),
  ]),
  'time-outs': atSimulator('provider', ['provider-fails'], 20, () => [
    ...everywhere({ kind: 'slow', ms: 2500, rate: 0.15 }),
    ...everywhere({ kind: 'slow', ms: 2500, processed: true, rate: 0.2 }),
  ]),
  'reset before processing': atSimulator('provider', ['provider-fails'], 20, () =>
    everywhere({ kind: 'reset-before', rate: 0.4 }),
  ),
  'reset after processing': atSimulator('provider', ['provider-fails'], 20, () =>
    everywhere({ kind: 'reset-after', rate: 0.4 }),
  ),
  'one byte a second': atSimulator('provider', ['provider-fails'], 20, () =>
    everywhere({ kind: 'drip', interval_ms: 1000, rate: 0.25 }),
  ),
  'answers cut in the middle': atSimulator('provider', ['provider-fails'], 20, () =>
    everywhere({ kind: 'bad-json', rate: 0.3 }),
  ),
  'ten minutes of invalid_client': {
    lane: 'provider',
    hinders: ['provider-refuses'],
    act: async (stage) => {
      const { simulator, clock } = stage.rig
      const before = simulator.ledger.count({ outcome: 'invalid_client' })
      simulator.switches.set({ invalid_client_until: clock.now().plus({ minutes: 10 }).toISO() })
      await meanwhile(stage, stage.span(40), 10)
      await untilMet(() => simulator.ledger.count({ outcome: 'invalid_client' }) - before, stage.span(20))
      simulator.switches.set({ invalid_client_until: null })
      return simulator.ledger.count({ outcome: 'invalid_client' }) - before
    },
  },
  'fifteen minutes of nothing at all': {
    lane: 'provider',
    hinders: ['provider-refuses', 'provider-breaks'],
    each: 'call',
    act: async (stage) => {
      const { proxies, logFolder } = stage.rig
      const refused = await countFromNow(logFolder, /provider-(?:unreachable|timeout)/)
      const behaviour = { kind: stage.chance.happens(0.5) ? 'refuse' : 'blackhole' } as const
      return barFor(proxies.provider, behaviour, {
        ms: stage.span(50),
        meanwhile: async (ms) => meanwhile(stage, ms, 15),
        refused,
      })
    },
  },
  'connections to the provider cut': {
    lane: 'provider',
    hinders: ['provider-breaks'],
    each: 'call',
    act: async (stage) => cutAgain(stage.rig.proxies.provider, stage, 400),
  },
  'refresh tokens rotate': {
    lane: 'provider',
    hinders: [],
    act: async (stage) => {
      const { rig, chance, span } = stage
      const { simulator } = rig
      const rotated = countWhereSetForAll(stage, 'rotated', 'rotate_refresh_tokens')
      simulator.switches.set({ rotate_refresh_tokens: chance.pick(['on-reauth', 'on-refresh', 'always'] as const) })
      await wait(span(60))
      const count = await untilMet(rotated, span(30))
      simulator.switches.set({ rotate_refresh_tokens: 'never' })
      return count
    },
  },
  'new dates show late': {
    lane: 'provider',
    hinders: [],
    act: async (stage) => {
      const { rig, span } = stage
      const { simulator } = rig
      // A new date can show late only where a consent was renewed.
      const renewed = countWhereSetForAll(stage, 'renewed', 'me_lag_seconds')
      simulator.switches.set({ me_lag_seconds: 8 })
      await wait(span(30))
      const count = await untilMet(renewed, span(30))
      simulator.switches.set({ me_lag_seconds: 0 })
      return count
    },
  },
}
