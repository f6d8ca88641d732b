// The status and cycle that a consent's events give it, from the first event on. Pure; `reconsent verify` compares the
// result with what is stored. Every change of status or cycle must have an event of its own, whose data holds whatever
// the event's type does not say.
import type { ConsentStatus } from './model.ts'

export interface ReplayedEvent {
  readonly type: string
  readonly data: Readonly<Record<string, unknown>>
}

export interface Replayed {
  readonly status: ConsentStatus
  /** The cycle that is running. */
  readonly cycle: number
}

type Fold = (before: Replayed, data: ReplayedEvent['data']) => Replayed

const becomes =
  (status: ConsentStatus): Fold =>
  (before) => ({ ...before, status })

const statusOf = (data: ReplayedEvent['data'], otherwise: ConsentStatus): ConsentStatus =>
  (data['status'] ?? otherwise) as ConsentStatus
const cycleOf = (data: ReplayedEvent['data'], otherwise: number): number =>
  typeof data['cycle'] === 'number' ? data['cycle'] : otherwise
/** The event's `cycle` is the cycle that ended with this event. */
const nextCycle = (data: ReplayedEvent['data'], before: Replayed): number =>
  typeof data['cycle'] === 'number' ? data['cycle'] + 1 : before.cycle
const backInCycle: Fold = (before, data) => ({ status: 'active', cycle: cycleOf(data, before.cycle) })

/** Only the events that change status or cycle; all other events leave both as they are. */
const folds: Readonly<Record<string, Fold>> = {
  'consent.imported': (before, data) => ({ status: statusOf(data, 'active'), cycle: cycleOf(data, before.cycle) }),
  'consent.updated': (before, data) => ({ ...before, status: statusOf(data, before.status) }),
  'consent.repaired': (before, data) => ({ status: statusOf(data, before.status), cycle: nextCycle(data, before) }),
  // A consent renewed by another connection (`by`) does not continue itself: `consent.superseded` follows.
  'consent.renewed': (before, data) =>
    data['by'] === undefined ? { status: 'active', cycle: nextCycle(data, before) } : before,
  'consent.lapsed': becomes('lapsed'),
  'consent.unsupported': becomes('unsupported'),
  'consent.quarantined': becomes('quarantined'),
  'consent.paused': becomes('paused'),
  'consent.superseded': becomes('superseded'),
  // A consent that an import had wrongly closed as `superseded` becomes again what it was before.
  'consent.reopened': (before, data) => ({ status: statusOf(data, 'active'), cycle: cycleOf(data, before.cycle) }),
  'consent.closed': (before, data) => ({ ...before, status: (data['as'] ?? before.status) as ConsentStatus }),
  'consent.resumed': backInCycle,
  'consent.released': backInCycle,
  'renewal.requested': backInCycle,
  'renewal.opened': (before, data) => ({ ...before, cycle: cycleOf(data, before.cycle) }),
}

/** The types of event that change status or cycle. */
export const replayedTypes: readonly string[] = Object.keys(folds)

/** The state after one more event. */
export const replayOne = (before: Replayed, { type, data }: ReplayedEvent): Replayed =>
  Object.hasOwn(folds, type) ? (folds[type]?.(before, data) ?? before) : before

/** The state before the first event: what a consent is created as. */
export const unborn: Replayed = { status: 'active', cycle: 1 }

/** The state after all events of one consent, oldest first. */
export const replay = (events: Iterable<ReplayedEvent>): Replayed => {
  let state = unborn
  for (const event of events) state = replayOne(state, event)
  return state
}
