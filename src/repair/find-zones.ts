// Finds the time zones under which a database was written, in one pass over all of it: from what its hashes prove, else
// from what imports have moved.
import { type Shift, zonesOf } from '../domain/shifted-instant.ts'
import type { Database } from '../store/database.ts'
import { planConsent } from './plan-consent.ts'
import type { Offsets } from './prove-events.ts'
import { readConsents, type Reader } from './read-consents.ts'

/**
 * The time zones configured for this database or its roles. Of zones with the same offsets, a configured one is the
 * likely one.
 */
export const configuredZones = async (tx: Reader): Promise<string[]> => {
  const rows = await tx.$queryRawUnsafe<{ zone: string }[]>(
    `SELECT DISTINCT split_part(setting, '=', 2) AS zone FROM pg_db_role_setting, unnest(setconfig) AS setting
     WHERE lower(split_part(setting, '=', 1)) = 'timezone'`,
  )
  return rows.map(({ zone }) => zone.replaceAll('"', ''))
}

/** `isClean`: nothing needs a correction, and nothing is unproven. */
export const findZones = async (db: Database, pages: AsyncIterable<string[]>, offsets: Offsets) => {
  const [byHash, byImport]: [Shift[], Shift[]] = [[], []]
  let [looked, isClean] = [0, true]
  for await (const page of pages) {
    for (const stored of await readConsents(db.prisma, page)) {
      const { shifts, changes, unproven } = planConsent(stored, { offsets, zones: [] })
      looked += 1
      if (changes.length > 0 || unproven.length > 0) isClean = false
      keep(byHash, shifts.byHash)
      keep(byImport, shifts.byImport)
    }
  }
  // An import's shift may be a sum of several offsets, so it counts only where no hash proves a zone.
  return {
    looked,
    isClean,
    zones: isClean ? [] : zonesOf(byHash.length > 0 ? byHash : byImport, await configuredZones(db.prisma)),
  }
}

/** Bounds memory: a full list drops every second entry, so that the kept ones are spread over the whole database. */
const MAX_KEPT = 20_000
const keep = (kept: Shift[], more: readonly Shift[]): void => {
  kept.push(...more)
  if (kept.length > MAX_KEPT) kept.splice(0, kept.length, ...kept.filter((_, index) => index % 2 === 0))
}
