// Whether a renewal may be requested by hand, and if not, what to do first. Pure; the texts are for operators.
import type { DateTime } from 'luxon'
import { addressFields, reachableBy } from './channels.ts'
import type { Consent, ConsentStatus } from './model.ts'
import type { Policy } from './policy.ts'
import { openRoutes } from './open-routes.ts'

/** What to do about a consent that is in this status and should not be. */
export const nextStepHint = (consent: Pick<Consent, 'status' | 'supersededById'>): string => {
  const words: Record<ConsentStatus, string> = {
    active: 'it is active',
    paused: 'it is paused: resume it first',
    quarantined: 'it is quarantined: read its events, then release it',
    lapsed: 'it has lapsed: ask for a full authentication with renew, or import a later date',
    revoked: 'it is closed as revoked, for good: when the user consents again, import the new connection',
    opted_out: 'it is closed as opted out, for good: when the user consents again, import the new connection',
    superseded:
      'it was superseded by a newer ' +
      `connection${consent.supersededById === undefined ? '' : ` (${consent.supersededById})`}: use that one`,
    unsupported: 'no route of the policy could renew it: change the policy for its bank, then release it',
  }
  return words[consent.status]
}

export type RequestVerdict =
  | { readonly kind: 'refused'; readonly reason: string }
  /** `onlyFull`: the consent is past grace or lapsed, and only a full authentication is left. */
  | { readonly kind: 'allowed'; readonly onlyFull: boolean }

export const judgeRequest = (consent: Consent, now: DateTime, policy: Policy): RequestVerdict => {
  const refused = (reason: string): RequestVerdict => ({ kind: 'refused', reason })
  if (consent.status !== 'active' && consent.status !== 'lapsed') return refused(nextStepHint(consent))
  const { routes, rule, graceEndsAt } = openRoutes(consent, undefined, now, policy)
  if (rule.routes.length === 0)
    return refused(`no route of the policy can renew consents of this bank (${rule.source}): change the policy first`)
  if (routes.length === 0) {
    return refused(
      `it can be renewed no more by reauth (grace ended ${graceEndsAt.toISODate()}), and the policy has no ` +
        `route 'full' for this bank (${rule.source}): ` +
        `add it under providers, or import the new connection once the user has consented again`,
    )
  }
  if (reachableBy(consent, policy.channels).length === 0) {
    const fields = addressFields(policy.channels).join(' or ')
    return refused(
      `no-channel: there is no usable address for this user; import the consent with one first (${fields})`,
    )
  }
  return { kind: 'allowed', onlyFull: consent.status === 'lapsed' || now >= graceEndsAt }
}
