// Checks that the stored instants match the events' hashes; release 0.1.0 shifted them under another time zone than
// UTC. Reads only a sample of consents, by primary key, so that a large database costs no more than a small one. Each
// consent of the sample is judged as a whole.
import { randomUUID } from 'node:crypto'
import { lockedVault } from '../crypto/vault.ts'
import type { Secret } from '../secret.ts'
import { configuredZones } from '../repair/find-zones.ts'
import type { Plan } from '../repair/plan.ts'
import { planConsent } from '../repair/plan-consent.ts'
import { offsetsToTry } from '../repair/prove-events.ts'
import { idsAfter, readConsents } from '../repair/read-consents.ts'
import { type Database, openDatabase } from '../store/database.ts'
import { zonesOf } from '../domain/shifted-instant.ts'
import { type Finding, fail, ok } from './finding.ts'

/**
 * The sample's size, and the number of places it comes from. A database with no more consents than that is read whole.
 */
const SAMPLE = 2_000
const PLACES = 40
const PAGE = SAMPLE / PLACES
const ADVICE =
  'stop every process of release 0.1.0, run reconsent repair-times, then again with --apply: see ' +
  'docs/runbook.md#shifted-instants'

export async function* instantFindings(url: Secret): AsyncGenerator<Finding> {
  const db = openDatabase({ url, vault: lockedVault, connections: 1 })
  try {
    yield await aboutInstants(db)
  } finally {
    await db.prisma.$disconnect()
  }
}

const aboutInstants = async ({ prisma }: Database): Promise<Finding> => {
  const total = await prisma.consent.count()
  if (total === 0) return ok('instants', 'none yet')
  const ids = await sampleOf(prisma, total)
  const shifted = await findShifted(prisma, ids)
  const isSample = ids.length < total
  const examined = isSample ? `a sample of ${inDigits(ids.length)} consents` : `${inDigits(total)} consents`
  if (shifted.length === 0) return ok('instants', `as their events prove, in ${examined}`)

  const byHash = shifted.flatMap(({ shifts }) => shifts.byHash)
  const evidence = byHash.length > 0 ? byHash : shifted.flatMap(({ shifts }) => shifts.byImport)
  const zones = zonesOf(evidence, await configuredZones(prisma))
  const estimate = inDigits(Math.round((shifted.length / ids.length) * total))
  const inAll = isSample ? `, so about ${estimate} of ${inDigits(total)}` : ''
  const under = zones.length === 0 ? '' : ` (${zones.map(({ names }) => names[0]).join(', ')})`
  return fail(
    'instants',
    `${inDigits(shifted.length)} of ${examined}${inAll} hold instants that were stored under another time zone than ` +
      `UTC${under}`,
    ADVICE,
  )
}

const inDigits = (number: number): string => number.toLocaleString('en')

/** The plans of those of these consents that hold a shifted instant. */
const findShifted = async (prisma: Database['prisma'], ids: readonly string[]): Promise<Plan[]> => {
  const offsets = offsetsToTry(undefined)
  const shifted: Plan[] = []
  for (let from = 0; from < ids.length; from += PAGE) {
    const plans = (await readConsents(prisma, ids.slice(from, from + PAGE))).map((stored) =>
      planConsent(stored, { offsets, zones: [] }),
    )
    shifted.push(...plans.filter(({ changes }) => changes.length > 0))
  }
  return shifted
}

/** The sample's ids, from places all over the primary key, where whatever was imported together lies together. */
const sampleOf = async (prisma: Database['prisma'], total: number): Promise<string[]> => {
  if (total <= SAMPLE) return idsAfter(prisma, undefined, SAMPLE)
  const found = new Set<string>()
  for (let place = 0; place < PLACES; place += 1)
    for (const id of await idsAfter(prisma, randomUUID(), PAGE)) found.add(id)
  return [...found]
}
