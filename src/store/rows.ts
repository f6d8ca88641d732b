// Maps rows to domain objects and back, so that callers of the store need not know the shape of the tables. Encrypted
// columns are never mapped.
import { DateTime } from 'luxon'
import type {
  Authorisation as AuthorisationRow,
  Consent as ConsentRow,
  Event as EventRow,
  Notification as NotificationRow,
  Renewal as RenewalRow,
} from '../generated/prisma/client.ts'
import { type ChannelName, channelNames } from '../domain/channels.ts'
import type { ImportedDetails } from '../domain/import-decision.ts'
import type {
  Actor,
  Authorisation,
  AuthorisationStatus,
  Consent,
  ConsentStatus,
  DetailField,
  ExpirySource,
  Notification,
  NotificationStatus,
  Renewal,
  RenewalStatus,
  Situation,
} from '../domain/model.ts'
import { isRoute, type Route } from '../domain/routes.ts'
import type { ConsentEvent } from './port.ts'

export const instant = (date: Date): DateTime => DateTime.fromJSDate(date, { zone: 'utc' })
const maybe = (date: Date | null): DateTime | undefined => (date === null ? undefined : instant(date))

/** A route that only a later release knows is refused: it must not be treated as another. */
export const knownRoute = (name: string): Route => {
  if (!isRoute(name)) throw new Error(`the database has the route '${name}', which this release does not know`)
  return name
}

/** One that only a later release knows is left out: this one cannot use it anyway. */
const channelsOf = (text: string): ChannelName[] => {
  const names = text.split(',')
  return channelNames().filter((name) => names.includes(name))
}

/** The column; NULL: the channels of the policy. */
export const channelsText = (names: readonly ChannelName[] | null | undefined): string | null =>
  names?.join(',') ?? null

export const toConsent = (row: ConsentRow): Consent => ({
  id: row.id,
  credentialsId: row.credentialsId,
  userId: row.userId,
  providerId: row.providerId,
  providerName: row.providerName ?? undefined,
  country: row.country,
  redirectUri: row.redirectUri,
  scopes: row.scopes,
  email: row.email ?? undefined,
  phone: row.phone ?? undefined,
  name: row.name ?? undefined,
  locale: row.locale ?? undefined,
  timeZone: row.timeZone ?? undefined,
  channels: row.channels === null ? undefined : channelsOf(row.channels),
  status: row.status as ConsentStatus,
  cycle: row.cycle,
  expiresAt: instant(row.expiresAt),
  expiresSource: row.expiresSource as ExpirySource,
  tokenVersion: row.tokenVersion,
  tokenIssuedAt: maybe(row.tokenIssuedAt),
  tokenAcceptedAt: maybe(row.tokenAcceptedAt),
  tokenRejectedAt: maybe(row.tokenRejectedAt),
  candidate:
    row.candidateToken === null || row.candidateArrivedAt === null
      ? undefined
      : {
          version: row.candidateVersion,
          arrivedAt: instant(row.candidateArrivedAt),
          issuedAt: maybe(row.candidateIssuedAt),
        },
  nextActionAt: maybe(row.nextActionAt),
  nextActionReason: row.nextActionReason ?? undefined,
  failedAttempts: row.failedAttempts,
  outages: row.outages,
  lastErrorCode: row.lastErrorCode ?? undefined,
  retryAfter: maybe(row.retryAfter),
  mismatches: row.mismatches,
  supersededById: row.supersededById ?? undefined,
  createdAt: instant(row.createdAt),
})

export const toRenewal = (row: RenewalRow): Renewal => ({
  id: row.id,
  consentId: row.consentId,
  cycle: row.cycle,
  status: row.status as RenewalStatus,
  route: row.route === null ? undefined : knownRoute(row.route),
  openedAt: instant(row.openedAt),
  closedAt: maybe(row.closedAt),
  reason: row.reason,
  manualNo: row.manualNo,
  againNo: row.againNo,
  againReason: (row.againReason as Renewal['againReason'] | null) ?? undefined,
})

export const toAuthorisation = (row: AuthorisationRow): Authorisation => ({
  id: row.id,
  consentId: row.consentId,
  renewalId: row.renewalId,
  route: knownRoute(row.route),
  status: row.status as AuthorisationStatus,
  doneId: row.doneId,
  redirectUri: row.redirectUri,
  issuedAt: instant(row.issuedAt),
  handedOutAt: maybe(row.handedOutAt),
  expiresAt: instant(row.expiresAt),
  codeReceivedAt: maybe(row.codeReceivedAt),
  exchangeStartedAt: maybe(row.exchangeStartedAt),
  answeredAt: maybe(row.answeredAt),
  tokenVersion: row.tokenVersion ?? undefined,
  newCredentialsId: row.newCredentialsId ?? undefined,
  tokenOwner: (row.tokenOwner as Authorisation['tokenOwner'] | null) ?? undefined,
  hasPendingToken: row.pendingRefreshToken !== null,
  pollCount: row.pollCount,
  errorCode: row.errorCode ?? undefined,
  nextActionAt: maybe(row.nextActionAt),
  closedAt: maybe(row.closedAt),
})

export const toNotification = (row: NotificationRow): Notification => ({
  id: row.id,
  consentId: row.consentId,
  renewalId: row.renewalId,
  cycle: row.cycle,
  rung: row.rung,
  channel: row.channel as Notification['channel'],
  status: row.status as NotificationStatus,
  situation: row.situation as Situation,
  attempts: row.attempts,
  errorCode: row.errorCode ?? undefined,
  createdAt: instant(row.createdAt),
  handedOverAt: maybe(row.handedOverAt),
  repeatedAt: maybe(row.repeatedAt),
  sentAt: maybe(row.sentAt),
  nextActionAt: maybe(row.nextActionAt),
})

/** Event types that an earlier release stored. Events are never rewritten, so readers show today's names for them. */
const renamedEventTypes: Readonly<Record<string, string>> = { 'authorisation.unknown': 'authorisation.in-doubt' }

export const toEvent = (row: EventRow): ConsentEvent => ({
  consentId: row.consentId,
  seq: row.seq,
  type: renamedEventTypes[row.type] ?? row.type,
  at: instant(row.at),
  actor: row.actor as Actor,
  reason: row.reason ?? undefined,
  data: row.data as Record<string, unknown>,
})

/** The columns of a consent's details, given by a row of an import or by another consent. */
export const detailsRow = (details: ImportedDetails): Pick<ConsentRow, DetailField> => ({
  userId: details.userId,
  providerId: details.providerId,
  providerName: details.providerName ?? null,
  country: details.country,
  redirectUri: details.redirectUri,
  scopes: [...(details.scopes ?? [])],
  email: details.email ?? null,
  phone: details.phone ?? null,
  name: details.name ?? null,
  locale: details.locale ?? null,
  timeZone: details.timeZone ?? null,
  channels: channelsText(details.channels),
})

/** The row of a new renewal. Its caller adds who opened it, and the expiry before it. */
export const renewalRow = (renewal: Renewal) =>
  ({
    id: renewal.id,
    consentId: renewal.consentId,
    cycle: renewal.cycle,
    status: renewal.status,
    route: renewal.route ?? null,
    openedAt: renewal.openedAt.toJSDate(),
    closedAt: renewal.closedAt?.toJSDate() ?? null,
    reason: renewal.reason,
    manualNo: renewal.manualNo,
    againNo: renewal.againNo,
    againReason: renewal.againReason ?? null,
  }) satisfies Record<keyof Renewal, unknown>

export const notificationRow = (message: Notification) =>
  ({
    id: message.id,
    consentId: message.consentId,
    renewalId: message.renewalId,
    cycle: message.cycle,
    rung: message.rung,
    channel: message.channel,
    status: message.status,
    situation: message.situation,
    attempts: message.attempts,
    errorCode: message.errorCode ?? null,
    createdAt: message.createdAt.toJSDate(),
    handedOverAt: message.handedOverAt?.toJSDate() ?? null,
    repeatedAt: message.repeatedAt?.toJSDate() ?? null,
    sentAt: message.sentAt?.toJSDate() ?? null,
    nextActionAt: message.nextActionAt?.toJSDate() ?? null,
  }) satisfies Record<keyof Notification, unknown>

/** The version stays: it counts the candidates that the consent has had. */
export const withoutCandidate = { candidateToken: null, candidateArrivedAt: null, candidateIssuedAt: null } as const

/** Clears what earlier failures have left on a consent; written with every success. */
export const withoutFailure = { failedAttempts: 0, outages: 0, lastErrorCode: null, retryAfter: null } as const

/** The first values of every new consent's row, whichever code makes it. */
export const newRecordDefaults = {
  status: 'active',
  cycle: 1,
  tokenVersion: 1,
  tokenIssuedAt: null,
  tokenAcceptedAt: null,
  tokenRejectedAt: null,
  ...withoutCandidate,
  candidateVersion: 0,
  tokenCallNo: 0,
  refreshingUntil: null,
  nextActionAt: null,
  nextActionReason: null,
  queuedUntil: null,
  dispatchNo: 0,
  fencingToken: 0,
  leaseUntil: null,
  mismatches: 0,
  supersededById: null,
  eventSeq: 0,
  eventHash: null,
  ...withoutFailure,
}
