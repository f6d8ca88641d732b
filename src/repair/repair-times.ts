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
import { type ShortLivedChange, planShortLived, writeShortLived } from './short-lived.ts'
import type { Aftermath, Plan, Unproven } from './plan.ts'
import { planConsent } from './plan-consent.ts'
import { type Offsets, offsetsToTry } from './prove-events.ts'
import { idsAfter, readConsents, type Reader } from './read-consents.ts'
import { reschedule } from './reschedule.ts'
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
const BETWEEN_ROUNDS_MS = 1_000
const PAGE_TIMEOUT_MS = 120_000

export const repairTimes = async (db: Database, options: RepairOptions): Promise<Repair> => {
  const offsets = offsetsToTry(options.zones)
  const first = await findZones(db, pages(db, options), offsets)
  const zones = options.zones === undefined ? first.zones : [{ names: options.zones }]
  const tally = startTally(options.now().toMillis())
  if (first.isClean && options.zones === undefined) {
    return { zones: [], busy: 0, ...tally.result(), looked: first.looked }
  }
  const run: Run = { ...options, db, offsets, tally, zoneNames: zones.map(({ names }) => names) }
  tally.shortLived(await repairShortLived(run))
  const busy = options.apply ? await applyPlans(run) : await countPlans(run)
  return { zones, busy, ...tally.result() }
}

/** What the second pass works with. */
interface Run extends RepairOptions {
  readonly db: Database
  readonly offsets: Offsets
  readonly tally: ReturnType<typeof startTally>
  readonly zoneNames: readonly (readonly string[])[]
}

/** Whether hashes prove that events of the consent are shifted. */
const hasShiftedEvents = ({ shifts }: Plan): boolean => shifts.byHash.length > 0

/** Counts what a run with `apply` would do. */
const countPlans = async (run: Run): Promise<number> => {
  for await (const page of pages(run.db, run)) {
    run.tally.plans(await planPage(run.db.prisma, page, run, () => true))
    await run.onPage?.(run.tally.looked())
  }
  return 0
}

/**
 * Writes the plans in two steps. Consents whose events are true come first: their shifts can be found only with the
 * zones that the other consents prove, and if the run is killed, a new run must still be able to find those zones.
 * Returns the number of consents that workers held all the time.
 */
const applyPlans = async (run: Run): Promise<number> => {
  const busy = new Set<string>()
  await applyStep(run, (plan) => !hasShiftedEvents(plan), busy)
  await applyStep(run, hasShiftedEvents, busy)
  return busy.size
}

/** Writes the plans that belong to the step. Consents that workers hold are tried again, for some rounds. */
const applyStep = async (run: Run, isOfStep: (plan: Plan) => boolean, busy: Set<string>): Promise<void> => {
  const { db, tally } = run
  // A plan with shifted events is written in any case: its next dates are computed once, under the locks.
  const needsDates = (plan: Plan): boolean => !hasShiftedEvents(plan)
  for await (const page of pages(db, run)) {
    const plans = await planPage(db.prisma, page, run, (plan) => isOfStep(plan) && needsDates(plan))
    const written = await writePlansOf(run, plans.filter(isOfStep))
    tally.plans(written.plans)
    for (const id of written.busy) busy.add(id)
    await run.onPage?.(tally.looked())
  }
  for (let round = 1; busy.size > 0 && round < ROUNDS && run.signal?.aborted !== true; round += 1) {
    await setTimeout(BETWEEN_ROUNDS_MS)
    const written = await writePlansOf(run, await planPage(db.prisma, [...busy], run, needsDates))
    tally.plans(written.plans)
    for (const id of [...busy]) if (!written.busy.includes(id)) busy.delete(id)
  }
}

/** Yields all ids in order, a page at a time. */
async function* pages({ prisma }: Database, { pageSize = PAGE, signal }: RepairOptions): AsyncGenerator<string[]> {
  let ids = await idsAfter(prisma, undefined, pageSize)
  while (ids.length > 0 && signal?.aborted !== true) {
    yield ids
    ids = await idsAfter(prisma, ids.at(-1), pageSize)
  }
}

/** Plans these consents, and their next dates where `needsDates`. */
const planPage = async (
  tx: Reader,
  ids: readonly string[],
  { offsets, zoneNames: zones, now, policy }: Run,
  needsDates: (plan: Plan) => boolean,
): Promise<Plan[]> => {
  const at = now()
  return (await readConsents(tx, ids)).map((stored) => {
    const plan = planConsent(stored, { offsets, zones })
    return needsDates(plan) ? reschedule(stored, plan, { now: at, policy, zones }) : plan
  })
}

/** Writes plans under locks. Returns the plans as they were written, and the consents that workers hold. */
const writePlansOf = async (run: Run, plans: readonly Plan[]): Promise<{ plans: readonly Plan[]; busy: string[] }> => {
  const wanted = plans.filter(({ changes }) => changes.length > 0).map(({ consentId }) => consentId)
  if (wanted.length === 0) return { plans, busy: [] }
  const { free, planned } = await run.db.prisma.$transaction(
    async (tx: Transaction) => {
      const locked = await lockConsents(tx, wanted)
      // Plans again under the locks: a consent may have changed since it was first planned.
      const again = await planPage(tx, locked, run, () => true)
      const changed = again.filter(({ changes }) => changes.length > 0)
      if (changed.length > 0) await writePlans(tx, changed)
      return { free: locked, planned: changed }
    },
    { timeout: PAGE_TIMEOUT_MS, maxWait: PAGE_TIMEOUT_MS },
  )
  const busy = wanted.filter((id) => !free.includes(id))
  const unchanged = plans.filter(({ consentId }) => !wanted.includes(consentId))
  return { plans: [...planned, ...unchanged], busy }
}

const repairShortLived = async ({ db, apply, now, zoneNames }: Run): Promise<readonly ShortLivedChange[]> => {
  const zone = zoneNames[0]?.[0]
  if (zone === undefined) return []
  if (!apply) return planShortLived(db.prisma, now())
  return db.prisma.$transaction(async (tx) => writeShortLived(tx, zone, now()))
}
