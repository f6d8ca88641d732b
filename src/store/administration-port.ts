// What operators, imports and feeds ask of the store, beside the loop. Types only.
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
import type { ConsentEvent, ConsentFilter, OpenCircuit, RecordKind } from './port.ts'

/** Who asks, and why: kept in the consent's events. */
export interface Request {
  readonly now: DateTime
  readonly reason: string
  /** Default `operator`; the API's callers are the company. */
  readonly actor?: Extract<Actor, 'operator' | 'company' | 'user'> | undefined
  /** The person's login or the key's name, if known. */
  readonly by?: string | undefined
}

/** Every answer an operator may get; `detail` is a sentence for people. */
export interface AdministrationAnswer {
  /** `unchanged`: it is so already. `refused`: not possible; the detail says what to do instead. */
  readonly kind: 'done' | 'unchanged' | 'refused'
  readonly detail: string
}

/**
 * By our id. Each is one transaction under the consent's lock and moves the epoch, so that a job at work writes nothing
 * more.
 */
export interface Administration {
  pauseConsent(id: string, request: Request): Promise<AdministrationAnswer>
  resumeConsent(id: string, request: Request): Promise<AdministrationAnswer>
  /** From quarantine, or from `unsupported` once the policy knows a route. */
  releaseConsent(id: string, request: Request): Promise<AdministrationAnswer>
  closeForGood(id: string, as: 'revoked' | 'opted_out', request: Request): Promise<AdministrationAnswer>
  requestRenewal(
    id: string,
    request: Request & { readonly resend?: boolean | undefined },
  ): Promise<AdministrationAnswer>
  /** The current refresh token; the event that says so is committed first. Undefined when there is no such consent. */
  showToken(id: string, request: Request): Promise<Secret | undefined>
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
  readonly unknownAuthorisations: number
  /** The earliest date that has passed without a look, by kind of record. */
  readonly oldestOverdue: Readonly<Record<RecordKind, DateTime | undefined>>
  readonly holds: readonly OpenCircuit[]
  /** How long the oldest event without a place in the feed has waited, by the database's clock; 0 when none does. */
  readonly feedLagSeconds: number
}

export interface FeedEvent extends ConsentEvent {
  /** Where this event stands in the feed. */
  readonly cursor: string
  readonly credentialsId: string
}

export interface Listing {
  /** A page of consents in the order of their ids, beginning after `afterId`. At most 1,000. */
  pageConsents(
    filter: ConsentFilter,
    page?: { afterId?: string | undefined; limit?: number | undefined },
  ): Promise<Consent[]>
  /** A page of due consents, the longest overdue first, with all that decides what is next. Changes nothing. */
  pageDue(
    now: DateTime,
    page?: { after?: { at: DateTime; id: string } | undefined; limit?: number | undefined },
  ): Promise<ConsentView[]>
  getHistory(id: string): Promise<ConsentHistory | undefined>
  statusCounts(now: DateTime): Promise<StatusCounts>
  /**
   * Events of all consents in the feed's order, none ever skipped, those of one consent in theirs. Throws a RangeError
   * on a malformed cursor, CursorUnknown on one that this database's history does not have.
   */
  listFeed(after: string | undefined, limit: number): Promise<FeedEvent[]>
}

export interface ImportRow extends ImportedConsent {
  readonly refreshToken: Secret
  /**
   * The credentials_id of the connection that this one took the place of, by the company's own word: that consent is
   * closed.
   */
  readonly supersedes?: string | undefined
}

export interface RowResult {
  readonly kind: 'created' | 'unchanged' | 'updated' | 'repaired' | 'refused'
  /** Why it was refused, or a warning. */
  readonly detail: string | undefined
  /** How many consents were closed by its word, or by that of an earlier row about it. */
  readonly superseded: number
}

export interface Imports {
  /** Writes up to 1,000 rows in one transaction; a result for each, in their order. */
  importBatch(rows: readonly ImportRow[], options: { now: DateTime; correct: boolean }): Promise<RowResult[]>
}

export interface ReopenFilter {
  readonly userId?: string | undefined
  readonly providerId?: string | undefined
  /** Closed then or later. */
  readonly since?: DateTime | undefined
}

/** A consent that the old rule of the import had closed. */
export interface Reopened {
  /** As it is now; in a dry run as it would be. */
  readonly consent: Consent
  readonly closedAt: DateTime
  /** The credentials_id of the consent that it was closed for. */
  readonly supersededBy: string
}

export interface ReopenPage {
  readonly reopened: readonly Reopened[]
  /** Closed by the rule and left so, because an import has said since that they were superseded. */
  readonly kept: number
  /** Undefined after the last page. */
  readonly lastId: string | undefined
}

export interface Reopening {
  /**
   * One page of superseded consents in the order of their ids, in one transaction. `dryRun` changes nothing and waits
   * for nothing.
   */
  reopenPage(
    filter: ReopenFilter,
    request: Request & { readonly afterId?: string | undefined; readonly dryRun: boolean },
  ): Promise<ReopenPage>
}
