// What webhooks need from the database: to deliver (WebhookDelivering) and to be looked after (WebhookAdministration).
// Types only.
import type { DateTime, Duration } from 'luxon'
import type { WebhookEvent, WebhookGap } from '../domain/webhook-message.ts'
import type { EndpointHealth } from '../domain/webhook-retries.ts'
import type { Secret } from '../secret.ts'

/** The right to deliver to an endpoint until the lease ends; every write names the fencing token. */
export interface EndpointClaim {
  readonly id: string
  readonly url: string
  /** Those that decrypt, the newest first. */
  readonly secrets: readonly Secret[]
  /** Public types; none: all. */
  readonly types: readonly string[]
  readonly health: EndpointHealth
  readonly fencingToken: number
}

export interface WebhookItem {
  readonly event: WebhookEvent
  /** Its place in the feed. */
  readonly position: bigint
  /** The tries that have failed so far. */
  readonly failedTries: number
  /** Given up before, and this endpoint was not told yet. */
  readonly gaps: readonly WebhookGap[]
  readonly source: 'feed' | 'backlog' | 'replay'
  /** Of one that waits: when its next try is. */
  readonly dueAt: DateTime | undefined
  /** It is tried before its time, because the endpoint may be back, or is: the try does not count. */
  readonly isProbe: boolean
}

/** An event that waited and that nobody is told of after all, such as one of another rung. */
export interface Untold {
  readonly consentId: string
  readonly seq: number
  readonly gaps: readonly number[]
}

export interface WebhookPage {
  /** Of each consent in its own order. */
  readonly items: readonly WebhookItem[]
  readonly untold: readonly Untold[]
  /** Where the endpoint's cursor stands. */
  readonly start: bigint
  /** Where it stands when all of `items` from the feed are dealt with. */
  readonly end: bigint
  readonly replay:
    | {
        readonly id: string
        readonly failedTries: number
        readonly items: readonly WebhookItem[]
        /** Where its cursor stands when all of `items` are dealt with. */
        readonly end: bigint
        /** Why its events could not be read; the rest of the page is as it should be. */
        readonly error?: unknown
      }
    | undefined
}

/** What becomes of a consent that an endpoint has not taken everything of. */
export interface BacklogChange {
  readonly consentId: string
  /** The event that was tried last. */
  readonly seq: number
  /** Events that were given up and that the endpoint was not told of yet. */
  readonly gaps: readonly number[]
  /** When the event is tried again; undefined: it is dealt with, and the consent's next one is tried at once. */
  readonly again: { readonly failedTries: number; readonly at: DateTime } | undefined
}

export type DeliveryResult = 'delivered' | 'failed' | 'given-up'

export interface WebhookTry {
  /** Made where the request is sent. */
  readonly id: string
  readonly webhookId: string
  readonly consentId: string
  readonly seq: number
  readonly type: string
  readonly at: DateTime
  readonly result: DeliveryResult
  /** Counts from 1. */
  readonly attempt: number
  readonly statusCode: number | undefined
  /** Why there was no answer. */
  readonly detail: string | undefined
  readonly tookMs: number
  readonly isReplay: boolean
}

export interface WebhookCommit {
  readonly now: DateTime
  readonly lease: Duration
  readonly cursor: bigint
  readonly health: EndpointHealth
  /** Whether something was delivered. */
  readonly delivered: boolean
  /** The endpoint was away and is back: what waits for it is tried at once. */
  readonly isBack: boolean
  readonly backlogs: readonly BacklogChange[]
  readonly tries: readonly WebhookTry[]
  /** `delivered`: events that are gaps no more. `at`: when the replay goes on. */
  readonly replay:
    | {
        readonly id: string
        readonly cursor: bigint
        readonly failedTries: number
        readonly at: DateTime
        readonly delivered: readonly { readonly consentId: string; readonly seq: number }[]
      }
    | undefined
  readonly release: boolean
}

export interface WebhookDelivering {
  /** Whether there is anything to do, now or ever. */
  hasEndpoints(): Promise<boolean>
  /** Claims up to `limit` endpoints that have something due and that no other process is working on. */
  claimEndpoints(now: DateTime, limit: number, lease: Duration): Promise<readonly EndpointClaim[]>
  /**
   * Logs what was sent under a claim that was lost meanwhile: the requests have been made all the same. Answers why it
   * was lost: the endpoint was removed, or another process or an operator has changed it.
   */
  logLostTries(claim: EndpointClaim, tries: readonly WebhookTry[]): Promise<'removed' | 'changed'>
  /** Gives back what was claimed and not begun. */
  releaseEndpoint(claim: EndpointClaim): Promise<void>
  /** What is due, at most `limit` events each of the feed, of the backlog and of a replay. */
  readPage(claim: EndpointClaim, now: DateTime, limit: number): Promise<WebhookPage>
  /**
   * Commits what became of a page, and renews or releases the lease; returns the claim for the next page, with the
   * secrets that sign from now on. Throws
   * StaleClaim where the claim was lost, or the page was committed before.
   */
  commitPage(claim: EndpointClaim, page: WebhookCommit): Promise<EndpointClaim>
}

export interface Endpoint {
  readonly id: string
  readonly url: string
  readonly types: readonly string[]
  readonly status: 'enabled' | 'disabled'
  readonly disabledReason: string | undefined
  readonly disabledAt: DateTime | undefined
  /** It fails at everything: one event at a time is tried. */
  readonly isAway: boolean
  readonly failingSince: DateTime | undefined
  readonly restsUntil: DateTime | undefined
  readonly deliveredAt: DateTime | undefined
  readonly createdAt: DateTime
  /** Events of the feed that it was not tried with yet, of whatever type. */
  readonly behind: number
  /** Consents of which an event waits for its next try. */
  readonly failingConsents: number
  /** Secrets that sign: more than one during a rotation. */
  readonly secrets: number
  readonly replays: number
}

export interface LoggedTry extends WebhookTry {
  readonly endpointId: string
  /** Undefined once the consent is gone. */
  readonly credentialsId: string | undefined
}

export interface WebhookAdministration {
  /**
   * Adds an endpoint, which is told of what happens from now on. `full`: there are as many as there may be; `known`:
   * one has this address.
   */
  addEndpoint(endpoint: {
    readonly url: string
    readonly types: readonly string[]
    readonly secret: Secret
    readonly now: DateTime
  }): Promise<{ readonly kind: 'added'; readonly id: string } | { readonly kind: 'full' | 'known' }>
  listEndpoints(): Promise<readonly Endpoint[]>
  /** With its secrets and all that waits for it; the log of tries stays. False if there is none. */
  removeEndpoint(id: string): Promise<boolean>
  /** Adds a secret; those before it sign until `overlapEnds` as well. False if there is no such endpoint. */
  rotateSecret(id: string, secret: Secret, now: DateTime, overlapEnds: DateTime): Promise<boolean>
  /** What waits is tried at once, with all its tries. Undefined if there is no such endpoint. */
  enableEndpoint(id: string, now: DateTime): Promise<'enabled' | 'unchanged' | undefined>
  /** Undefined if there is no such endpoint. `events`: of its types in that time, `to` excluded. */
  requestReplay(
    id: string,
    time: { readonly from: DateTime; readonly to: DateTime; readonly now: DateTime },
  ): Promise<{ readonly events: number } | undefined>
  /** Ends all replays of an endpoint; returns how many. Undefined if there is no such endpoint. */
  cancelReplays(id: string): Promise<number | undefined>
  /** The newest first. */
  listDeliveries(filter: {
    readonly endpointId?: string | undefined
    readonly failedOnly: boolean
    readonly limit: number
  }): Promise<readonly LoggedTry[]>
  countDisabled(): Promise<number>
  /** Endpoints that are enabled and have not passed an event that happened before this instant. */
  countBehind(before: DateTime): Promise<number>
}
