// Consents and their history as JSON: snake_case, absent values as null, instants in UTC with milliseconds. The command
// line and the API use the same form. It holds no secret and no address.
import type { DateTime } from 'luxon'
import type { EntityTags } from '../crypto/entity-tag.ts'
import { addressFor } from '../domain/channels.ts'
import { awaitedUntil } from '../domain/in-progress.ts'
import {
  type Authorisation,
  type Consent,
  type ConsentView,
  detailFields,
  type Notification,
  type Renewal,
} from '../domain/model.ts'
import { gatherFacts } from '../domain/next-action.ts'
import type { Policy } from '../domain/policy.ts'
import type { consentProperties, historyProperties } from '../http/api/schemas.ts'
import type { ConsentHistory, FeedEvent } from '../store/administration-port.ts'
import type { ConsentEvent } from '../store/port.ts'

export const isoOf = (at: DateTime | undefined): string | null => at?.toUTC().toISO() ?? null

/** A consent without the records of its cycle: they do not matter to its phase. */
export const aloneOf = (consent: Consent): ConsentView => ({
  consent,
  renewal: undefined,
  authorisations: [],
  notifications: [],
})

export const consentJson = (consent: Consent, now: DateTime, policy: Policy) => {
  const { phase, graceEndsAt } = gatherFacts(aloneOf(consent), now, policy)
  return {
    id: consent.id,
    credentials_id: consent.credentialsId,
    user_id: consent.userId,
    provider_id: consent.providerId,
    provider_name: consent.providerName ?? null,
    country: consent.country,
    status: consent.status,
    phase,
    cycle: consent.cycle,
    expires_at: isoOf(consent.expiresAt),
    expires_source: consent.expiresSource,
    grace_ends_at: isoOf(graceEndsAt),
    token_accepted_at: isoOf(consent.tokenAcceptedAt),
    token_rejected_at: isoOf(consent.tokenRejectedAt),
    has_candidate_token: consent.candidate !== undefined,
    next_action_at: isoOf(consent.nextActionAt),
    next_action_reason: consent.nextActionReason ?? null,
    has_address: policy.channels.some((name) => addressFor(consent, name) !== undefined),
    channels: consent.channels ?? null,
    locale: consent.locale ?? null,
    time_zone: consent.timeZone ?? null,
    failed_attempts: consent.failedAttempts,
    outages: consent.outages,
    last_error_code: consent.lastErrorCode ?? null,
    retry_after: isoOf(consent.retryAfter),
    mismatches: consent.mismatches,
    superseded_by: consent.supersededById ?? null,
    created_at: isoOf(consent.createdAt),
  } satisfies Record<keyof typeof consentProperties, unknown>
}

/**
 * The entity tag of what the company itself decides about a consent: what it imported, and the status. What the loop
 * writes meanwhile does not change it, so it is no tag of a whole answer, which nobody may cache anyway.
 */
export const consentEtag = (consent: Consent, { entityTag }: EntityTags): string =>
  entityTag(JSON.stringify([consent.id, consent.status, ...detailFields.map((field) => consent[field] ?? null)]))

export const renewalJson = (renewal: Renewal) => ({
  id: renewal.id,
  cycle: renewal.cycle,
  status: renewal.status,
  route: renewal.route ?? null,
  reason: renewal.reason,
  opened_at: isoOf(renewal.openedAt),
  closed_at: isoOf(renewal.closedAt),
})

export const authorisationJson = (authorisation: Authorisation) => ({
  id: authorisation.id,
  renewal_id: authorisation.renewalId,
  status: authorisation.status,
  route: authorisation.route,
  issued_at: isoOf(authorisation.issuedAt),
  handed_out_at: isoOf(authorisation.handedOutAt),
  code_received_at: isoOf(authorisation.codeReceivedAt),
  error_code: authorisation.errorCode ?? null,
  next_action_at: isoOf(authorisation.nextActionAt),
  awaited_until: isoOf(awaitedUntil(authorisation)),
})

export const notificationJson = (notification: Notification) => ({
  id: notification.id,
  cycle: notification.cycle,
  rung: notification.rung,
  channel: notification.channel,
  status: notification.status,
  situation: notification.situation,
  created_at: isoOf(notification.createdAt),
  repeated_at: isoOf(notification.repeatedAt),
  sent_at: isoOf(notification.sentAt),
  error_code: notification.errorCode ?? null,
})

export const eventJson = (event: ConsentEvent) => ({
  seq: event.seq,
  type: event.type,
  at: isoOf(event.at),
  actor: event.actor,
  reason: event.reason ?? null,
  data: event.data,
})

/** What `show` and `GET /v1/consents/<id>` return. */
export const historyJson = (history: ConsentHistory, now: DateTime, policy: Policy) =>
  ({
    ...consentJson(history.consent, now, policy),
    renewals: history.renewals.map(renewalJson),
    authorisations: history.authorisations.map(authorisationJson),
    notifications: history.notifications.map(notificationJson),
    // Numbered from 1 without a gap.
    earlier_events: Math.max(0, (history.events[0]?.seq ?? 1) - 1),
    events: history.events.map(eventJson),
  }) satisfies Record<keyof typeof historyProperties, unknown>

/** An event of the feed. The feed is about many consents, so the event names its consent. */
export const feedEventJson = (event: FeedEvent) => ({
  cursor: event.cursor,
  consent_id: event.consentId,
  credentials_id: event.credentialsId,
  ...eventJson(event),
})
