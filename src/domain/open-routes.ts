// By which routes a cycle may be renewed now, in the order to try them. The job, the button on the start page, a
// request by hand and `explain` all use this rule: none of them has a rule of its own. Pure.
import type { DateTime } from 'luxon'
import type { Consent, Renewal } from './model.ts'
import type { Policy } from './policy.ts'
import { keepsConnection, type Route, traitsOf } from './routes.ts'
import { type ResolvedRule, graceEndOf, ruleFor } from './rules.ts'

export interface OpenRoutes {
  /** Empty when no route is possible. */
  readonly routes: readonly Route[]
  /** The grace window has ended, or the consent has lapsed. */
  readonly isPastGrace: boolean
  readonly rule: ResolvedRule
  readonly graceEndsAt: DateTime
}

/**
 * The routes that the policy allows now, whatever it allowed when the cycle began. Past grace, and once the consent has
 * lapsed, only the routes remain that work then (routes.ts). A cycle that went to a new connection keeps to it, because
 * its user was told about it; but if the policy has dropped such routes meanwhile, the remaining ones are better than
 * none.
 */
export const openRoutes = (
  consent: Consent,
  renewal: Pick<Renewal, 'route'> | undefined,
  now: DateTime,
  policy: Pick<Policy, 'providers' | 'routes'>,
): OpenRoutes => {
  const rule = ruleFor(consent.providerId, consent.country, policy)
  const graceEndsAt = graceEndOf(consent.expiresAt, rule)
  const isPastGrace = consent.status === 'lapsed' || now >= graceEndsAt
  const openOf = (allowed: readonly Route[]): readonly Route[] => {
    if (isPastGrace) return allowed.filter((route) => traitsOf(route).worksPastGrace)
    const newConnection = allowed.filter((route) => !keepsConnection(route))
    const keepsToNew = renewal?.route !== undefined && !keepsConnection(renewal.route) && newConnection.length > 0
    return keepsToNew ? newConnection : allowed
  }
  return { routes: openOf(rule.routes), isPastGrace, rule, graceEndsAt }
}
