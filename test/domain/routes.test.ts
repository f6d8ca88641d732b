// Every route of the table: what the decisions, the policy and the metrics make of its traits. No test names a route,
// so each covers a route that is added.
import { describe, expect, expectTypeOf, test } from 'vitest'
import { readPolicy } from '../../src/config/policy.ts'
import { nextExchangeStep } from '../../src/domain/exchange.ts'
import { openRoutes } from '../../src/domain/open-routes.ts'
import type { Policy } from '../../src/domain/policy.ts'
import { judgeReading } from '../../src/domain/reading.ts'
import { judgeRequest } from '../../src/domain/renewal-request.ts'
import { isRoute, type Route, routeCalls, routeNames, type RouteTraits, traitsOf } from '../../src/domain/routes.ts'
import { makeMetrics } from '../../src/metrics.ts'
import { truelayerRoutes } from '../../src/provider/truelayer/routes.ts'
import { aCount, aPolicy } from '../builders.ts'
import { aLink, aRenewal, at, consentAt } from './a-cycle.ts'

test('titles and descriptions differ', () => {
  for (const trait of ['title', 'description'] as const)
    expect(new Set(routeNames.map((route) => traitsOf(route)[trait])).size).toBe(routeNames.length)
})

test('a name of something else is no route', () => {
  for (const name of ['by-post', '', 'toString', '__proto__']) expect(isRoute(name)).toBe(false)
})

test('of an entry, no trait may be missing', () => {
  const title = 'post'
  // @ts-expect-error an entry with a title alone
  expectTypeOf({ title }).toExtend<RouteTraits>()
})

test('an added route without calls to the provider does not compile', () => {
  type Added = Route | 'by-post'
  // @ts-expect-error the added route is missing
  expectTypeOf(truelayerRoutes).toExtend<Readonly<Record<Added, unknown>>>()
})

test('each call of a route is counted under its own name, from zero', async () => {
  const metrics = makeMetrics({ collectCounts: async () => aCount() })
  for (const call of routeCalls) metrics.recordProviderCall(call, 'unavailable')
  const text = await metrics.registry.metrics()
  for (const call of routeCalls) {
    expect(text).toContain(`reconsent_provider_calls_total{endpoint="${call}",answer="unavailable"} 1`)
    expect(text).toContain(`reconsent_provider_calls_total{endpoint="${call}",answer="circuit-open"} 0`)
  }
})

describe.each(routeNames)('route %s', (route) => {
  const traits = traitsOf(route)
  const bankAllows: Partial<Policy> = {
    routes: [route],
    providers: traits.bankRule === undefined ? {} : { GB: { [traits.bankRule]: 'yes' } },
  }
  const policy = aPolicy(bankAllows)
  const attempt = aLink('-10d', {
    route,
    status: 'verifying',
    tokenOwner: 'ours',
    answeredAt: at('-10d'),
    codeReceivedAt: at('-10d'),
    exchangeStartedAt: at('-10d'),
  })
  const consent = consentAt({ expiresSource: 'me' })

  test('a policy may name it, also for one bank', () => {
    const problems: string[] = []
    const rule = traits.bankRule === undefined ? {} : { [traits.bankRule]: 'auth-inputs' }
    const input = { routes: [route], providers: { GB: { routes: [route], ...rule } } }
    const report = (where: string, what: string): void => void problems.push(`${where}: ${what}`)
    expect(readPolicy(input, { report, file: 'worker.config.ts', needsCompany: false })?.policy.routes).toEqual([route])
    expect(problems).toEqual([])
  })

  test('is open before the expiry; past grace only if it works then', () => {
    expect(openRoutes(consent, undefined, at('-7d'), policy).routes).toEqual([route])
    expect(openRoutes(consent, undefined, at('+90d'), policy).routes).toEqual(traits.worksPastGrace ? [route] : [])
  })

  test('is closed at a bank whose rule says no', () => {
    const { bankRule } = traits
    const rules = { GB: bankRule === undefined ? {} : { [bankRule]: 'no' as const } }
    const { routes } = openRoutes(consent, undefined, at('-7d'), { ...policy, providers: rules })
    expect(routes).toEqual(bankRule === undefined ? [route] : [])
  })

  test('a request by hand keeps to it past grace, or says which routes would work then', () => {
    expect(judgeRequest(consent, at('-7d'), policy)).toEqual({ kind: 'allowed', keepsTo: undefined })
    const past = judgeRequest(consent, at('+90d'), policy)
    if (traits.worksPastGrace) expect(past).toEqual({ kind: 'allowed', keepsTo: route })
    else expect(past).toMatchObject({ reason: expect.stringContaining(`no more by ${route} (grace ended`) })
  })

  test('tokens of another connection are dropped, unless the route makes a new one', () => {
    const answer = { kind: 'tokens', credentialsId: 'another', isStoredToken: false } as const
    const facts = { attempt: { ...attempt, status: 'exchanging' as const }, consent, renewal: aRenewal(), others: [] }
    const heard = { from: 'exchange', answer } as const
    expect(nextExchangeStep(facts, { heard, now: at('-10d'), policy, manual: false })).toMatchObject(
      traits.keepsConnection ? { do: 'close', as: 'mismatched' } : { do: 'store-tokens', owner: 'pending' },
    )
  })

  test('a clean exchange without dates in /me proves the renewal only where the table says so', () => {
    const me = {
      credentialsId: consent.credentialsId,
      providerId: consent.providerId,
      providerName: undefined,
      consentExpiresAt: undefined,
      consentCreatedAt: undefined,
      consentStatusUpdatedAt: undefined,
    }
    const reading = { me, by: 'exchange', refreshedAt: undefined, isLastPoll: true } as const
    expect(judgeReading({ attempt, consent, others: [] }, reading, policy)).toMatchObject(
      traits.isProvenByTokens ? { kind: 'proven' } : { kind: 'unproven', reason: 'no-dates' },
    )
  })
})
