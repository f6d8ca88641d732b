// What a step of the reauth job leaves behind. The job uses these records to find the next date, and the store inserts
// the same records.
import type { DateTime } from 'luxon'
import type { ChannelName } from './channels.ts'
import type { Authorisation, Consent, ConsentView, Notification, Renewal, Situation } from './model.ts'
import { nextAction } from './next-action.ts'
import type { Policy } from './policy.ts'
import type { Route } from './routes.ts'

/** The renewal of a cycle that begins. */
export const newRenewal = (consent: Consent, begins: { id: string; now: DateTime; reason: string }): Renewal => ({
  id: begins.id,
  consentId: consent.id,
  cycle: consent.cycle,
  status: 'open',
  route: undefined,
  openedAt: begins.now,
  closedAt: undefined,
  reason: begins.reason,
  manualNo: 0,
  againNo: 0,
  againReason: undefined,
})

/** An attempt at the bank that was just issued. */
export const newAttempt = (
  of: Pick<Authorisation, 'consentId' | 'renewalId'>,
  issued: Pick<Authorisation, 'id' | 'doneId' | 'redirectUri' | 'issuedAt' | 'expiresAt'> & { readonly route: Route },
): Authorisation => ({
  id: issued.id,
  consentId: of.consentId,
  renewalId: of.renewalId,
  route: issued.route,
  status: 'issued',
  doneId: issued.doneId,
  redirectUri: issued.redirectUri,
  issuedAt: issued.issuedAt,
  handedOutAt: undefined,
  expiresAt: issued.expiresAt,
  codeReceivedAt: undefined,
  exchangeStartedAt: undefined,
  answeredAt: undefined,
  tokenVersion: undefined,
  newCredentialsId: undefined,
  tokenOwner: undefined,
  hasPendingToken: false,
  pollCount: 0,
  errorCode: undefined,
  nextActionAt: issued.expiresAt,
  closedAt: undefined,
})

/** A message that was just queued. */
export const newMessage = (
  renewal: Pick<Renewal, 'id' | 'consentId' | 'cycle'>,
  queued: { id: string; channel: ChannelName; rung: string; situation: Situation; now: DateTime },
): Notification => ({
  id: queued.id,
  consentId: renewal.consentId,
  renewalId: renewal.id,
  cycle: renewal.cycle,
  rung: queued.rung,
  channel: queued.channel,
  status: 'pending',
  situation: queued.situation,
  attempts: 0,
  errorCode: undefined,
  createdAt: queued.now,
  handedOverAt: undefined,
  repeatedAt: undefined,
  sentAt: undefined,
  nextActionAt: queued.now,
})

export interface AppliedStep {
  readonly renewal: Renewal
  readonly attempt: Authorisation | undefined
  /** One for each channel that the user can be reached by, when a message is owed. */
  readonly messages: readonly Notification[]
}

/** The view of the consent after the step, which clears the consent's failures. */
export const viewAfter = (view: ConsentView, { renewal, attempt, messages }: AppliedStep): ConsentView => ({
  consent: { ...view.consent, ...WITHOUT_FAILURE },
  renewal,
  authorisations: attempt === undefined ? view.authorisations : [...view.authorisations, attempt],
  notifications: [...view.notifications, ...messages],
})
const WITHOUT_FAILURE = { retryAfter: undefined, failedAttempts: 0, outages: 0 } as const

export interface NextDate {
  readonly at: DateTime
  readonly reason: string
}

/** When a job handles the consent next: at the date of its next action, or now if something is due. */
export const nextDateOf = (view: ConsentView, now: DateTime, policy: Policy): NextDate => {
  const next = nextAction(view, now, policy)
  return { at: next.action === 'wait' ? next.at : now, reason: next.reason }
}

/**
 * The same for a consent whose cycle has just begun and has no records yet. A consent whose date is in the future is
 * scheduled for it directly: a million healthy consents must not all be evaluated at once.
 */
export const firstDateOf = (consent: Consent, now: DateTime, policy: Policy): NextDate =>
  nextDateOf({ consent, renewal: undefined, authorisations: [], notifications: [] }, now, policy)
