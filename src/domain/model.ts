// The terms of the domain as types. State is stored, urgency is computed. No secret is ever part of these types.
import type { DateTime } from 'luxon'
import type { ChannelName } from './channels.ts'
import type { Route } from './routes.ts'

export type ConsentStatus =
  | 'active'
  | 'paused'
  | 'quarantined'
  | 'lapsed'
  | 'revoked'
  | 'opted_out'
  | 'superseded'
  | 'unsupported'

/** Where the expiry comes from: the provider's own `/me`, the import, or a calculation with the policy's validity. */
export type ExpirySource = 'me' | 'imported' | 'assumed'

/**
 * What the company tells about a connection and its user. An import takes these fields; a renewal by full
 * authentication passes them on to the new connection.
 */
export interface ConsentDetails {
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
  /** By which channels the user may be written to: none, or some; undefined: by all that are in use. */
  readonly channels: readonly ChannelName[] | undefined
}
export type DetailField = keyof ConsentDetails

const isDetail: Readonly<Record<DetailField, true>> = {
  userId: true,
  providerId: true,
  providerName: true,
  country: true,
  redirectUri: true,
  scopes: true,
  email: true,
  phone: true,
  name: true,
  locale: true,
  timeZone: true,
  channels: true,
}
export const detailFields = Object.keys(isDetail) as readonly DetailField[]

/** See token-order.ts; the token itself is no part of the domain. */
export interface Candidate {
  readonly version: number
  readonly arrivedAt: DateTime
  /** As the company says. */
  readonly issuedAt: DateTime | undefined
}

/** One connection of one user at one bank; known outside by `credentialsId`. */
export interface Consent extends ConsentDetails {
  readonly id: string
  readonly credentialsId: string
  readonly status: ConsentStatus
  /** Counts renewals: the number of the cycle that is running now. */
  readonly cycle: number
  readonly expiresAt: DateTime
  readonly expiresSource: ExpirySource
  readonly tokenVersion: number
  /** When the provider issued the current token: as the company says, or when it answered us with it. */
  readonly tokenIssuedAt: DateTime | undefined
  /** When the provider last accepted the current token: by a link, a refresh or an exchange. */
  readonly tokenAcceptedAt: DateTime | undefined
  /** Since when the provider's rejection is known to be this connection's own; undefined once a token is accepted. */
  readonly tokenRejectedAt: DateTime | undefined
  /** A token that an import brought and that the provider has not judged yet. */
  readonly candidate: Candidate | undefined
  readonly nextActionAt: DateTime | undefined
  readonly nextActionReason: string | undefined
  /** How many failures in a row were answers about this consent. */
  readonly failedAttempts: number
  /** How many times in a row something around the consent was unavailable: see outage.ts. */
  readonly outages: number
  readonly lastErrorCode: string | undefined
  /** While this instant is in the future, the consent backs off. */
  readonly retryAfter: DateTime | undefined
  /** How many times in a row the user approved a different connection. */
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
  /** How many times a message was requested by hand; rung `manual-<n>`. */
  readonly manualNo: number
  /** How many times the user had to be notified again although they did their part; rung `again-<n>`. */
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
  | 'in_doubt'
  | 'awaiting_date'
  | 'expired'
  | 'superseded'

/** One attempt at the bank, with its own state, verifier and authorisation URL. */
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
  /** When the code was sent; the last time, if it was sent more than once. */
  readonly exchangeStartedAt: DateTime | undefined
  /** When the provider answered the exchange with tokens. */
  readonly answeredAt: DateTime | undefined
  /** The version of the stored refresh token when this exchange began. */
  readonly tokenVersion: number | undefined
  /** Route `full`: the connection that the code turned out to belong to. */
  readonly newCredentialsId: string | undefined
  /**
   * Whose the exchange's tokens are: `ours` are stored with the consent; `pending` ones stay with the attempt until
   * their owner is known.
   */
  readonly tokenOwner: 'ours' | 'pending' | undefined
  /** Whether a pending token of this attempt is stored, apart from the consent's own. */
  readonly hasPendingToken: boolean
  /** How many times the provider was polled in the present status. */
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
  readonly channel: ChannelName
  readonly status: NotificationStatus
  readonly situation: Situation
  readonly attempts: number
  readonly errorCode: string | undefined
  readonly createdAt: DateTime
  /** When the server's answer to the last byte was late: until then a worker's death leaves this undefined. */
  readonly handedOverAt: DateTime | undefined
  /** When the sending began a second time, because the first worker died over it. */
  readonly repeatedAt: DateTime | undefined
  readonly sentAt: DateTime | undefined
  readonly nextActionAt: DateTime | undefined
}

/** Everything that is needed to decide what is next for a consent: its row and its running cycle. */
export interface ConsentView {
  readonly consent: Consent
  /** The renewal of the consent's current cycle, once opened. */
  readonly renewal: Renewal | undefined
  /** The attempts of that renewal, oldest first. */
  readonly authorisations: readonly Authorisation[]
  /** The messages of that renewal, oldest first. */
  readonly notifications: readonly Notification[]
}

export type Actor = 'system' | 'user' | 'operator' | 'company'
