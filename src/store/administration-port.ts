// What operators, imports and readers of the feed need from the store, besides what the jobs need (port.ts). Types
// only.
import type { DateTime } from 'luxon'
import type { ImportedConsent } from '../domain/import-decision.ts'
import type {
  Actor,
  Authorisation,
  Consent,
  ConsentStatus,
  ConsentView,
  Notification,
  Renewal,
} from '../domain/model.ts'
import type { Secret } from '../secret.ts'
import type { RecordKind } from '../records.ts'
import type { ConsentEvent, ConsentFilter, OpenCircuit } from './port.ts'

/** Who makes a request, and why; both are recorded in the consent's events. */
export interface Request {
  readonly now: DateTime
  readonly reason: string
  /** Default `operator`; a caller of the API is the company. */
  readonly actor?: Extract<Actor, 'operator' | 'company' | 'user'> | undefined
  /** The person's login or the key's name, if known. */
  readonly by?: string | undefined
}

/** The answer to an operator's request; `detail` is a sentence for people. */
export interface AdministrationAnswer {
  /** `unchanged`: the consent already is as requested. `refused`: impossible; `detail` says what to do instead. */
  readonly kind: 'done' | 'unchanged' | 'refused'
  readonly detail: string
}

export type OpenCycle =
  /** `opened`: by this request. */
  | { readonly kind: 'open'; readonly renewalId: string; readonly cycle: number; readonly opened: boolean }
  | { readonly kind: 'none' }
  | { readonly kind: 'refused'; readonly detail: string }

/** What the company's whole list did not have. */
export interface SyncClosed {
  /** Consents that were active and older than the sync when it was closed, and those of them that no batch named. */
  readonly active: number
  readonly missing: number
  /** Per cent. */
  readonly share: number
  /** Whether the policy's share allows to pause them. */
  readonly mayPause: boolean
  /** By this request. */
  readonly paused: number
  /** How many are still active; of those that were only looked for, at most 1,000 are counted. */
  readonly left: number
  /** At most 1,000: those that were found by this request, and paused if it asks for that. */
  readonly consents: readonly { readonly id: string; readonly credentialsId: string; readonly userId: string }[]
}

/**
 * The functions take our id of the consent. Each is one transaction under the consent's lock, and every change of the
 * consent raises the fencing token, so that the claim of a running job becomes stale.
 */
export interface Administration {
  pauseConsent(id: string, request: Request): Promise<AdministrationAnswer>
  resumeConsent(id: string, request: Request): Promise<AdministrationAnswer>
  /** Releases a consent from quarantine, or from `unsupported` once the policy has a route for its bank. */
  releaseConsent(id: string, request: Request): Promise<AdministrationAnswer>
  closeForGood(id: string, as: 'revoked' | 'opted_out', request: Request): Promise<AdministrationAnswer>
  requestRenewal(
    id: string,
    request: Request & { readonly resend?: boolean | undefined },
  ): Promise<AdministrationAnswer>
  /** The consent's open cycle; with `open`, one is opened where there is none. Nobody is messaged because of it. */
  openCycle(id: string, request: Request & { readonly open: boolean }): Promise<OpenCycle>
  /**
   * Returns the refresh token that would be tried first, after the event that records this was committed. Undefined if
   * there is no such consent. `isCandidate`: an import brought it, and the provider has not judged it yet.
   */
  showToken(
    id: string,
    request: Request,
  ): Promise<{ readonly token: Secret; readonly isCandidate: boolean } | undefined>
}

export interface ConsentHistory {
  readonly consent: Consent
  readonly renewals: readonly Renewal[]
  readonly authorisations: readonly Authorisation[]
  readonly notifications: readonly Notification[]
  readonly events: readonly ConsentEvent[]
}

export interface StatusCounts {
  readonly consents: Readonly<Record<ConsentStatus, number>>
  /** Active consents whose user has no usable address. */
  readonly withoutChannel: number
  readonly uncertainNotifications: number
  readonly authorisationsInDoubt: number
  /** By kind of record: the earliest date that has passed without the record being handled. */
  readonly oldestOverdue: Readonly<Record<RecordKind, DateTime | undefined>>
  readonly openCircuits: readonly OpenCircuit[]
  /** How long the oldest event without a place in the feed has waited, by the database's clock; 0 if none waits. */
  readonly feedLagSeconds: number
}

export interface FeedEvent extends ConsentEvent {
  /** This event's place in the feed; a reader goes on after it. */
  readonly cursor: string
  readonly credentialsId: string
}

export interface Listing {
  /** A page of consents in the order of their ids, beginning after `afterId`. At most 1,000. */
  pageConsents(
    filter: ConsentFilter,
    page?: { afterId?: string | undefined; limit?: number | undefined },
  ): Promise<Consent[]>
  /**
   * A page of due consents, the longest overdue first, each with everything that decides its next step. Changes
   * nothing.
   */
  pageDue(
    now: DateTime,
    page?: { after?: { at: DateTime; id: string } | undefined; limit?: number | undefined },
  ): Promise<ConsentView[]>
  /** `lastEvents`: at most so many events, the last ones; all unless said. */
  getHistory(id: string, lastEvents?: number): Promise<ConsentHistory | undefined>
  statusCounts(now: DateTime): Promise<StatusCounts>
  /**
   * The events of all consents in the feed's order, in which the events of one consent keep their order; none is ever
   * skipped. Throws a RangeError on a malformed cursor, and CursorUnknown on a cursor that this database's history does
   * not have.
   */
  listFeed(after: string | undefined, limit: number): Promise<FeedEvent[]>
}

export interface ImportRow extends ImportedConsent {
  readonly refreshToken: Secret
  /**
   * The `credentials_id` of the connection that this one replaced, as the company states: the consent of that
   * connection is closed.
   */
  readonly supersedes?: string | undefined
}

export interface RowResult {
  readonly kind: 'created' | 'unchanged' | 'updated' | 'repaired' | 'refused'
  /** Why the row was refused, or a warning about it. */
  readonly detail: string | undefined
  /**
   * How many consents were closed because of this row's `supersedes`, or because an earlier row's `supersedes` names
   * this row's connection.
   */
  readonly superseded: number
}

export interface Imports {
  /**
   * Writes up to 1,000 rows in one transaction; returns a result for each row, in the order of the rows. Batches are
   * written in the order in which they are given: one that is given while another is being written is made ready
   * meanwhile, and is rejected along with that one if it fails.
   */
  importBatch(rows: readonly ImportRow[], options: { now: DateTime; correct: boolean }): Promise<RowResult[]>
}

export interface ReopenFilter {
  readonly userId?: string | undefined
  readonly providerId?: string | undefined
  /** Only consents that were closed at this instant or later. */
  readonly since?: DateTime | undefined
}

/** A consent that the old rule of the import had closed. */
export interface Reopened {
  /** The consent as it is after reopening; in a dry run, as it would be. */
  readonly consent: Consent
  readonly closedAt: DateTime
  /** The `credentials_id` of the consent that the old rule took for its successor. */
  readonly supersededBy: string
}

export interface ReopenPage {
  readonly reopened: readonly Reopened[]
  /**
   * How many consents were closed by the old rule and stay closed, because an import has stated since that they were
   * superseded.
   */
  readonly kept: number
  /** Undefined after the last page. */
  readonly lastId: string | undefined
}

export interface Reopening {
  /**
   * Handles one page of superseded consents, in the order of their ids and in one transaction. `dryRun` changes nothing
   * and waits for no lock.
   */
  reopenPage(
    filter: ReopenFilter,
    request: Request & { readonly afterId?: string | undefined; readonly dryRun: boolean },
  ): Promise<ReopenPage>
}
