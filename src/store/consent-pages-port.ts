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
  /**
   * Consents with an event at this instant or later. Each page reads all events since then: only for an instant after
   * which `haveManyChanged` says that there are few.
   */
  readonly changedSince?: DateTime | undefined
}

export interface ConsentPages {
  /** The consents after `afterId` in the order of their ids; the last page has fewer than `limit`. */
  pageOfConsents(
    query: ConsentQuery,
    page: { readonly afterId?: string | undefined; readonly limit: number },
  ): Promise<Consent[]>
  /** Whether there are more events since a recent instant than every page should read again. */
  haveManyChanged(since: DateTime): Promise<boolean>
  /** Those of these consents that have an event at this instant or later. */
  changedAmong(ids: readonly string[], since: DateTime): Promise<ReadonlySet<string>>
}
