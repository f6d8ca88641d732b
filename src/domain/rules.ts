// What one bank allows: whether and how a consent there is renewed, how long the consent is valid, and how long after
// that it can still be renewed. The policy decides, by provider id, then by country; the defaults of each field fill
// the rest. No bank is named in this file.
import { DateTime, Duration } from 'luxon'
import type { BankAnswer, Policy, ProviderRule } from './policy.ts'
import { type BankRule, bankRules, type Route, traitsOf } from './routes.ts'

export interface ResolvedRule extends Readonly<Record<BankRule, BankAnswer>> {
  /**
   * In the order to try them; empty when no route is possible. Holds a route with a field of its own (`reauth`) only if
   * that field is `yes`.
   */
  readonly routes: readonly Route[]
  readonly validity: Duration
  readonly grace: Duration
  /** Which key of the policy decided each of these fields, in words for `explain`. */
  readonly source: string
}

// TrueLayer: a successful re-authentication resets the consent to 90 days from that moment (support article). It works
// until 90 days after the expiry (support article; "at least 90 days, depends on the bank" in the reference).
const DEFAULT_VALIDITY = Duration.fromObject({ days: 90 })
const DEFAULT_GRACE = Duration.fromObject({ days: 90 })

/** The ISO code in upper case; `UK`, as people and provider ids write it, becomes `GB`. */
export const countryCode = (country: string): string => {
  const code = country.trim().toUpperCase()
  return code === 'UK' ? 'GB' : code
}

interface Named {
  readonly key: string
  readonly rule: ProviderRule
}

const rulesFor = (providerId: string, country: string, providers: Policy['providers']): readonly Named[] => {
  const code = countryCode(country)
  const countryKey = Object.keys(providers).find((key) => countryCode(key) === code)
  const keys = [Object.hasOwn(providers, providerId) ? providerId : undefined, countryKey]
  return keys.filter((key) => key !== undefined).map((key) => ({ key, rule: providers[key]! }))
}

type Deciding = Pick<Policy, 'providers' | 'routes'>

/** More banks than a policy is asked about; the limit only keeps the cache from growing for ever. */
const MAX_REMEMBERED = 5_000
const remembered = new WeakMap<Deciding, Map<string, ResolvedRule>>()

/**
 * Each field is resolved on its own: the provider's rule, else the country's, else the default. By default a route that
 * not every bank has, such as `/v1/reauthuri`, is used for UK banks alone (TrueLayer's documentation). A policy never
 * changes, so its answers are remembered: an import or a sweep asks about few banks very often.
 */
export const ruleFor = (providerId: string, country: string, policy: Deciding): ResolvedRule => {
  let rules = remembered.get(policy)
  if (rules === undefined) remembered.set(policy, (rules = new Map()))
  const key = `${country} ${providerId}`
  const known = rules.get(key)
  if (known !== undefined) return known
  if (rules.size >= MAX_REMEMBERED) rules.clear()
  const rule = resolveRule(providerId, country, policy)
  rules.set(key, rule)
  return rule
}

const resolveRule = (providerId: string, country: string, policy: Deciding): ResolvedRule => {
  const rules = rulesFor(providerId, country, policy.providers)
  const sources: string[] = []
  const pick = <K extends keyof ProviderRule>(
    field: K,
    fallback: NonNullable<ProviderRule[K]>,
    fallbackSource: string,
  ): NonNullable<ProviderRule[K]> => {
    const found = rules.find(({ rule }) => rule[field] !== undefined)
    sources.push(`${field} by ${found === undefined ? fallbackSource : `providers.${found.key}`}`)
    return found?.rule[field] ?? fallback
  }
  const inUk = countryCode(country) === 'GB'
  const [usual, source]: [BankAnswer, string] = inUk ? ['yes', 'default for the UK'] : ['no', 'default outside the UK']
  const answers = Object.fromEntries(bankRules.map((field) => [field, pick(field, usual, source)]))
  const byBank = answers as Readonly<Record<BankRule, BankAnswer>>
  const routes = pick('routes', policy.routes, 'routes').filter((route) => {
    const { bankRule } = traitsOf(route)
    return bankRule === undefined || byBank[bankRule] === 'yes'
  })
  const validity = pick('validity', DEFAULT_VALIDITY, 'default')
  const grace = pick('grace', DEFAULT_GRACE, 'default')
  return { ...byBank, routes, validity, grace, source: sources.join(', ') }
}

/**
 * The first instant at which the consent can no longer be renewed. A day is 24 hours here: the banks count the days, so
 * users' time zones do not matter.
 */
export const graceEndOf = (expiresAt: DateTime, { grace }: Pick<ResolvedRule, 'grace'>): DateTime =>
  DateTime.fromMillis(expiresAt.toMillis() + grace.toMillis(), { zone: 'utc' })

/** The expiry to assume when the provider gives none: consent date plus validity, a day being 24 hours. */
export const expiryFrom = (consentedAt: DateTime, rule: Pick<ResolvedRule, 'validity'>): DateTime =>
  consentedAt.toUTC().plus(rule.validity)
