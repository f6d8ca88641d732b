// What the API needs to list consents. Types only.
import type { DateTime } from 'luxon'
import type { Consent, ConsentStatus } from '../domain/model.ts'
import type { ExpiryRange } from '../domain/phase-range.ts'

/** Consents for which all of this is so. */
export interface ConsentQuery {
  readonly status?: ConsentStatus | undefined
  readonly userId?: string | undefined
  readonly providerId?: string | undefined
  readonly expires?: ExpiryRange | undefined
  /** Consents with an event at this instant or later. */
  readonly changedSince?: DateTime | undefined
}

export interface ConsentPages {
  /** The consents after `afterId` in the order of their ids; the last page has fewer than `limit`. */
  pageOfConsents(
    query: ConsentQuery,
    page: { readonly afterId?: string | undefined; readonly limit: number },
  ): Promise<Consent[]>
}
