// Puts right the instants that release 0.1.0 stored shifted: one look at everything tells the zones, then page by page what is proven is
// written. Killed and run again it comes to the same end; a second run finds nothing.
import { setTimeout } from 'node:timers/promises'
import type { DateTime } from 'luxon'
import type { Policy } from '../domain/policy.ts'
import { type Shift, type ZoneFound, zonesOf } from '../domain/shifted-instant.ts'
import type { Database, Transaction } from '../store/database.ts'
import { lockConsents } from './lock-consents.ts'
import { type PassingChange, planPassing, writePassing } from './passing.ts'
import type { Aftermath, Plan, Unproven } from './plan.ts'
import { planConsent } from './plan-consent.ts'
import { type Offsets, offsetsToTry } from './prove-events.ts'
import { idsAfter, readConsents, type Reader } from './read-consents.ts'
import { redate } from './redate.ts'
import { writePlans } from './write-plans.ts'

export interface RepairOptions {
  readonly now: () => DateTime
  readonly policy: Policy
  /** Only these zones; unless given, those that the events' hashes prove. */
  readonly zones?: readonly string[] | undefined
  readonly apply: boolean
  /** After each page of consents, with how many were looked at by then. */
  readonly onPage?: ((looked: number) => Promise<void> | void) | undefined
  readonly pageSize?: number
  /** Ends after the page that runs: what is done stays done. */
  readonly signal?: AbortSignal | undefined
}

export interface Repair {
  readonly zones: readonly ZoneFound[]
  /** Consents looked at. */
  readonly looked: number
  /** Consents with something to put right. */
  readonly shifted: number
  /** By table, column and proof. */
  readonly changes: readonly { readonly what: string; readonly by: string; readonly rows: number }[]
  readonly unproven: readonly Unproven[]
  readonly aftermath: readonly Aftermath[]
  /** Consents that workers held all along: to be done by another run. */
  readonly busy: number
  /** Something still writes shifted instants: a process of the release before runs. */
  readonly stillWritten: boolean
}

const PAGE = 200
/** Workers give their leases back within minutes. */
const ROUNDS = 20
const REST_MS = 500
const PAGE_TIMEOUT_MS = 120_000
const FIRST = '00000000-0000-0000-0000-000000000000'

export const repairTimes = async (db: Database, options: RepairOptions): Promise<Repair> => {
  const offsets = offsetsToTry(options.zones)
  const startedAt = options.now().toMillis()
  const first = await findZones(db, options, offsets)
  const zones = options.zones === undefined ? first.zones : [{ names: options.zones }]
  const names = zones.map((zone) => zone.names)
  const tally = startTally(startedAt)
  if (first.isClean && options.zones === undefined) return { zones: [], busy: 0, ...tally.result(), looked: first.looked }
  tally.passing(await repairPassing(db, names, options))
  // First what can be told only from the rest: those whose events are true. A run that is killed must leave the zones to be found again.
  const byHash = ({ shifts }: Plan): boolean => shifts.byHash.length > 0
  const steps = options.apply ? [(plan: Plan) => !byHash(plan), byHash] : [() => true]
  const busy = new Set<string>()
  for (const belongs of steps) {
    for await (const page of pages(db, options)) {
      // Next dates are asked for once, under the locks, where something is to be written anyway.
      const mine = (await lookAt(db.prisma, page, { ...options, offsets, names }, (plan) => belongs(plan) && !(options.apply && byHash(plan)))).filter(belongs)
      const kept = options.apply ? await writePage(db, mine, { ...options, offsets, names }) : { plans: mine, busy: [] }
      tally.plans(kept.plans)
      for (const id of kept.busy) busy.add(id)
      await options.onPage?.(tally.looked())
    }
    for (let round = 1; busy.size > 0 && round < ROUNDS && options.signal?.aborted !== true; round += 1) {
      await setTimeout(REST_MS)
      const kept = await writePage(db, await lookAt(db.prisma, [...busy], { ...options, offsets, names }, always), { ...options, offsets, names })
      tally.plans(kept.plans)
      for (const id of [...busy]) if (!kept.busy.includes(id)) busy.delete(id)
    }
  }
  return { zones, busy: busy.size, ...tally.result() }
}

async function* pages({ prisma }: Database, { pageSize = PAGE, signal }: RepairOptions): AsyncGenerator<string[]> {
  for (let after: string | undefined = FIRST; after !== undefined && signal?.aborted !== true; ) {
    const ids: string[] = await idsAfter(prisma, after, pageSize)
    if (ids.length > 0) yield ids
    after = ids.at(-1)
  }
}

/** What the server is told for this database or its roles: of zones with the same offsets, the one that was meant. */
export const configuredZones = async (tx: Reader): Promise<string[]> => {
  const rows = await tx.$queryRawUnsafe<{ zone: string }[]>(
    `SELECT DISTINCT split_part(setting, '=', 2) AS zone FROM pg_db_role_setting, unnest(setconfig) AS setting WHERE lower(split_part(setting, '=', 1)) = 'timezone'`,
  )
  return rows.map(({ zone }) => zone.replaceAll('"', ''))
}

const findZones = async (db: Database, options: RepairOptions, offsets: Offsets) => {
  const [byHash, byImport]: [Shift[], Shift[]] = [[], []]
  let [looked, isClean] = [0, true]
  for await (const page of pages(db, options)) {
    for (const stored of await readConsents(db.prisma, page)) {
      const { shifts, changes, unproven } = planConsent(stored, { offsets, zones: [] })
      looked += 1
      if (changes.length > 0 || unproven.length > 0) isClean = false
      keep(byHash, shifts.byHash)
      keep(byImport, shifts.byImport)
    }
  }
  // What imports moved may be a sum of several offsets: it tells only where nothing better does.
  return { looked, isClean, zones: isClean ? [] : zonesOf(byHash.length > 0 ? byHash : byImport, await configuredZones(db.prisma)) }
}

/** Memory stays flat: thinned out by half whenever it is full, so that what is kept lies all over the database. */
const MOST_KEPT = 20_000
const keep = (kept: Shift[], more: readonly Shift[]): void => {
  kept.push(...more)
  if (kept.length > MOST_KEPT) kept.splice(0, kept.length, ...kept.filter((_, index) => index % 2 === 0))
}

interface Look extends RepairOptions {
  readonly offsets: Offsets
  readonly names: readonly (readonly string[])[]
}

const lookAt = async (tx: Reader, ids: readonly string[], { offsets, names, now, policy }: Look, isDated: (plan: Plan) => boolean): Promise<Plan[]> => {
  const at = now()
  return (await readConsents(tx, ids)).map((stored) => {
    const plan = planConsent(stored, { offsets, zones: names })
    return isDated(plan) ? redate(stored, plan, { now: at, policy, zones: names }) : plan
  })
}
const always = (): boolean => true

const writePage = async (db: Database, plans: readonly Plan[], look: Look): Promise<{ plans: readonly Plan[]; busy: string[] }> => {
  const wanted = plans.filter(({ changes }) => changes.length > 0).map(({ consentId }) => consentId)
  if (wanted.length === 0) return { plans, busy: [] }
  const written = await db.prisma.$transaction(
    async (tx: Transaction) => {
      const free = await lockConsents(tx, wanted)
      // Looked at again under the locks: what was planned before may have changed meanwhile.
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

const repairPassing = async (db: Database, names: readonly (readonly string[])[], { apply, now }: RepairOptions): Promise<readonly PassingChange[]> => {
  const zone = names[0]?.[0]
  if (zone === undefined) return []
  if (!apply) return planPassing(db.prisma, zone, now())
  return db.prisma.$transaction(async (tx) => writePassing(tx, zone, now()))
}

/** Of the lists, for people: the counts go on. */
const MOST_LISTED = 100_000

const startTally = (startedAt: number) => {
  const changes = new Map<string, { what: string; by: string; rows: number }>()
  const [unproven, aftermath]: [Unproven[], Aftermath[]] = [[], []]
  let [looked, shifted, stillWritten] = [0, 0, false]
  const count = (what: string, by: string, rows = 1): void => {
    const key = `${what} ${by}`
    changes.set(key, { what, by, rows: (changes.get(key)?.rows ?? 0) + rows })
  }
  return {
    looked: () => looked,
    plans: (plans: readonly Plan[]): void => {
      looked += plans.length
      for (const plan of plans) {
        if (plan.changes.length > 0) shifted += 1
        for (const { table, column, by } of plan.changes) count(`${table}.${column}`, by)
        if (plan.shifts.byHash.some(({ meant }) => meant > startedAt)) stillWritten = true
        unproven.push(...plan.unproven.slice(0, MOST_LISTED - unproven.length))
        aftermath.push(...plan.aftermath.slice(0, MOST_LISTED - aftermath.length))
      }
    },
    passing: (found: readonly PassingChange[]): void => {
      for (const { what, by, rows } of found) count(what, by, rows)
    },
    result: () => ({ looked, shifted, changes: [...changes.values()].toSorted((a, b) => a.what.localeCompare(b.what)), unproven, aftermath, stillWritten }),
  }
}
