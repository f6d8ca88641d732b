// `/done/<random id>`: where the user lands after the bank. Shows the outcome; reloads itself while it is being
// checked.
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Clock } from '../../clock.ts'
import type { Policy } from '../../domain/policy.ts'
import type { AtTheBank } from '../../store/port.ts'
import { answerPage, answerPlainPage, localeFor } from '../answer-page.ts'
import { donePageState, lastCodeAt, recheckSeconds, runsUntil } from '../done-page-state.ts'
import type { FindConsent } from '../done-page-state.ts'

export interface DoneDeps {
  readonly getRenewalPageByDoneId: AtTheBank['getRenewalPageByDoneId']
  readonly findConsent: FindConsent
  readonly startLinkToken: (renewalId: string) => string
  readonly policy: Pick<Policy, 'company'>
  readonly clock: Clock
}

/** The form of the done ids that crypto makes: other ids need not be looked up. */
const DONE_ID = /^[A-Za-z0-9_-]{22}$/

export const registerDone = (app: FastifyInstance, deps: DoneDeps): void => {
  app.get<{ Params: { id: string } }>('/done/:id', async (request, reply): Promise<FastifyReply> => {
    const { id } = request.params
    const found = DONE_ID.test(id) ? await deps.getRenewalPageByDoneId(id) : undefined
    if (found === undefined) return answerPlainPage(request, reply, 'unknown-link')
    const { consent, renewal, authorisation, authorisations } = found
    const bank = consent.providerName ?? consent.providerId
    const view = { locale: localeFor(request, consent), company: deps.policy.company.name, bank }
    const startPath = `/r/${deps.startLinkToken(renewal.id)}`
    const now = deps.clock.now()
    const state = donePageState(found)
    switch (state) {
      case 'renewed': {
        const expiresAt = await runsUntil(consent, deps.findConsent, now)
        if (expiresAt === undefined) return answerPage(reply, 'closed', view)
        const kind = authorisation.status === 'renewed' ? 'renewed' : 'already-renewed'
        return answerPage(reply, kind, { ...view, expiresAt, timeZone: consent.timeZone })
      }
      case 'being-checked':
        return answerPage(reply, 'being-checked', {
          ...view,
          recheckPath: `/done/${id}`,
          recheckSeconds: recheckSeconds(lastCodeAt(authorisations), now),
        })
      case 'awaiting-date':
        // The outcome comes within a day, not within minutes: the page does not reload by itself.
        return answerPage(reply, 'awaiting-date', { ...view, recheckPath: `/done/${id}` })
      case 'refused-at-bank':
      case 'not-completed':
      case 'other-account':
        return answerPage(reply, state, { ...view, tryAgainPath: startPath })
      case 'start-again':
        return reply.redirect(startPath, 303)
      case 'suspended':
      case 'closed':
        return answerPage(reply, state, view)
    }
  })
}
