// Checks that the stored instants match the events' hashes; release 0.1.0 shifted them under another time zone than
// UTC. Reads only a sample of consents, by primary key, so that a large database costs no more than a small one. Each
// consent of the sample is judged as a whole.
import { randomUUID } from 'node:crypto'
import { lockedVault } from '../crypto/vault.ts'
import type { Secret } from '../secret.ts'
import { configuredZones } from '../repair/find-zones.ts'
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
  const ids = await sampleOf(prisma, total)
  const offsets = offsetsToTry(undefined)
  const shifted: ReturnType<typeof planConsent>[] = []
  for (let from = 0; from < ids.length; from += SAMPLE / PLACES) {
    const page = await readConsents(prisma, ids.slice(from, from + SAMPLE / PLACES))
    shifted.push(
      ...page.map((stored) => planConsent(stored, { offsets, zones: [] })).filter(({ changes }) => changes.length > 0),
    )
  }
  if (total === 0) return ok('instants', 'none yet')
  const looked =
    ids.length < total
      ? `a sample of ${ids.length.toLocaleString('en')} consents`
      : `${total.toLocaleString('en')} consents`
  if (shifted.length === 0) return ok('instants', `as their events prove, in ${looked}`)
  const byHash = shifted.flatMap(({ shifts }) => shifts.byHash)
  const zones = zonesOf(
    byHash.length > 0 ? byHash : shifted.flatMap(({ shifts }) => shifts.byImport),
    await configuredZones(prisma),
  )
  const about =
    ids.length < total
      ? `, so about ${Math.round((shifted.length / ids.length) * total).toLocaleString('en')} of ` +
        total.toLocaleString('en')
      : ''
  const under = zones.length === 0 ? '' : ` (${zones.map(({ names }) => names[0]).join(', ')})`
  return fail(
    'instants',
    `${shifted.length.toLocaleString('en')} of ${looked}${about} hold instants that were stored under another ` +
      `time zone than UTC${under}`,
    ADVICE,
  )
}

/** The sample's ids, from places all over the primary key, whose values are random. */
const sampleOf = async (prisma: Database['prisma'], total: number): Promise<string[]> => {
  if (total <= SAMPLE) return idsAfter(prisma, undefined, SAMPLE)
  const found = new Set<string>()
  for (let place = 0; place < PLACES; place += 1)
    for (const id of await idsAfter(prisma, randomUUID(), SAMPLE / PLACES)) found.add(id)
  return [...found]
}
