// Pages of consents for the API, by any of its filters, in the order of their ids. Each page costs what it holds and
// what its filter finds, however many consents there are (test/store/plans.test.ts).
import { consentTransitions } from '../domain/lifecycle.ts'
import type { Consent } from '../domain/model.ts'
import { Prisma } from '../generated/prisma/client.ts'
import { allOf, recordIn } from './columns.ts'
import type { ConsentPages, ConsentQuery } from './consent-pages-port.ts'
import type { Database } from './database.ts'
import { FIRST_ID } from './ids.ts'
import { toConsent } from './rows.ts'

/** Events that a page may read to find which consents have changed. */
const MANY_EVENTS = 100_000

const allStatuses = Object.keys(consentTransitions)

const conditionsOf = ({ status, userId, providerId, expires }: ConsentQuery): Prisma.Sql[] => {
  const conditions: Prisma.Sql[] = []
  if (userId !== undefined) conditions.push(Prisma.sql`consent.user_id = ${userId}`)
  if (providerId !== undefined) conditions.push(Prisma.sql`consent.provider_id = ${providerId}`)
  if (expires?.from !== undefined) conditions.push(Prisma.sql`consent.expires_at >= ${expires.from.toJSDate()}`)
  if (expires?.before !== undefined) conditions.push(Prisma.sql`consent.expires_at < ${expires.before.toJSDate()}`)
  if (status !== undefined) conditions.push(Prisma.sql`consent.status = ${status}`)
  // The index of expiries begins with the status: naming each opens it.
  else if (expires !== undefined) conditions.push(Prisma.sql`consent.status = ANY(${allStatuses}::text[])`)
  return conditions
}

export const consentPages = (db: Database): ConsentPages => ({
  pageOfConsents: async (query, { afterId = FIRST_ID, limit }) => {
    const { changedSince } = query
    const where = Prisma.join([Prisma.sql`consent.id > ${afterId}::uuid`, ...conditionsOf(query)], ' AND ')
    const order = Prisma.sql`ORDER BY consent.id LIMIT ${limit}::int`
    const rows = await db.sql.$queryRaw<Record<string, unknown>[]>(
      changedSince === undefined
        ? Prisma.sql`SELECT ${allOf('consent')} FROM consents AS consent WHERE ${where} ${order}`
        : // Every change has an event, and not every change writes updated_at.
          Prisma.sql`
            WITH changed AS MATERIALIZED (
              SELECT DISTINCT consent_id FROM events WHERE at >= ${changedSince.toJSDate()}
            )
            SELECT ${allOf('consent')} FROM changed JOIN consents AS consent ON consent.id = changed.consent_id
            WHERE ${where} ${order}`,
    )
    return rows.flatMap((row): Consent[] => {
      const consent = recordIn('consent', 'consent', row)
      return consent === undefined ? [] : [toConsent(consent)]
    })
  },

  haveManyChanged: async (since) => {
    const [row] = await db.sql.$queryRaw<{ events: number }[]>`
      SELECT count(*)::int AS events
      FROM (SELECT FROM events WHERE at >= ${since.toJSDate()} LIMIT ${MANY_EVENTS}::int) AS recent`
    return (row?.events ?? 0) >= MANY_EVENTS
  },

  changedAmong: async (ids, since) => {
    // Each consent's own events, by its id: however many others there are, and however long ago the instant is.
    const rows = await db.sql.$queryRaw<{ id: string }[]>`
      SELECT asked.id FROM unnest(${[...ids]}::uuid[]) AS asked (id)
      CROSS JOIN LATERAL (
        SELECT FROM events WHERE events.consent_id = asked.id AND events.at >= ${since.toJSDate()} LIMIT 1
      ) AS changed`
    return new Set(rows.map(({ id }) => id))
  },
})
