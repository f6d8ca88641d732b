// By which routes a cycle may be renewed now, in the order to try them. The job, the button on the start page, a
// request by hand and `explain` all use this rule: none of them has a rule of its own. Pure.
import type { DateTime } from 'luxon'
import type { Consent, Renewal } from './model.ts'
import type { Policy, Route } from './policy.ts'
import { keepsConnection } from './routes.ts'
import { type ResolvedRule, graceEndOf, ruleFor } from './rules.ts'

export interface OpenRoutes {
  /** Empty when no route is possible. */
  readonly routes: readonly Route[]
  readonly rule: ResolvedRule
  readonly graceEndsAt: DateTime
}

/**
 * The routes that the policy allows now, whatever it allowed when the cycle began. Past grace, and once the consent has
 * lapsed, re-authentication no longer works (rules.ts). A cycle that went to a full authentication keeps to it, because
 * its user was told about a new connection; but if the policy has dropped that route meanwhile, the remaining routes
 * are better than none.
 */
export const openRoutes = (
  consent: Consent,
  renewal: Pick<Renewal, 'route'> | undefined,
  now: DateTime,
  policy: Policy,
): OpenRoutes => {
  const rule = ruleFor(consent.providerId, consent.country, policy)
  const graceEndsAt = graceEndOf(consent.expiresAt, rule)
  const full = rule.routes.filter((route) => !keepsConnection(route))
  const isPastGrace = consent.status === 'lapsed' || now >= graceEndsAt
  const keepsToFull = renewal?.route !== undefined && !keepsConnection(renewal.route) && full.length > 0
  return { routes: isPastGrace || keepsToFull ? full : rule.routes, rule, graceEndsAt }
}
