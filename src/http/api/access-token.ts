// Gives the access token of a connection, refreshed where that is needed. The answer holds a secret and is stored
// nowhere: whoever repeats the request gets the token that is valid by then, which the refresher keeps.
import { z } from 'zod'
import type { AccessAnswer } from '../../processors/give-access-token.ts'
import { Secret } from '../../secret.ts'
import { orNoSuchConsent } from './consents.ts'
import { ApiProblem } from './problems.ts'
import { type ApiRoute, route } from './route.ts'
import { consentId, reasonText, visible } from './schemas.ts'

export interface AccessTokenRouteDeps {
  /**
   * Finds the consent by our id or by the `credentials_id`. Resolves after the token is stored and the event that names
   * the key is committed.
   */
  readonly giveAccessToken: (
    id: string,
    reader: { readonly reason: string; readonly by: string; readonly rejected: Secret | undefined },
  ) => Promise<{ readonly id: string; readonly credentialsId: string; readonly answer: AccessAnswer } | undefined>
}

const MS_PER_SECOND = 1_000
/** Characters. TrueLayer's have about a thousand. */
const MAX_TOKEN = 8_192

const tokenOf = (answer: AccessAnswer): Extract<AccessAnswer, { kind: 'token' }> => {
  switch (answer.kind) {
    case 'token':
      return answer
    case 'missing':
      return orNoSuchConsent<never>(undefined)
    case 'refused':
      throw new ApiProblem('refused', answer.detail, { consentStatus: answer.status })
    case 'rejected':
      throw new ApiProblem('token-rejected', answer.detail)
    case 'unavailable':
      throw new ApiProblem('temporarily-unavailable', answer.detail, {
        retryAfter: Math.ceil(answer.retryAfterMs / MS_PER_SECOND),
      })
  }
}

export const accessTokenRoutes = (deps: AccessTokenRouteDeps): readonly ApiRoute[] => [
  route({
    method: 'POST',
    path: '/consents/:id/access-token',
    scope: 'tokens:read',
    operationId: 'getAccessToken',
    tag: 'consents',
    summary: 'A valid access token of the connection, with its end',
    description:
      'For systems of yours that let Reconsent alone refresh: where the provider rotates refresh tokens, two that ' +
      'refresh always lose one another\u2019s. It is refreshed five minutes before its end, once at a time for each ' +
      'connection, and the rotated refresh token is stored before the answer. Ask for it before each use; when the ' +
      'provider answers 401 to it, ask again with `rejected_token`. Safe to repeat: the answer is not stored with an ' +
      '`Idempotency-Key`, and is the token that is valid by then.',
    params: consentId,
    body: z
      .strictObject({
        reason: reasonText.optional().describe("why, for the consent's events"),
        rejected_token: visible(MAX_TOKEN)
          .optional()
          .describe('the access token that the provider has answered 401 to: it is not given again'),
      })
      .default({}),
    answers: {
      200: {
        description: 'the access token',
        schema: z.looseObject({
          id: z.string().describe('our id of the consent'),
          credentials_id: z.string().describe("the provider's id of the connection"),
          access_token: z.string().describe('a secret; send it as `Authorization: Bearer`'),
          expires_at: z.string().meta({ format: 'date-time', description: 'when it ends' }),
          refreshed: z.boolean().describe('whether this request has refreshed it'),
        }),
      },
    },
    problems: ['not-found', 'refused', 'token-rejected'],
    isRepeatable: true,
    handle: async ({ params: { id }, body: { reason = 'read by the API', rejected_token: dead }, caller }) => {
      const rejected = dead === undefined ? undefined : new Secret(dead)
      const found = orNoSuchConsent(await deps.giveAccessToken(id, { reason, by: caller.name, rejected }))
      const { token, endsAt, isRefreshed: refreshed } = tokenOf(found.answer)
      const expires_at = endsAt.toUTC().toISO()
      const { id: ours, credentialsId: credentials_id } = found
      return { status: 200, body: { id: ours, credentials_id, access_token: token.reveal(), expires_at, refreshed } }
    },
  }),
]
