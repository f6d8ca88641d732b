// Whether a renewal may be requested by hand, and if not, what to do first. Pure; the texts are for operators, and for
// the company that calls the API and cannot do what an operator does.
import type { DateTime } from 'luxon'
import { addressFields, isNeverMessaged, reachableBy } from './channels.ts'
import type { Actor, Consent, ConsentStatus } from './model.ts'
import type { Policy } from './policy.ts'
import { openRoutes } from './open-routes.ts'
import { type Route, routeNames, traitsOf } from './routes.ts'

/** What to do about a consent that is in this status and should not be; `actor` is who wants something else of it. */
export const nextStepHint = (
  consent: Pick<Consent, 'status' | 'supersededById'>,
  actor: Actor = 'operator',
): string => {
  const release = actor === 'operator' ? 'release it' : 'an operator must release it'
  const words: Record<ConsentStatus, string> = {
    active: 'it is active',
    paused: 'it is paused: resume it first',
    quarantined: `it is quarantined: read its events, then ${release}`,
    lapsed: 'it has lapsed: ask for a full authentication with renew, or import a later date',
    revoked: 'it is closed as revoked, for good: when the user consents again, import the new connection',
    opted_out: 'it is closed as opted out, for good: when the user consents again, import the new connection',
    superseded:
      'it was superseded by a newer ' +
      `connection${consent.supersededById === undefined ? '' : ` (${consent.supersededById})`}: use that one`,
    unsupported: `no route of the policy could renew it: change the policy for its bank, then ${release}`,
  }
  return words[consent.status]
}

export type RequestVerdict =
  | { readonly kind: 'refused'; readonly reason: string }
  /** `keepsTo`: the consent is past grace or lapsed, and its renewal keeps to the first route that still works. */
  | { readonly kind: 'allowed'; readonly keepsTo: Route | undefined }

/** For operators: the routes that still work past grace, as the policy names them. */
export const routesPastGrace = routeNames
  .filter((route) => traitsOf(route).worksPastGrace)
  .map((route) => `'${route}'`)
  .join(' or ')

const refused = (reason: string): RequestVerdict => ({ kind: 'refused', reason })

/** Whether its cycle may be opened by hand, whoever is told of it. */
export const judgeOpening = (consent: Consent, now: DateTime, policy: Policy, actor?: Actor): RequestVerdict => {
  if (consent.status !== 'active' && consent.status !== 'lapsed') return refused(nextStepHint(consent, actor))
  const { routes, isPastGrace, rule, graceEndsAt } = openRoutes(consent, undefined, now, policy)
  if (rule.routes.length === 0)
    return refused(`no route of the policy can renew consents of this bank (${rule.source}): change the policy first`)
  const [first] = routes
  if (first === undefined) {
    return refused(
      `it can be renewed no more by ${rule.routes.join(', ')} (grace ended ${graceEndsAt.toISODate()}), and the ` +
        `policy has no route ${routesPastGrace} for this bank (${rule.source}): ` +
        `add it under providers, or import the new connection once the user has consented again`,
    )
  }
  return { kind: 'allowed', keepsTo: isPastGrace ? first : undefined }
}

/** Whether the user may be asked by hand: a message needs an address. */
export const judgeRequest = (consent: Consent, now: DateTime, policy: Policy, actor?: Actor): RequestVerdict => {
  const verdict = judgeOpening(consent, now, policy, actor)
  if (verdict.kind === 'refused') return verdict
  if (isNeverMessaged(consent))
    return refused('its user is never messaged (its channels are empty): make a link, and show it to the user')
  if (reachableBy(consent, policy.channels).length === 0) {
    const fields = addressFields(policy.channels).join(' or ')
    return refused(
      `no-channel: there is no usable address for this user; import the consent with one first (${fields})`,
    )
  }
  return verdict
}
