// Which routes are open for a cycle. The job, the button, an operator's request and explain all use this rule: one
// table, and a check that all four agree with it.
import { describe, expect, test } from 'vitest'
import type { Policy } from '../../src/domain/policy.ts'
import type { Route } from '../../src/domain/routes.ts'
import { nextAction } from '../../src/domain/next-action.ts'
import { openRoutes } from '../../src/domain/open-routes.ts'
import { judgeRequest } from '../../src/domain/renewal-request.ts'
import { explain } from '../../src/presentation/explanation.ts'
import { aPolicy } from '../builders.ts'
import { aCycle, aLink, aRenewal, at, consentAt } from './a-cycle.ts'

interface Row {
  readonly route?: Route
  readonly policy?: Partial<Policy>
  readonly now: string
  readonly country?: string
  readonly status?: 'lapsed'
  readonly is: readonly Route[]
}

const both: Partial<Policy> = { routes: ['reauth', 'full'] }
const onlyFull: Partial<Policy> = { routes: ['full'] }
const none: Partial<Policy> = { providers: { GB: { reauth: 'no' } } }

const table: Record<string, Row> = {
  'a cycle without a link yet: what the policy allows': { policy: both, now: '-14d', is: ['reauth', 'full'] },
  'in the policy’s own order': { policy: { routes: ['full', 'reauth'] }, now: '-14d', is: ['full', 'reauth'] },
  'on reauth: what the policy allows': { route: 'reauth', policy: both, now: '-7d', is: ['reauth', 'full'] },
  'on reauth, dropped since': { route: 'reauth', policy: onlyFull, now: '-7d', is: ['full'] },
  'on full: keeps to it': { route: 'full', policy: both, now: '-7d', is: ['full'] },
  'on full, dropped since: what is left': { route: 'full', now: '-7d', is: ['reauth'] },
  'on full, and nothing is left': { route: 'full', policy: none, now: '-7d', is: [] },
  'on full, dropped since, a second before the end of grace': { route: 'full', now: '+90d -1s', is: ['reauth'] },
  'on full, dropped since, at the end of grace: reauth works no more': { route: 'full', now: '+90d', is: [] },
  'past grace: full alone, whatever the cycle was on': { route: 'reauth', policy: both, now: '+90d', is: ['full'] },
  'a second before: both': { route: 'reauth', policy: both, now: '+90d -1s', is: ['reauth', 'full'] },
  'lapsed early, by whatever: full alone': {
    route: 'reauth',
    policy: both,
    status: 'lapsed',
    now: '+10d',
    is: ['full'],
  },
  'outside the UK without a word in the policy: none': { country: 'FR', now: '-7d', is: [] },
  'outside the UK with full allowed': { country: 'FR', policy: both, now: '-7d', is: ['full'] },
}

test.each(Object.entries(table))('%s', (_, { route, policy, now, country = 'GB', status, is }) => {
  const consent = consentAt({ country, status: status ?? 'active' })
  expect(
    openRoutes(consent, route === undefined ? undefined : aRenewal({ route }), at(now), aPolicy(policy)).routes,
  ).toEqual(is)
})

describe('job, button, request and explain say the same', () => {
  test.each(Object.entries(table).filter(([, { status }]) => status === undefined))(
    '%s',
    (_, { route, policy: given, now, country = 'GB', is }) => {
      const policy = aPolicy(given)
      const view = aCycle({
        consent: { country },
        renewal: { ...(route === undefined ? {} : { route }), manualNo: 1 },
        links: [aLink('-14d')],
      })
      const next = nextAction(view, at(now), policy)
      if (next.action === 'renew')
        expect(next.routes).toEqual(
          route === undefined ? openRoutes(view.consent, view.renewal, at(now), policy).routes : is,
        )
      // Where the button has no route, the job makes no link either, and an operator's request is refused.
      else
        expect([next.action, openRoutes(view.consent, view.renewal, at(now), policy).routes]).toEqual([
          expect.stringMatching(/^(lapse|close-unsupported)$/),
          [],
        ])
      expect(explain(view, at(now), policy).routes).toEqual(
        openRoutes(view.consent, view.renewal, at(now), policy).routes,
      )
      expect(judgeRequest(view.consent, at(now), policy).kind).toBe(is.length > 0 ? 'allowed' : 'refused')
    },
  )
})

test('for any policy change the job makes a link exactly where the button would, by the same routes', () => {
  const policies: readonly Partial<Policy>[] = [
    ...([['reauth'], ['full'], ['reauth', 'full'], ['full', 'reauth']] as const).map((routes) => ({ routes })),
    none,
    { ...both, ...none },
    { afterGrace: 'ask-once' },
    { ...both, afterGrace: 'ask-once' },
    { providers: { FR: { routes: ['full'] } } },
  ]
  const moments = ['-15d', '-14d', '-1s', '0d', '+1s', '+45d', '+90d -1s', '+90d', '+100d', '+121d']
  let made = 0
  for (const given of policies)
    for (const country of ['GB', 'FR'])
      for (const route of ['reauth', 'full', undefined] as const) {
        for (const manualNo of [0, 1])
          for (const now of moments) {
            const view = aCycle({ consent: { country }, renewal: { route, manualNo }, links: [] })
            const policy = aPolicy(given)
            const { routes: button } = openRoutes(view.consent, view.renewal, at(now), policy)
            const job = nextAction(view, at(now), policy)
            const says = [given, country, route, manualNo, now, job.action]
            if (job.action === 'renew') expect([...says, job.routes]).toEqual([...says, button])
            if (job.action === 'renew' || now.startsWith('-'))
              expect([...says, button.length > 0]).toEqual([...says, job.action === 'renew'])
            if (job.action === 'close-unsupported') expect([...says, button]).toEqual([...says, []])
            made += Number(job.action === 'renew')
          }
      }
  expect(made).toBeGreaterThan(100)
})
