// What the rest of Reconsent needs from its database. Each function is one atomic step of the consent life cycle; the
// races it prevents are told where it is implemented. Secrets go in and come out as Secret and rest encrypted.
import type { DateTime, Duration } from 'luxon'
import type {
  Actor,
  Authorisation,
  Consent,
  ConsentStatus,
  ConsentView,
  Notification,
  Renewal,
} from '../domain/model.ts'
import type { NextDate } from '../domain/apply-step.ts'
import type { AttemptFacts } from '../domain/exchange.ts'
import type { Policy, Route } from '../domain/policy.ts'
import type { NewConnection } from '../domain/reading.ts'
import type { ErrorCode } from '../errors.ts'
import type { Secret } from '../secret.ts'

export type RecordKind = 'consent' | 'authorisation' | 'notification'

/** The right to work on a record until the lease ends; `epoch` fences every later write. */
export interface Claim {
  readonly kind: RecordKind
  readonly id: string
  readonly epoch: number
}

export type ClaimAnswer =
  | { readonly kind: 'claimed'; readonly claim: Claim }
  | { readonly kind: 'held'; readonly until: DateTime }
  | { readonly kind: 'missing' }

export interface Dispatched {
  readonly id: string
  readonly dispatchNo: number
}

export interface RetryDates {
  readonly now: DateTime
  readonly retryAt: DateTime
  /**
   * Until when what hurries rests instead: a code that came, a message whose sending began, less than `urgentFor` ago.
   * Never past the end of that time, which is when a code dies.
   */
  readonly urgentRetryAt: DateTime
  readonly urgentFor: Duration
}

/** Leases and dispatch marks are measured by the database's clock, due-ness by the caller's `now`. */
export interface Dispatching {
  /**
   * Marks up to `limit` due records as queued for the time `queuedFor` and counts their dispatch. Rows that another
   * sweep has locked are passed over.
   */
  dispatchDue(kind: RecordKind, now: DateTime, limit: number, queuedFor: Duration): Promise<Dispatched[]>
  /** The same for one record that has just become due, so that it need not wait for the next sweep. */
  dispatchOne(kind: RecordKind, id: string, queuedFor: Duration): Promise<Dispatched | undefined>
  /** Takes dispatch marks back when the queue did not take the work, so that the next sweep finds it at once. */
  undispatch(kind: RecordKind, dispatched: readonly Dispatched[]): Promise<void>
  claim(kind: RecordKind, id: string, lease: Duration): Promise<ClaimAnswer>
  /**
   * Gives the lease back without another change. With `queuedFor` the record counts as queued that long: the job that
   * failed is tried again by its queue, and no sweep makes a second one beside it. False when the claim was stale.
   */
  release(claim: Claim, queuedFor?: Duration): Promise<boolean>
  /** Closes authorisations whose state is over (`issued` → `expired`); returns how many. */
  expireAttempts(now: DateTime, limit: number): Promise<number>
  /** Codes received before `receivedBefore`, due at `now`, that no worker holds: their job did not come in time. */
  findStuckCodes(receivedBefore: DateTime, now: DateTime, limit: number): Promise<string[]>
  /**
   * Gives a record of a job that failed for good a later date. One that a worker holds is left alone: that worker dates
   * it.
   */
  rescheduleRecord(kind: Exclude<RecordKind, 'consent'>, id: string, rest: RetryDates, code: ErrorCode): Promise<void>
  recordSweep(): Promise<void>
  /** Since the last successful sweep; undefined when there was none. */
  sinceLastSweep(): Promise<Duration | undefined>
  countDue(kind: RecordKind, now: DateTime): Promise<number>
}

export interface NewAuthorisation {
  readonly id: string
  readonly route: Route
  readonly state: Secret
  readonly verifier: Secret
  readonly link: Secret
  readonly doneId: string
  readonly redirectUri: string
  readonly issuedAt: DateTime
  /** When the state ends. */
  readonly expiresAt: DateTime
}

export interface RenewalStep {
  readonly now: DateTime
  /** The cycle; `opens`: it begins with this step. */
  readonly renewal: Renewal
  readonly opens: boolean
  readonly authorisation: NewAuthorisation | undefined
  readonly message: Notification | undefined
  readonly next: NextDate
  readonly reason: string
}

/** Writes of a reauth job. Each throws StaleClaim when another worker, a stop or an import has taken the claim over. */
export interface Renewals {
  /** Renewal, authorisation and notification rows in one transaction; gives the lease back. */
  commitStep(claim: Claim, step: RenewalStep): Promise<void>
  scheduleConsent(claim: Claim, at: DateTime, reason: string): Promise<void>
  /**
   * `counts`: whether it is the consent's own failure; an outage is not. `outages`: how many in a row by now, if that
   * changes.
   */
  backOff(
    claim: Claim,
    failure: { now: DateTime; until: DateTime; code: ErrorCode; counts: boolean; outages?: number; detail?: string },
  ): Promise<void>
  closeByRule(claim: Claim, as: 'lapsed' | 'unsupported' | 'quarantined', now: DateTime, reason: string): Promise<void>
}

/** What the start page and the pages after the bank show. No secret, no address. */
export interface RenewalPage {
  readonly renewal: Renewal
  readonly consent: Consent
  readonly authorisations: readonly Authorisation[]
}

/** What became of a callback whose state we made. */
export type CallbackOutcome =
  | { readonly kind: 'accepted'; readonly authorisationId: string; readonly doneId: string }
  /** The same state was consumed before: nothing changes. */
  | { readonly kind: 'already'; readonly doneId: string }
  /** The consent or the cycle no longer takes a code. */
  | { readonly kind: 'closed'; readonly doneId: string }

export type CallbackAnswer =
  /** With the consent that the link was made for, for a company that passes a callback on: whose it is. */
  (CallbackOutcome & { readonly credentialsId: string; readonly userId: string }) | { readonly kind: 'unknown-state' }

export interface AtTheBank {
  getRenewalPage(renewalId: string): Promise<RenewalPage | undefined>
  /** By the random id of `/done/<id>`. */
  getRenewalPageByDoneId(doneId: string): Promise<(RenewalPage & { readonly authorisation: Authorisation }) | undefined>
  /**
   * The newest link of this renewal by one of these routes, issued after `freshAfter`, that was never handed out;
   * marked as handed out.
   */
  handOutLink(
    renewalId: string,
    kept: { freshAfter: DateTime; routes: readonly Route[] },
    now: DateTime,
  ): Promise<Secret | undefined>
  /** Stores a link made for a user who is waiting for it: it counts as handed out. False when the renewal is closed. */
  addHandedOut(renewalId: string, authorisation: NewAuthorisation, now: DateTime): Promise<boolean>
  receiveCode(state: Secret, code: Secret, now: DateTime): Promise<CallbackAnswer>
  receiveRefusal(state: Secret, bankError: string, now: DateTime): Promise<CallbackAnswer>
}

/** What leaves with the code. */
export interface ExchangeStart {
  readonly code: Secret
  readonly verifier: Secret
  readonly redirectUri: string
  /** Of the stored token as the code is sent. */
  readonly tokenVersion: number
}

export interface TokenResponse {
  readonly accessToken: Secret
  readonly refreshToken: Secret | undefined
  readonly answeredAt: DateTime
  /** The version of the stored token that the exchange started from. */
  readonly tokenVersion: number
  /** `ours`: proven to be the consent's connection, stored there. `beside`: kept apart until that is known. */
  readonly owner: 'ours' | 'beside'
  readonly credentialsId: string | undefined
}

export interface Proof {
  readonly basis: string
  readonly expiresAt: DateTime
  readonly expiresSource: 'me' | 'assumed'
  readonly provenAt: DateTime
  /** When the question left whose answer is the proof. */
  readonly requestedAt: DateTime
}

export type CommitAnswer =
  | 'renewed'
  /**
   * The new connection is on record as somebody else's, or at another bank: the authorisation was closed as
   * `mismatched`, the user is asked again.
   */
  | 'mismatched'
  /** Another code was sent since the proof was asked for, or is being sent or proven: nothing was written. */
  | 'later-code-out'
  /** The cycle was closed meanwhile: nothing was written. */
  | 'cycle-closed'

export interface RotatedToken {
  readonly consentId: string
  readonly authorisationId: string
  /** Of the stored token that was refreshed. */
  readonly version: number
  readonly token: Secret
  readonly now: DateTime
}

export interface Exchanges {
  /** An attempt with all that the domain decides its next step from. */
  getAttempt(id: string): Promise<AttemptFacts | undefined>
  /**
   * Commits the intent to send the code. Undefined where it may not be sent any more, or not while another code of the
   * consent is being sent or proven: what stands in the way came after the attempt was read.
   */
  beginExchange(claim: Claim, now: DateTime): Promise<ExchangeStart | undefined>
  /**
   * Never fenced by the epoch: a token response in hand is stored. `token-changed`: an import replaced the stored token
   * since the exchange started; the one in hand is kept beside it, for either may be the only one alive.
   */
  storeTokenResponse(
    authorisationId: string,
    response: TokenResponse,
  ): Promise<'stored' | 'token-changed' | 'already-renewed' | 'cycle-closed'>
  /**
   * Moves tokens kept beside to the consent, once `/me` has shown that they are its own. False as well when the stored
   * token changed.
   */
  adoptTokens(claim: Claim): Promise<boolean>
  readAccessToken(authorisationId: string): Promise<Secret | undefined>
  readPendingToken(authorisationId: string): Promise<Secret | undefined>
  /**
   * Never fenced by the epoch either: the refresh that brought it has ended the one before. False once nothing is kept
   * beside any more.
   */
  replacePendingToken(authorisationId: string, token: Secret): Promise<boolean>
  readRefreshToken(consentId: string): Promise<{ token: Secret; version: number }>
  /**
   * A token that came with a settling refresh, in the stored one's place if that is still the one of `version`. False
   * when an import replaced it since: then the one in hand is kept beside by the authorisation, for either may be the
   * only one alive.
   */
  storeRotated(rotated: RotatedToken): Promise<boolean>
  /** Certainly not processed: back to `code_received`, tried again at `at`. */
  requeueCode(claim: Claim, at: DateTime, code: ErrorCode): Promise<void>
  /** Asks again at `at` in the same status; counts the question. */
  schedulePoll(claim: Claim, at: DateTime, code: ErrorCode): Promise<void>
  /** Another look at `at` that does not count as a question. */
  scheduleAttempt(claim: Claim, at: DateTime): Promise<void>
  /**
   * With `token-changed` also for one that is `unknown` already: from then on the stored token is the one to compare
   * with.
   */
  markUnknown(claim: Claim, at: DateTime, code: ErrorCode, now: DateTime): Promise<void>
  /**
   * Closes the authorisation without success; `ask` dates the consent for a new message. The third mismatch quarantines
   * it.
   */
  closeUnrenewed(
    claim: Claim,
    as: 'refused' | 'mismatched' | 'superseded',
    code: ErrorCode,
    now: DateTime,
    ask: 'again' | 'no',
  ): Promise<void>
  /** The proven success: closes the cycle, begins the next one and schedules it by the policy. */
  commitRenewal(
    claim: Claim,
    renewed: { proof: Proof; newConnection: NewConnection | undefined; policy: Policy },
  ): Promise<CommitAnswer>
}

export interface Quarantine {
  /** For a stored secret that does not open. False when the consent was closed or quarantined before. */
  quarantineConsent(consentId: string, now: DateTime, reason: string): Promise<boolean>
}

export type SendingStart =
  | { readonly kind: 'reserved' }
  | { readonly kind: 'cap-reached' }
  /** A code of this cycle came in: its outcome comes first. */
  | { readonly kind: 'in-flight' }
  /** The consent, the cycle or the row itself no longer asks for it. */
  | { readonly kind: 'not-wanted'; readonly reason: string }

export interface Notifications {
  getNotification(id: string): Promise<{ notification: Notification; view: ConsentView } | undefined>
  /** Commits the intent to send, the cap's reservation included, before anything is handed to the channel. */
  beginSending(claim: Claim, now: DateTime, messagesPerHour: number): Promise<SendingStart>
  settleSending(claim: Claim, result: 'sent' | 'uncertain' | 'failed', now: DateTime, code?: ErrorCode): Promise<void>
  /**
   * Certainly not handed over, or not now: pending again. `tried`: whether it counts as one of its tries. What was
   * `sending` gives its place in the hour's cap back.
   */
  reschedule(claim: Claim, at: DateTime, options: { now: DateTime; tried: boolean; code?: ErrorCode }): Promise<void>
  cancel(claim: Claim, now: DateTime, reason: string): Promise<void>
  /** A person's retry of a message that was certainly not taken. */
  reviveFailed(claim: Claim, now: DateTime): Promise<void>
}

/**
 * What many rejections at once were about: our client id and secret, or links for connections. Each holds calls of its
 * own.
 */
export type CircuitName = Extract<ErrorCode, 'client-rejected' | 'link-rejected'>

export interface OpenCircuit {
  readonly code: CircuitName
  readonly since: DateTime
  readonly trialAt: DateTime
}

/** What recent calls say about the provider as a whole. */
export interface ProviderHealth {
  getOpenCircuits(): Promise<readonly OpenCircuit[]>
  /** True for the one caller a minute whose trial call may go through while the circuit is open. */
  takeTrial(code: CircuitName, now: DateTime, every: Duration): Promise<boolean>
  /**
   * Counts a rejection that may be our own fault; opens the circuit at `threshold` different connections since `since`.
   * True if it opened it.
   */
  countFailure(failure: {
    code: CircuitName
    connection: string
    now: DateTime
    since: DateTime
    threshold: number
    trialEvery: Duration
  }): Promise<boolean>
  /** A success of that kind: forgets its failures and closes its circuit. True if it was open. */
  closeCircuit(code: CircuitName): Promise<boolean>
}

export interface Views {
  getView(consentId: string): Promise<ConsentView | undefined>
  /** By our id or the `credentials_id`. */
  findConsent(idOrCredentialsId: string): Promise<Consent | undefined>
}

export interface ConsentEvent {
  readonly consentId: string
  readonly seq: number
  readonly type: string
  readonly at: DateTime
  readonly actor: Actor
  readonly reason: string | undefined
  readonly data: Readonly<Record<string, unknown>>
}

export interface ConsentFilter {
  readonly status?: ConsentStatus | undefined
  readonly userId?: string | undefined
  readonly providerId?: string | undefined
  /** Only those whose expiry is before this. */
  readonly expiresBefore?: DateTime | undefined
  readonly withoutChannel?: boolean | undefined
}

export interface Feed {
  /**
   * Gives up to `most` committed events their place in the feed; fewer in the answer: none is left, or another process
   * is at it.
   */
  sequenceEvents(most: number): Promise<number>
}

export type Store = Dispatching &
  Renewals &
  AtTheBank &
  Exchanges &
  Quarantine &
  Notifications &
  ProviderHealth &
  Views &
  Feed
