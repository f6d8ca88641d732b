// Reads consents.
import { ApiProblem } from './problems.ts'
import { type ApiRoute, route } from './route.ts'
import { consentAnswer, consentId } from './schemas.ts'

/** JSON that is ready to be sent: snake_case, without secrets. */
export type Json = Readonly<Record<string, unknown>>

export interface ConsentRouteDeps {
  /** Finds a consent by our id or by the `credentials_id`. */
  readonly getConsentJson: (id: string) => Promise<Json | undefined>
}

export const noSuchConsent = (): ApiProblem =>
  new ApiProblem('not-found', 'there is no consent with this id or credentials_id')

export const consentRoutes = ({ getConsentJson }: ConsentRouteDeps): readonly ApiRoute[] => [
  route({
    method: 'GET',
    path: '/consents/:id',
    scope: 'consents:read',
    operationId: 'getConsent',
    tag: 'consents',
    summary: 'One consent with its renewals, messages and events',
    params: consentId,
    answers: { 200: { description: 'the consent', schema: consentAnswer } },
    problems: ['not-found'],
    handle: async ({ params: { id } }) => {
      const consent = await getConsentJson(id)
      if (consent === undefined) throw noSuchConsent()
      return { status: 200, body: consent }
    },
  }),
]
