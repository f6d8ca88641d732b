// What the rest of Reconsent needs from its database. Each function is one atomic step of the consent life cycle; the
// comments of the implementations name the races that they prevent. Secrets are passed as Secret and stored encrypted.
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
import type { AttemptFacts } from '../domain/exchange-step.ts'
import type { Policy } from '../domain/policy.ts'
import type { Basis } from '../domain/proof.ts'
import type { Route } from '../domain/routes.ts'
import type { Rejection } from '../domain/token-rejection.ts'
import type { NewConnection } from '../domain/reading.ts'
import type { TokenPlace } from '../domain/token-order.ts'
import type { ErrorCode } from '../errors.ts'
import type { Dispatch, RecordKind } from '../records.ts'
import type { Secret } from '../secret.ts'
import type { AccessTokens } from './access-tokens-port.ts'

/** The right to work on a record until the lease ends. Every later write names the claim's fencing token. */
export interface Claim {
  readonly kind: RecordKind
  readonly id: string
  readonly fencingToken: number
}

/** What the domain decides from, for each kind of record. */
export interface Facts {
  readonly consent: ConsentView
  readonly notification: { readonly notification: Notification; readonly view: ConsentView }
  readonly authorisation: AttemptFacts
}

export type ClaimAnswer<Kind extends RecordKind = RecordKind> =
  /** `facts` throws if the database has something that this release does not know, such as a route. */
  | { readonly kind: 'claimed'; readonly claim: Claim; facts(): Facts[Kind] }
  | { readonly kind: 'held'; readonly until: DateTime }
  | { readonly kind: 'missing' }

export interface RetryDates {
  readonly now: DateTime
  readonly retryAt: DateTime
  /**
   * Used instead of `retryAt` for an urgent record: a code that came, or a message whose sending began, less than
   * `urgentFor` ago. The new date is never later than the end of that time, because a code is no longer valid then.
   */
  readonly urgentRetryAt: DateTime
  readonly urgentFor: Duration
}

/** Leases and dispatch marks use the database's clock; whether a record is due depends on the caller's `now`. */
export interface Dispatching {
  /**
   * Marks up to `limit` due records as queued for the time `queuedFor`, and counts their dispatches. Rows that another
   * sweep has locked are skipped.
   */
  dispatchDue(kind: RecordKind, now: DateTime, limit: number, queuedFor: Duration): Promise<Dispatch[]>
  /**
   * Dispatches one record that has just become due, so that it need not wait for the next sweep; whether it is due is
   * not checked. Undefined if the record is queued or claimed already, or is no longer open.
   */
  dispatchOne(kind: RecordKind, id: string, queuedFor: Duration): Promise<Dispatch | undefined>
  /**
   * Removes dispatch marks after the queue did not accept the jobs, so that the next sweep finds the records at once.
   */
  undispatch(kind: RecordKind, dispatched: readonly Dispatch[]): Promise<void>
  /** Claims the record and reads its facts, both in one statement. */
  claim<Kind extends RecordKind>(kind: Kind, id: string, lease: Duration): Promise<ClaimAnswer<Kind>>
  /**
   * Releases the lease and changes nothing else. With `queuedFor`, the record counts as queued for that time: the queue
   * retries the failed job, and no sweep dispatches a second one meanwhile. False if the claim is stale.
   */
  release(claim: Claim, queuedFor?: Duration): Promise<boolean>
  /** Closes attempts whose OAuth state has expired (`issued` → `expired`); returns how many. */
  expireAttempts(now: DateTime, limit: number): Promise<number>
  /**
   * The ids of attempts whose code came at `receivedBefore` or earlier, that are due at `now` and that no worker holds:
   * their job did not run in time.
   */
  findStuckCodes(receivedBefore: DateTime, now: DateTime, limit: number): Promise<string[]>
  /**
   * Gives a later date to the record of a job that the queue has given up. A record that a worker holds is left alone,
   * because that worker schedules it.
   */
  rescheduleRecord(kind: Exclude<RecordKind, 'consent'>, id: string, dates: RetryDates, code: ErrorCode): Promise<void>
  /** Deletes up to `limit` answers of the API that have been kept since this instant or longer; returns how many. */
  purgeAnswers(before: DateTime, limit: number): Promise<number>
  /** Deletes up to `limit` tries of webhooks that were made before this instant; returns how many. */
  purgeWebhookTries(before: DateTime, limit: number): Promise<number>
  recordSweep(): Promise<void>
  /** The time since the last successful sweep; undefined if there was none. */
  sinceLastSweep(): Promise<Duration | undefined>
  countDue(kind: RecordKind, now: DateTime): Promise<number>
}

/** A stored refresh token: the current one with its version, or the candidate with its own. */
export interface TokenRef {
  readonly place: TokenPlace
  readonly version: number
}

/** What the provider has shown about the stored tokens while it made a link. */
export interface TokenUse {
  readonly accepted: TokenRef
  /** Those that the same call was made with just before, in vain. */
  readonly rejected: readonly TokenRef[]
  /** The version of the current token when the tokens were read. */
  readonly currentVersion: number
  readonly at: DateTime
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
  /** When the OAuth state expires. */
  readonly expiresAt: DateTime
  /** Committed together with the attempt; undefined for a link that was made without a call. */
  readonly tokenUse: TokenUse | undefined
}

export interface RenewalStep {
  readonly now: DateTime
  /** The cycle's renewal. `opens`: this step opens it. */
  readonly renewal: Renewal
  readonly opens: boolean
  readonly authorisation: NewAuthorisation | undefined
  /** At most one for each channel. */
  readonly messages: readonly Notification[]
  readonly next: NextDate
  readonly reason: string
}

/**
 * The writes of a reauth job. Each throws StaleClaim if another worker, a stop or an import has taken the claim over.
 */
export interface Renewals {
  /**
   * Inserts the step's renewal, attempt and messages and schedules the consent, in one transaction; releases the lease.
   * The messages are marked as queued for the time `queuedFor`, and returned for the queue.
   */
  commitStep(claim: Claim, step: RenewalStep, queuedFor: Duration): Promise<readonly Dispatch[]>
  scheduleConsent(claim: Claim, at: DateTime, reason: string): Promise<void>
  /**
   * Delays the consent after a failure. `counts`: the failure is the consent's own, and not an outage. `outages`: the
   * new number of outages in a row; undefined leaves the number as it is.
   */
  backOff(
    claim: Claim,
    failure: { now: DateTime; until: DateTime; code: ErrorCode; counts: boolean; outages?: number; detail?: string },
  ): Promise<void>
  /** Delays a consent whose every token the provider has rejected, and records since when that is its own trouble. */
  backOffRejected(claim: Claim, rejection: Rejection & { now: DateTime; detail: string }): Promise<void>
  closeByRule(claim: Claim, as: 'lapsed' | 'unsupported' | 'quarantined', now: DateTime, reason: string): Promise<void>
}

/** What the start page and the pages after the bank are made from. Contains no secret and no authorisation URL. */
export interface RenewalPage {
  readonly renewal: Renewal
  readonly consent: Consent
  readonly authorisations: readonly Authorisation[]
}

/** The outcome of a callback whose state is one of ours. */
export type CallbackOutcome =
  /** `dispatch`: a code came, and its attempt is marked as queued. */
  | {
      readonly kind: 'accepted'
      readonly authorisationId: string
      readonly doneId: string
      readonly dispatch?: Dispatch
    }
  /** This state was used before, or a refusal came for an attempt that is no longer `issued`: nothing changes. */
  | { readonly kind: 'already'; readonly doneId: string }
  /** The consent or the cycle no longer accepts a code. */
  | { readonly kind: 'closed'; readonly doneId: string }

export type CallbackAnswer =
  /**
   * Also names the consent and the user that the attempt was made for: a company that passes callbacks on needs to
   * know.
   */
  (CallbackOutcome & { readonly credentialsId: string; readonly userId: string }) | { readonly kind: 'unknown-state' }

export interface AtTheBank {
  getRenewalPage(renewalId: string): Promise<RenewalPage | undefined>
  /** The same page, found by the random id in `/done/<id>`, with the attempt that has this id. */
  getRenewalPageByDoneId(doneId: string): Promise<(RenewalPage & { readonly authorisation: Authorisation }) | undefined>
  /**
   * Returns the authorisation URL of this attempt and marks it as handed out. Undefined if somebody has got it
   * meanwhile, or if the cycle is closed. `by`: the key of the API that asked for it; otherwise the user did.
   */
  handOutLink(page: RenewalPage, attemptId: string, now: DateTime, by?: string): Promise<Secret | undefined>
  /**
   * Stores an attempt whose authorisation URL was made for a user who is waiting for it; the URL counts as handed out.
   * False if the cycle is closed.
   */
  addHandedOut(page: RenewalPage, authorisation: NewAuthorisation, now: DateTime, by?: string): Promise<boolean>
  /** `by`: the name of the API key that passed it on, for the event. */
  receiveCode(
    state: Secret,
    code: Secret,
    how: { readonly now: DateTime; readonly queuedFor: Duration; readonly by?: string | undefined },
  ): Promise<CallbackAnswer>
  receiveRefusal(
    state: Secret,
    bankError: string,
    how: { readonly now: DateTime; readonly by?: string | undefined },
  ): Promise<CallbackAnswer>
}

/** What is sent with the code, and the token version to compare with when the response is stored. */
export interface ExchangeStart {
  readonly code: Secret
  readonly verifier: Secret
  readonly redirectUri: string
  /** The version of the stored token at the time when the code is sent. */
  readonly tokenVersion: number
  /** The number of this call among all that may give the connection another access token; 0: nobody asks for those. */
  readonly callNo: number
}

export interface TokenResponse {
  readonly accessToken: Secret
  readonly refreshToken: Secret | undefined
  readonly answeredAt: DateTime
  /** The version of the stored token that the exchange started from. */
  readonly tokenVersion: number
  /**
   * `ours`: the tokens certainly belong to the consent's connection, and are stored with the consent. `pending`: they
   * are kept with the attempt until their owner is known.
   */
  readonly owner: 'ours' | 'pending'
  readonly credentialsId: string | undefined
}

/** A proof of domain/proof.ts, as it is committed with the renewal. */
export interface CommittedProof {
  readonly basis: Basis
  readonly expiresAt: DateTime
  readonly expiresSource: 'me' | 'assumed'
  readonly provenAt: DateTime
  /** When the poll whose answer is the proof was sent, or the refresh before that poll. */
  readonly requestedAt: DateTime
}

export type CommitAnswer =
  | 'renewed'
  /**
   * The new connection is on record for another user, at another bank, or as superseded by this consent: the attempt
   * was closed as `mismatched`, and the user is notified again.
   */
  | 'mismatched'
  /**
   * Another code of the consent was sent after this one or after the poll that gave the proof, and may still move the
   * date or show its own: nothing was written.
   */
  | 'later-code-out'
  /** The cycle was closed meanwhile: nothing was written. */
  | 'cycle-closed'

export interface RotatedToken {
  readonly consentId: string
  readonly authorisationId: string
  /** The version of the stored token that the refresh used. */
  readonly version: number
  readonly token: Secret
  readonly now: DateTime
}

/** What a refresh by the candidate brought. */
export interface AcceptedCandidate {
  readonly consentId: string
  readonly authorisationId: string
  /** The version of the candidate with which the refresh was sent. */
  readonly version: number
  /** The version of the current token that the provider refused just before and whose consent had not expired. */
  readonly refusedVersion: number | undefined
  /** The candidate itself, with which the refresh was sent. */
  readonly used: Secret
  /** Undefined when the answer carried no refresh token. */
  readonly token: Secret | undefined
  readonly now: DateTime
}

export interface StoredTokens {
  /**
   * `stored`: the attempt goes on to its proof. `token-changed`: another token has replaced the stored one since the
   * exchange started, for example by an import; the response's refresh token is kept as pending with the attempt,
   * because either token may be the only valid one. `already-renewed`: the attempt was renewed before; nothing was
   * written. `cycle-closed`: the attempt no longer waits for a response, usually because its cycle was closed
   * meanwhile; a refresh token that is `ours` was stored with the consent all the same, but the attempt stays as it is.
   */
  readonly kind: 'stored' | 'token-changed' | 'already-renewed' | 'cycle-closed'
  /** The attempt as this write has left it, where the write itself tells. */
  readonly facts: AttemptFacts | undefined
}

export interface Exchanges {
  /** The claimed attempt with everything from which the domain decides its next step, as it is now. */
  getAttempt(claim: Claim): Promise<AttemptFacts | undefined>
  /**
   * Commits the intent to send the code. Undefined if the code may no longer be sent, or must wait because another code
   * of the consent is being sent or proven; either has happened after the attempt was read. `refreshing`: the
   * connection's token is being refreshed for the company, and would be replaced under the exchange.
   */
  beginExchange(claim: Claim, now: DateTime): Promise<ExchangeStart | 'refreshing' | undefined>
  /**
   * Stores a token response. Never fenced by the fencing token, because losing the tokens would lose the connection.
   * Where another worker has taken the claim over, its claim becomes stale: what it decides knows nothing of them.
   */
  storeTokenResponse(claim: Claim, response: TokenResponse): Promise<StoredTokens>
  /**
   * Moves the attempt's pending tokens to the consent, once `/me` has shown that they belong to the consent's
   * connection. False, with nothing moved, if the stored token no longer has the version that the attempt recorded.
   */
  adoptTokens(claim: Claim): Promise<boolean>
  readAccessToken(authorisationId: string): Promise<Secret | undefined>
  readPendingToken(authorisationId: string): Promise<Secret | undefined>
  /**
   * Replaces the attempt's pending token `used` with the token that a refresh of it has brought. Never fenced by the
   * fencing token either, because the refresh has ended the old token. False if the attempt no longer has the token
   * `used`: the new one is then kept as the consent's candidate if it is known to be of its connection.
   */
  replacePendingToken(
    authorisationId: string,
    rotated: { used: Secret; token: Secret; credentialsId: string | undefined; now: DateTime },
  ): Promise<boolean>
  /** The current token. Throws if it does not decrypt. */
  readRefreshToken(consentId: string): Promise<{ token: Secret; version: number }>
  /**
   * The current token and the candidate, in the order in which to try them. One that does not decrypt is left out;
   * throws if none does. `readWith`: they are as they were read with it, if nothing was written since.
   */
  readTokens(
    consentId: string,
    readWith?: Claim | RenewalPage,
  ): Promise<{
    readonly tokens: readonly (TokenRef & { readonly token: Secret })[]
    readonly currentVersion: number
  }>
  /**
   * Makes the candidate, or the token that a refresh by it has brought, the current one. Undefined if the consent no
   * longer has this candidate: the new token is then kept as pending with the attempt. Never fenced.
   */
  acceptCandidate(accepted: AcceptedCandidate): Promise<number | undefined>
  /** Bars a candidate that the provider refused, if the consent still has it. */
  rejectCandidate(consentId: string, version: number, now: DateTime): Promise<void>
  /**
   * Keeps a token that the provider says belongs to another connection as the candidate of that connection's consent.
   * False if there is no such consent.
   */
  offerToken(credentialsId: string, token: Secret, now: DateTime): Promise<boolean>
  /**
   * Stores a token that a refresh has brought while an exchange in doubt is settled. It replaces the stored token if
   * that one still has `version`. False if another token has replaced the stored one since: the new token is then kept
   * as pending with the attempt, because either may be the only valid one.
   */
  storeRotated(rotated: RotatedToken): Promise<boolean>
  /**
   * For a code that was certainly not processed: the attempt becomes `code_received` again, and the code is sent again
   * at `at`.
   */
  requeueCode(claim: Claim, at: DateTime, code: ErrorCode): Promise<void>
  /** Schedules the next poll at `at`, in the same status, and counts the poll that was just made. */
  schedulePoll(claim: Claim, at: DateTime, code: ErrorCode): Promise<void>
  /** Schedules the attempt's next run at `at` without counting a poll. */
  scheduleAttempt(claim: Claim, at: DateTime): Promise<void>
  /**
   * Puts the attempt in doubt and deletes its code. With `token-changed`, also for an attempt that is in doubt already;
   * the attempt then records the stored token's present version.
   */
  markInDoubt(claim: Claim, at: DateTime, code: ErrorCode, now: DateTime): Promise<void>
  /** The attempt awaits a date that may come late; it is polled next at `until`. */
  awaitDate(claim: Claim, until: DateTime, code: ErrorCode, now: DateTime): Promise<void>
  /**
   * Closes the attempt without a renewal and makes the consent due now if it is active. `notify`: the cycle gets a
   * further message. The third mismatch in a row quarantines the consent.
   */
  closeUnrenewed(
    claim: Claim,
    as: 'refused' | 'mismatched' | 'superseded',
    code: ErrorCode,
    now: DateTime,
    notify: boolean,
  ): Promise<void>
  /** Commits a proven renewal: closes the cycle, begins the next one and schedules it by the policy. */
  commitRenewal(
    claim: Claim,
    renewed: { proof: CommittedProof; newConnection: NewConnection | undefined; policy: Policy },
  ): Promise<CommitAnswer>
}

export interface Quarantine {
  /**
   * For a consent with a stored secret that does not decrypt. False if the consent was closed or quarantined before.
   */
  quarantineConsent(consentId: string, now: DateTime, reason: string): Promise<boolean>
}

export type SendingStart =
  | { readonly kind: 'reserved' }
  | { readonly kind: 'cap-reached' }
  /** As many messages of this hour were repeated as may be. */
  | { readonly kind: 'repeats-reached' }
  /** The user is at the bank, or a code of this cycle came in; the outcome is awaited first. */
  | { readonly kind: 'in-flight'; readonly reason: string }
  /** The status of the message, its consent or its cycle no longer allows it to be sent. */
  | { readonly kind: 'not-wanted'; readonly reason: string }

export interface Notifications {
  /**
   * Whether this clock hour has a place left, so that no server is called in vain. The place is taken when the message
   * begins.
   */
  placeInHour(
    now: DateTime,
    messagesPerHour: number,
    isRepeat: boolean,
  ): Promise<'free' | Extract<SendingStart['kind'], 'cap-reached' | 'repeats-reached'>>
  /** Commits the intent to send, and reserves a place in the hour's cap, before anything of the message leaves. */
  beginSending(claim: Claim, now: DateTime, messagesPerHour: number): Promise<SendingStart>
  /**
   * The same for a message that is still `sending` because its worker died: once in the message's life, with a place of
   * its own in the hour's cap.
   */
  beginRepeat(claim: Claim, now: DateTime, messagesPerHour: number): Promise<SendingStart>
  /**
   * Records that the whole message has left and that its answer is late. False if the claim is stale, or the outcome is
   * stored already.
   */
  recordHandedOver(claim: Claim, now: DateTime): Promise<boolean>
  /**
   * Commits what became of a message that was begun; a repetition of the same call writes nothing. `reason`: what the
   * event says, by default the code.
   */
  settleSending(
    claim: Claim,
    result: 'sent' | 'uncertain' | 'failed',
    now: DateTime,
    why?: { readonly code?: ErrorCode; readonly reason?: string },
  ): Promise<void>
  /**
   * For a message that the server refused for good before it was begun. It takes its place in the hour's cap all the
   * same, so that a server that refuses everything cannot fail everything that is due at once.
   */
  failUnbegun(claim: Claim, now: DateTime, code: ErrorCode, messagesPerHour: number): Promise<'failed' | 'cap-reached'>
  /**
   * Makes a message `pending` again that was certainly not taken, or that has to wait. `tried`: whether this counts as
   * one of its tries. If not, a message that was `sending` gives its try back; in any case it gives back its place in
   * the hour's cap.
   */
  reschedule(claim: Claim, at: DateTime, options: { now: DateTime; tried: boolean; code?: ErrorCode }): Promise<void>
  /** Gives a later date to a message that its worker died over; it stays `sending`. `tried` is as above. */
  postponeRepeat(claim: Claim, at: DateTime, options: { tried: boolean; code?: ErrorCode }): Promise<void>
  cancel(claim: Claim, now: DateTime, reason: string): Promise<void>
  /** An operator's retry of a message that was certainly not taken: `failed` becomes `pending`. */
  reviveFailed(claim: Claim, now: DateTime): Promise<void>
}

/**
 * What the provider rejected many times at once: our client id and secret, or requests for authorisation URLs. Each has
 * a circuit of its own, which stops its own calls.
 */
export type CircuitName = Extract<ErrorCode, 'client-rejected' | 'link-rejected'>

export interface OpenCircuit {
  readonly code: CircuitName
  readonly since: DateTime
  readonly trialAt: DateTime
}

/** What recent calls say about the provider as a whole. */
export interface Health {
  readonly open: readonly OpenCircuit[]
  /** The circuits for which rejections are counted since the last success of their kind. */
  readonly rejected: readonly CircuitName[]
}

/** A connection with which the provider's acceptance of our calls can be tried. */
export interface Canary {
  readonly consentId: string
  readonly token: Secret
  readonly redirectUri: string
  readonly providerId: string
  readonly scopes: readonly string[]
}

/** The state of the circuit breaker. */
export interface ProviderHealth {
  getHealth(): Promise<Health>
  /**
   * True for the one caller in each period of `every` that may make the trial call while the circuit is open. With
   * `connection`: one that was not rejected since the last success comes first, and any other only once a further
   * period has passed without one.
   */
  takeTrial(code: CircuitName, now: DateTime, every: Duration, connection?: string): Promise<boolean>
  /** An active consent whose link the provider has made since `acceptedSince`, and that was not rejected after it. */
  findCanary(acceptedSince: DateTime): Promise<Canary | undefined>
  /**
   * Counts a rejection that may be our own fault, and opens the circuit once `threshold` different connections were
   * rejected since `since`. True if this call opened it.
   */
  countFailure(failure: {
    code: CircuitName
    connection: string
    now: DateTime
    since: DateTime
    threshold: number
    trialEvery: Duration
  }): Promise<boolean>
  /**
   * For a success of that kind: deletes the counted rejections and closes the circuit. True if it was open.
   */
  closeCircuit(code: CircuitName): Promise<boolean>
}

export interface Views {
  getView(consentId: string): Promise<ConsentView | undefined>
  /** Finds a consent by our id or by its `credentials_id`. */
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
  /** Only consents whose expiry is before this instant. */
  readonly expiresBefore?: DateTime | undefined
  readonly withoutChannel?: boolean | undefined
}

export interface Feed {
  /**
   * Takes up to `most` notes of committed events that wait for their place in the feed, and gives those events their
   * places. Returns how many notes were taken: fewer than `most` means that none is left, or that another process is
   * sequencing.
   */
  sequenceEvents(most: number): Promise<number>
}

export type Store = Dispatching &
  Renewals &
  AtTheBank &
  Exchanges &
  AccessTokens &
  Quarantine &
  Notifications &
  ProviderHealth &
  Views &
  Feed
