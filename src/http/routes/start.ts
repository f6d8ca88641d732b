// `/r/<token>`: opening the page changes nothing, because mail scanners open links; the button sends the user to the
// bank.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { DateTime } from 'luxon'
import type { Clock } from '../../clock.ts'
import type { Policy } from '../../domain/policy.ts'
import { openRoutes } from '../../domain/open-routes.ts'
import { routeNames } from '../../domain/routes.ts'
import type { Departure, StartPage } from '../../processors/visit-start-page.ts'
import type { RenewalPage } from '../../store/port.ts'
import { answerPage, answerPlainPage, HTML, localeFor } from '../answer-page.ts'
import type { Limits } from '../limits.ts'
import { startPage } from '../pages/start-page.ts'
import { formsToBanks, isCrossSite } from '../security.ts'
import { lastCodeAt, recheckSeconds, runsUntil } from '../done-page-state.ts'
import type { FindConsent } from '../done-page-state.ts'

export interface StartDeps {
  readonly visitStartPage: (token: string) => Promise<StartPage>
  readonly leaveForBank: (
    token: string,
    options: { readonly seen?: StartPage; readonly by?: string },
  ) => Promise<Departure>
  readonly findConsent: FindConsent
  readonly policy: Pick<Policy, 'company' | 'providers' | 'routes'>
  readonly clock: Clock
}

interface WithToken {
  readonly Params: { readonly token: string }
}

/** How long a user is asked to wait until the same button may work again. */
const BUSY_SECONDS = 60

export const registerStart = (
  app: FastifyInstance,
  deps: StartDeps & { readonly publicUrl: URL; readonly limits: Limits },
): void => {
  const { visitStartPage, leaveForBank, clock, limits } = deps
  const options = { helmet: formsToBanks(deps.publicUrl), bodyLimit: 1024 }

  app.get<WithToken>('/r/:token', options, async (request, reply) => {
    const start = await visitStartPage(request.params.token)
    return showStart(deps, request, reply, start)
  })

  // Browsers send the button's form as an empty urlencoded body, which Fastify by itself refuses. The body holds
  // nothing to read.
  void app.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, payload, done) => {
      payload.resume()
      done(null)
    })
    scope.post<WithToken>('/r/:token', options, async (request, reply) => {
      const { token } = request.params
      const own = `/r/${encodeURIComponent(token)}`
      // Another site's form must not press the button; its user sees the page and can still press the button there.
      if (isCrossSite(request)) return reply.redirect(own, 303)
      const start = await visitStartPage(token)
      const wait = await (start.kind === 'unknown' ? limits.unknown(request) : limits.departures(request))
      if (wait !== undefined) return answerPlainPage(request, reply.header('retry-after', wait), 'too-many')
      if (start.kind === 'unknown') return answerPlainPage(request, reply, 'unknown-link')
      const departure = await leaveForBank(token, { seen: start })
      switch (departure.kind) {
        case 'to-bank':
          return reply.redirect(departure.link.reveal(), 303)
        case 'busy':
          return answerPage(reply.header('retry-after', BUSY_SECONDS), 'busy', {
            locale: localeFor(request, start.page.consent),
            company: deps.policy.company.name,
            tryAgainPath: own,
          })
        case 'refused':
          return answerPage(reply, 'link-refused', viewOf(request, start.page))
        case 'not-now':
          // Redirects to the page that says why: reloading that page does not press the button again.
          return reply.redirect(own, 303)
      }
    })
  })

  const showStart = async (
    { findConsent }: StartDeps,
    request: FastifyRequest<WithToken>,
    reply: FastifyReply,
    start: StartPage,
  ): Promise<FastifyReply> => {
    if (start.kind === 'unknown') return answerPlainPage(request, reply, 'unknown-link')
    const now = clock.now()
    const { consent, authorisations } = start.page
    const view = viewOf(request, start.page)
    switch (start.kind) {
      case 'ready':
        return reply.type(HTML).send(startPage({ ...view, ...permissionOf(start.page, now), now }))
      case 'being-checked': {
        const recheckPath = `/r/${encodeURIComponent(request.params.token)}`
        const seconds = recheckSeconds(lastCodeAt(authorisations), now)
        return answerPage(reply, 'being-checked', { ...view, recheckPath, recheckSeconds: seconds })
      }
      case 'already-renewed': {
        const expiresAt = await runsUntil(consent, findConsent, now)
        return expiresAt === undefined
          ? answerPage(reply, 'closed', view)
          : answerPage(reply, 'already-renewed', { ...view, expiresAt, timeZone: consent.timeZone })
      }
      case 'suspended':
      case 'closed':
        return answerPage(reply, start.kind, view)
    }
  }

  const viewOf = (request: FastifyRequest, { consent }: RenewalPage) => ({
    locale: localeFor(request, consent),
    company: deps.policy.company.name,
    bank: consent.providerName ?? consent.providerId,
  })

  const permissionOf = ({ consent, renewal }: RenewalPage, now: DateTime) => {
    const { routes, rule, graceEndsAt } = openRoutes(consent, renewal, now, deps.policy)
    // Where no route is open any more, the button says so; the page speaks of the route that the message was about.
    const route = routes[0] ?? renewal.route ?? routeNames[0]
    return {
      scopes: consent.scopes,
      timeZone: consent.timeZone,
      expiresAt: consent.expiresAt,
      graceEndsAt,
      route,
      validityDays: Math.round(rule.validity.as('days')),
    }
  }
}
