// A page of consents as the API lists them. The phase of a consent follows from its dates and the policy, so the
// database finds those that may be in a phase, and each is looked at here. So is what has changed since an instant
// after which much has happened.
import type { DateTime } from 'luxon'
import { gatherFacts } from '../domain/next-action.ts'
import { expiriesOf, type ExpiryRange } from '../domain/phase-range.ts'
import type { Phase } from '../domain/phase.ts'
import type { Policy } from '../domain/policy.ts'
import { isRecentChange } from '../domain/recent-changes.ts'
import type { ConsentPages, ConsentQuery } from '../store/consent-pages-port.ts'
import { aloneOf, consentJson } from './consent-json.ts'

export interface PageQuery extends Omit<ConsentQuery, 'expires'> {
  readonly phase?: Phase | undefined
  readonly expiresBefore?: DateTime | undefined
}

/** Readings for one page: a filter that few of its range fit ends a page early. */
const MAX_READINGS = 5
/** The least that is read at once where each consent is looked at: a small page must not end before it has any. */
const MIN_LOOKED_AT = 100

const earlier = (a: DateTime | undefined, b: DateTime | undefined): DateTime | undefined =>
  a !== undefined && b !== undefined ? (a < b ? a : b) : (a ?? b)

const rangeOf = ({ phase, expiresBefore }: PageQuery, now: DateTime, policy: Policy): ExpiryRange | undefined => {
  if (phase === undefined) return expiresBefore === undefined ? undefined : { before: expiresBefore }
  const range = expiriesOf(phase, now, policy)
  return { from: range.from, before: earlier(range.before, expiresBefore) }
}

/**
 * The instant after which each consent of a page is asked for its own events; undefined where the database finds those
 * that have changed. That is quick while little has happened since, but each page finds them all again.
 */
const lookedUpSince = async (
  { haveManyChanged }: Pick<ConsentPages, 'haveManyChanged'>,
  { changedSince, userId }: PageQuery,
  now: DateTime,
): Promise<DateTime | undefined> => {
  if (changedSince === undefined) return undefined
  // A user has few consents.
  const isLookedUp = userId !== undefined || !isRecentChange(changedSince, now) || (await haveManyChanged(changedSince))
  return isLookedUp ? changedSince : undefined
}

/**
 * `lastId`: where the next page begins; undefined after the last one. A page may have fewer than `limit` and not be the
 * last.
 */
export const consentPageJson = async (
  pages: ConsentPages,
  query: PageQuery,
  { afterId, limit, now, policy }: { afterId: string | undefined; limit: number; now: DateTime; policy: Policy },
) => {
  const { phase, expiresBefore: _, changedSince, ...exact } = query
  const expires = rangeOf(query, now, policy)
  const since = await lookedUpSince(pages, query, now)
  const asked = { ...exact, expires, changedSince: since === undefined ? changedSince : undefined }
  const atOnce = phase === undefined && since === undefined ? limit : Math.max(limit, MIN_LOOKED_AT)
  const consents: ReturnType<typeof consentJson>[] = []
  let lastId = afterId
  for (let reading = 0; reading < MAX_READINGS; reading += 1) {
    const rows = await pages.pageOfConsents(asked, { afterId: lastId, limit: atOnce })
    const ids = rows.map(({ id }) => id)
    const changed = since === undefined ? undefined : await pages.changedAmong(ids, since)
    for (const consent of rows) {
      lastId = consent.id
      if (changed?.has(consent.id) === false) continue
      if (phase !== undefined && gatherFacts(aloneOf(consent), now, policy).phase !== phase) continue
      consents.push(consentJson(consent, now, policy))
      if (consents.length === limit) break
    }
    if (consents.length === limit) return { consents, lastId }
    if (rows.length < atOnce) return { consents, lastId: undefined }
  }
  return { consents, lastId }
}
