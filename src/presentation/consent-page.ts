// A page of consents as the API lists them. The phase of a consent follows from its dates and the policy, so the
// database finds those that may be in a phase, and each is looked at here.
import type { DateTime } from 'luxon'
import { gatherFacts } from '../domain/next-action.ts'
import { expiriesOf, type ExpiryRange } from '../domain/phase-range.ts'
import type { Phase } from '../domain/phase.ts'
import type { Policy } from '../domain/policy.ts'
import type { ConsentPages, ConsentQuery } from '../store/consent-pages-port.ts'
import { aloneOf, consentJson } from './consent-json.ts'

export interface PageQuery extends Omit<ConsentQuery, 'expires'> {
  readonly phase?: Phase | undefined
  readonly expiresBefore?: DateTime | undefined
}

/** Readings for one page, each of `limit` consents: a filter that few of its range fit ends a page early. */
const MAX_READINGS = 5

const earlier = (a: DateTime | undefined, b: DateTime | undefined): DateTime | undefined =>
  a !== undefined && b !== undefined ? (a < b ? a : b) : (a ?? b)

const rangeOf = ({ phase, expiresBefore }: PageQuery, now: DateTime, policy: Policy): ExpiryRange | undefined => {
  if (phase === undefined) return expiresBefore === undefined ? undefined : { before: expiresBefore }
  const range = expiriesOf(phase, now, policy)
  return { from: range.from, before: earlier(range.before, expiresBefore) }
}

/**
 * `lastId`: where the next page begins; undefined after the last one. A page may have fewer than `limit` and not be the
 * last.
 */
export const consentPageJson = async (
  { pageOfConsents }: ConsentPages,
  query: PageQuery,
  { afterId, limit, now, policy }: { afterId: string | undefined; limit: number; now: DateTime; policy: Policy },
) => {
  const { phase, expiresBefore: _, ...exact } = query
  const expires = rangeOf(query, now, policy)
  const consents: ReturnType<typeof consentJson>[] = []
  let lastId = afterId
  for (let reading = 0; reading < MAX_READINGS; reading += 1) {
    const rows = await pageOfConsents({ ...exact, expires }, { afterId: lastId, limit })
    for (const consent of rows) {
      lastId = consent.id
      if (phase !== undefined && gatherFacts(aloneOf(consent), now, policy).phase !== phase) continue
      consents.push(consentJson(consent, now, policy))
      if (consents.length === limit) break
    }
    if (consents.length === limit) return { consents, lastId }
    if (rows.length < limit) return { consents, lastId: undefined }
  }
  return { consents, lastId }
}
