// The words of the domain as types. State is stored, urgency is computed. No secret is ever part of these.
import type { DateTime } from 'luxon'
import type { Route } from './policy.ts'

export type ConsentStatus =
  | 'active'
  | 'paused'
  | 'quarantined'
  | 'lapsed'
  | 'revoked'
  | 'opted_out'
  | 'superseded'
  | 'unsupported'

/** Where the expiry comes from: the provider's own `/me`, the import, or reckoned from the policy's validity. */
export type ExpirySource = 'me' | 'imported' | 'assumed'

/** One connection of one user at one bank; known outside by `credentialsId`. */
export interface Consent {
  readonly id: string
  readonly credentialsId: string
  readonly userId: string
  readonly providerId: string
  readonly providerName: string | undefined
  /** Two letters, upper case. */
  readonly country: string
  readonly redirectUri: string
  readonly scopes: readonly string[]
  readonly email: string | undefined
  readonly phone: string | undefined
  readonly name: string | undefined
  readonly locale: string | undefined
  readonly timeZone: string | undefined
  readonly status: ConsentStatus
  /** Counts renewals: the cycle that is running now. */
  readonly cycle: number
  readonly expiresAt: DateTime
  readonly expiresSource: ExpirySource
  readonly tokenVersion: number
  readonly nextActionAt: DateTime | undefined
  readonly nextActionReason: string | undefined
  /** Answers about this consent that were failures, in a row. */
  readonly failedAttempts: number
  /** How often in a row something around it was away: see outage.ts. */
  readonly outages: number
  readonly lastErrorCode: string | undefined
  /** While set and in the future, the record backs off. */
  readonly retryAfter: DateTime | undefined
  /** How often a different connection was approved in a row. */
  readonly mismatches: number
  readonly supersededById: string | undefined
  readonly createdAt: DateTime
}

export type RenewalStatus = 'open' | 'renewed' | 'repaired' | 'lapsed' | 'cancelled'

/** One cycle of one consent. */
export interface Renewal {
  readonly id: string
  readonly consentId: string
  readonly cycle: number
  readonly status: RenewalStatus
  readonly route: Route | undefined
  readonly openedAt: DateTime
  readonly closedAt: DateTime | undefined
  readonly reason: string
  /** How often a person asked for a message by hand; rung `manual-<n>`. */
  readonly manualNo: number
  /** How often the user must be asked again although they did their part; rung `again-<n>`. */
  readonly againNo: number
  readonly againReason: 'asked-again' | 'other-account' | undefined
}

export type AuthorisationStatus =
  | 'issued'
  | 'code_received'
  | 'exchanging'
  | 'verifying'
  | 'renewed'
  | 'refused'
  | 'mismatched'
  | 'unknown'
  | 'expired'
  | 'superseded'

/** One attempt at the bank, with its own state, verifier and link. */
export interface Authorisation {
  readonly id: string
  readonly consentId: string
  readonly renewalId: string
  readonly route: Route
  readonly status: AuthorisationStatus
  readonly doneId: string
  readonly redirectUri: string
  readonly issuedAt: DateTime
  readonly handedOutAt: DateTime | undefined
  readonly expiresAt: DateTime
  readonly codeReceivedAt: DateTime | undefined
  /** When the code was sent, for the last time if it was sent again. */
  readonly exchangeStartedAt: DateTime | undefined
  /** When the provider answered the exchange with tokens. */
  readonly answeredAt: DateTime | undefined
  /** The version of the stored refresh token this exchange started from. */
  readonly tokenVersion: number | undefined
  /** Route `full`: the connection the code turned out to be for. */
  readonly newCredentialsId: string | undefined
  /** Whose the tokens of the exchange are: stored with the consent, or kept beside until that is known. */
  readonly tokenOwner: 'ours' | 'beside' | undefined
  /** Whether a refresh token of it is stored beside the consent's own. */
  readonly hasPendingToken: boolean
  /** How often the provider was asked in the present status. */
  readonly pollCount: number
  readonly errorCode: string | undefined
  readonly nextActionAt: DateTime | undefined
  readonly closedAt: DateTime | undefined
}

export type NotificationStatus = 'pending' | 'sending' | 'sent' | 'uncertain' | 'failed' | 'cancelled'
/** Why a message is sent; chooses its wording. */
export type Situation = 'reminder' | 'asked-again' | 'other-account' | 'uncertain'

/** A row of the message ledger, unique per consent, cycle, rung and channel. */
export interface Notification {
  readonly id: string
  readonly consentId: string
  readonly renewalId: string
  readonly cycle: number
  readonly rung: string
  readonly channel: 'email'
  readonly status: NotificationStatus
  readonly situation: Situation
  readonly attempts: number
  readonly errorCode: string | undefined
  readonly createdAt: DateTime
  readonly sentAt: DateTime | undefined
  readonly nextActionAt: DateTime | undefined
}

/** All that is needed to decide what is next for a consent: its row and its running cycle. */
export interface ConsentView {
  readonly consent: Consent
  /** The renewal of the consent's current cycle, once opened. */
  readonly renewal: Renewal | undefined
  /** Of that renewal, oldest first. */
  readonly authorisations: readonly Authorisation[]
  /** Of that renewal, oldest first. */
  readonly notifications: readonly Notification[]
}

export type Actor = 'system' | 'user' | 'operator' | 'company'
