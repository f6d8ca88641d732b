// Under which zones a database was written, by one look at all of it: what its hashes prove, else what imports have
// moved.
import { type Shift, zonesOf } from '../domain/shifted-instant.ts'
import type { Database } from '../store/database.ts'
import { planConsent } from './plan-consent.ts'
import type { Offsets } from './prove-events.ts'
import { readConsents, type Reader } from './read-consents.ts'

/** What the server is told for this database or its roles: of zones with the same offsets, the one that was meant. */
export const configuredZones = async (tx: Reader): Promise<string[]> => {
  const rows = await tx.$queryRawUnsafe<{ zone: string }[]>(
    `SELECT DISTINCT split_part(setting, '=', 2) AS zone FROM pg_db_role_setting, unnest(setconfig) AS setting
     WHERE lower(split_part(setting, '=', 1)) = 'timezone'`,
  )
  return rows.map(({ zone }) => zone.replaceAll('"', ''))
}

/** `isClean`: nothing is to be put right, and nothing left unproven. */
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
  // What imports moved may be a sum of several offsets: it tells only where nothing better does.
  return {
    looked,
    isClean,
    zones: isClean ? [] : zonesOf(byHash.length > 0 ? byHash : byImport, await configuredZones(db.prisma)),
  }
}

/** Memory stays flat: thinned out by half whenever it is full, so that what is kept lies all over the database. */
const MAX_KEPT = 20_000
const keep = (kept: Shift[], more: readonly Shift[]): void => {
  kept.push(...more)
  if (kept.length > MAX_KEPT) kept.splice(0, kept.length, ...kept.filter((_, index) => index % 2 === 0))
}
