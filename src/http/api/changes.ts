// Changes of one consent that need no import: ask for its renewal, pause, resume, close. Each is an event that names
// the key.
import { z } from 'zod'
import { conditionOf, type IsExpectedTag, notAsExpected } from './conditions.ts'
import { type Json, orNoSuchConsent } from './consents.ts'
import { once, type OnceDeps } from './once.ts'
import { ApiProblem } from './problems.ts'
import { type ApiRoute, type Call, route } from './route.ts'
import { consentId, consentSummary, reasonText } from './schemas.ts'

export type ConsentChange =
  | { readonly kind: 'renew'; readonly resend: boolean }
  | { readonly kind: 'pause' }
  | { readonly kind: 'resume' }
  | { readonly kind: 'close'; readonly as: 'revoked' | 'opted_out' }

export interface Changed {
  /** `refused`: nothing was changed, and `detail` says what to do instead. */
  readonly kind: 'done' | 'unchanged' | 'refused'
  readonly detail: string
  /** The consent as it is now. */
  readonly consent: Json
  readonly etag: string
}

export interface ChangeSteps {
  /**
   * Finds the consent by our id or by the `credentials_id`; resolves to undefined when there is none. `isExpected` is
   * asked under the consent's lock.
   */
  readonly changeConsent: (
    id: string,
    change: ConsentChange,
    why: { readonly reason: string; readonly by: string },
    isExpected: IsExpectedTag,
  ) => Promise<Changed | 'not-as-expected' | undefined>
}

export const changedAnswer = z
  .looseObject({
    result: z.enum(['done', 'unchanged']).describe('unchanged: it was so already'),
    detail: z.string().describe('what was done, for people'),
    consent: consentSummary,
  })
  .meta({ id: 'Changed', description: 'a consent that was changed' })

/** A body that may be left out. */
const reasonBody = z
  .strictObject({ reason: reasonText.optional().describe("why, for the consent's events") })
  .default({})

const renewBody = z.strictObject({
  reason: reasonText.describe("why, for the consent's events"),
  resend: z.boolean().default(false).describe('also where a message by hand went out in the last 24 hours'),
})

type Deps = OnceDeps<ChangeSteps>
type Of = Pick<Call<{ id: string }, never, never>, 'params' | 'caller' | 'request'>

const change = async (deps: Deps, { params: { id }, caller, request }: Of, what: ConsentChange, reason: string) =>
  once(deps, { request, caller }, async (steps) => {
    const why = { reason, by: caller.name }
    const changed = orNoSuchConsent(await steps.changeConsent(id, what, why, conditionOf(request)))
    if (changed === 'not-as-expected') throw notAsExpected()
    const { kind: result, detail, consent, etag } = changed
    if (result === 'refused') throw new ApiProblem('refused', detail)
    return { status: 200, body: { result, detail, consent }, headers: { etag } }
  })

const usual = {
  scope: 'consents:write',
  tag: 'consents',
  params: consentId,
  answers: { 200: { description: 'the consent as it is now', schema: changedAnswer } },
  problems: ['not-found', 'refused'],
  isConditional: true,
} as const

export const changeRoutes = (deps: Deps): readonly ApiRoute[] => [
  route({
    ...usual,
    method: 'POST',
    path: '/consents/:id/renew',
    operationId: 'renewConsent',
    summary: 'Ask the user now',
    description:
      'One message by the next sweep; opens the cycle early, and overrides a back-off. A lapsed consent needs the ' +
      'route `full` for its bank.',
    body: renewBody,
    isRepeatable: true,
    handle: async ({ body: { reason, resend }, ...call }) => change(deps, call, { kind: 'renew', resend }, reason),
  }),
  route({
    ...usual,
    method: 'POST',
    path: '/consents/:id/pause',
    operationId: 'pauseConsent',
    summary: 'Stop messages and new links of an active consent',
    description: 'Its cycle stays, and a code in hand is still exchanged.',
    body: reasonBody,
    isRepeatable: true,
    handle: async ({ body: { reason = 'paused by the API' }, ...call }) =>
      change(deps, call, { kind: 'pause' }, reason),
  }),
  route({
    ...usual,
    method: 'POST',
    path: '/consents/:id/resume',
    operationId: 'resumeConsent',
    summary: 'Take up a paused consent again',
    body: reasonBody,
    isRepeatable: true,
    handle: async ({ body: { reason = 'resumed by the API' }, ...call }) =>
      change(deps, call, { kind: 'resume' }, reason),
  }),
  route({
    ...usual,
    method: 'DELETE',
    path: '/consents/:id',
    operationId: 'closeConsent',
    summary: 'Close a consent for good: the connection is gone',
    description:
      'Nothing is sent any more, its link stops working, and no code is accepted. It cannot be undone; when the user ' +
      'consents again, import the new connection. What is stored about it stays.',
    query: z.strictObject({
      as: z
        .enum(['revoked', 'opted-out'])
        .describe('revoked: withdrawn at the bank or with you; opted-out: the user does not want it renewed'),
      reason: reasonText.optional().describe("why, for the consent's events"),
    }),
    handle: async ({ query: { as, reason = 'closed by the API' }, ...call }) =>
      change(deps, call, { kind: 'close', as: as === 'revoked' ? 'revoked' : 'opted_out' }, reason),
  }),
]
