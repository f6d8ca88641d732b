// Corrects the instants that release 0.1.0 stored shifted: a first pass over everything finds the zones, then what is
// proven is written page by page. A run that was killed can be repeated with the same result; a second run finds
// nothing.
import { setTimeout } from 'node:timers/promises'
import type { DateTime } from 'luxon'
import type { Policy } from '../domain/policy.ts'
import type { ZoneFound } from '../domain/shifted-instant.ts'
import type { Database, Transaction } from '../store/database.ts'
import { findZones } from './find-zones.ts'
import { lockConsents } from './lock-consents.ts'
import { type PassingChange, planPassing, writePassing } from './passing.ts'
import type { Aftermath, Plan, Unproven } from './plan.ts'
import { planConsent } from './plan-consent.ts'
import { type Offsets, offsetsToTry } from './prove-events.ts'
import { idsAfter, readConsents, type Reader } from './read-consents.ts'
import { redate } from './redate.ts'
import { startTally } from './tally.ts'
import { writePlans } from './write-plans.ts'

export interface RepairOptions {
  readonly now: () => DateTime
  readonly policy: Policy
  /** Only these zones; by default, those that the events' hashes prove. */
  readonly zones?: readonly string[] | undefined
  readonly apply: boolean
  /** Called after each page of consents with the number examined so far. */
  readonly onPage?: ((looked: number) => Promise<void> | void) | undefined
  readonly pageSize?: number
  /** Stops after the current page; what is written stays written. */
  readonly signal?: AbortSignal | undefined
}

export interface Repair {
  readonly zones: readonly ZoneFound[]
  /** Number of consents examined. */
  readonly looked: number
  /** Number of consents with something to correct. */
  readonly shifted: number
  /** Counts by table, column and proof. */
  readonly changes: readonly { readonly what: string; readonly by: string; readonly rows: number }[]
  readonly unproven: readonly Unproven[]
  readonly aftermath: readonly Aftermath[]
  /** Number of consents that workers held all the time; another run must repair them. */
  readonly busy: number
  /** Whether shifted instants are still being written, by a process of release 0.1.0. */
  readonly stillWritten: boolean
}

const PAGE = 200
/** All rounds together last longer than the default lease; a consent held longer is left for another run. */
const ROUNDS = 90
const REST_MS = 1_000
const PAGE_TIMEOUT_MS = 120_000
const FIRST = '00000000-0000-0000-0000-000000000000'

export const repairTimes = async (db: Database, options: RepairOptions): Promise<Repair> => {
  const offsets = offsetsToTry(options.zones)
  const first = await findZones(db, pages(db, options), offsets)
  const zones = options.zones === undefined ? first.zones : [{ names: options.zones }]
  const look: Look = { ...options, offsets, names: zones.map(({ names }) => names) }
  const tally = startTally(options.now().toMillis())
  if (first.isClean && options.zones === undefined) {
    return { zones: [], busy: 0, ...tally.result(), looked: first.looked }
  }
  tally.passing(await repairPassing(db, look))
  const byHash = ({ shifts }: Plan): boolean => shifts.byHash.length > 0
  // The first step handles the consents whose events are true, since their shifts can be found only with the zones that
  // the other consents prove. If the run is killed, a new run must still be able to find those zones.
  const steps = options.apply ? [(plan: Plan) => !byHash(plan), byHash] : [() => true]
  // Where events will be written anyway, next dates are computed once, under the locks.
  const isDated = (plan: Plan): boolean => !options.apply || !byHash(plan)
  const busy = new Set<string>()
  for (const belongs of steps) {
    for await (const page of pages(db, options)) {
      const plans = await lookAt(db.prisma, page, look, (plan) => belongs(plan) && isDated(plan))
      const mine = plans.filter(belongs)
      const kept = options.apply ? await writePage(db, mine, look) : { plans: mine, busy: [] }
      tally.plans(kept.plans)
      for (const id of kept.busy) busy.add(id)
      await options.onPage?.(tally.looked())
    }
    for (let round = 1; busy.size > 0 && round < ROUNDS && options.signal?.aborted !== true; round += 1) {
      await setTimeout(REST_MS)
      const kept = await writePage(db, await lookAt(db.prisma, [...busy], look, isDated), look)
      tally.plans(kept.plans)
      for (const id of [...busy]) if (!kept.busy.includes(id)) busy.delete(id)
    }
  }
  return { zones, busy: busy.size, ...tally.result() }
}

/** Yields all ids in order, a page at a time. */
async function* pages({ prisma }: Database, { pageSize = PAGE, signal }: RepairOptions): AsyncGenerator<string[]> {
  for (let after: string | undefined = FIRST; after !== undefined && signal?.aborted !== true;) {
    const ids: string[] = await idsAfter(prisma, after, pageSize)
    if (ids.length > 0) yield ids
    after = ids.at(-1)
  }
}

interface Look extends RepairOptions {
  readonly offsets: Offsets
  readonly names: readonly (readonly string[])[]
}

const lookAt = async (
  tx: Reader,
  ids: readonly string[],
  { offsets, names, now, policy }: Look,
  isDated: (plan: Plan) => boolean,
): Promise<Plan[]> => {
  const at = now()
  return (await readConsents(tx, ids)).map((stored) => {
    const plan = planConsent(stored, { offsets, zones: names })
    return isDated(plan) ? redate(stored, plan, { now: at, policy, zones: names }) : plan
  })
}
const always = (): boolean => true

const writePage = async (
  db: Database,
  plans: readonly Plan[],
  look: Look,
): Promise<{ plans: readonly Plan[]; busy: string[] }> => {
  const wanted = plans.filter(({ changes }) => changes.length > 0).map(({ consentId }) => consentId)
  if (wanted.length === 0) return { plans, busy: [] }
  const written = await db.prisma.$transaction(
    async (tx: Transaction) => {
      const free = await lockConsents(tx, wanted)
      // Plans again under the locks: a consent may have changed since it was first planned.
      const planned = (await lookAt(tx, free, look, always)).filter(({ changes }) => changes.length > 0)
      if (planned.length > 0) await writePlans(tx, planned)
      return { planned, free }
    },
    { timeout: PAGE_TIMEOUT_MS, maxWait: PAGE_TIMEOUT_MS },
  )
  const busy = wanted.filter((id) => !written.free.includes(id))
  const rest = plans.filter(({ consentId }) => !wanted.includes(consentId))
  return { plans: [...written.planned, ...rest], busy }
}

const repairPassing = async (db: Database, { apply, now, names }: Look): Promise<readonly PassingChange[]> => {
  const zone = names[0]?.[0]
  if (zone === undefined) return []
  if (!apply) return planPassing(db.prisma, now())
  return db.prisma.$transaction(async (tx) => writePassing(tx, zone, now()))
}
