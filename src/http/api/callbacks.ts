// Takes what a bank sent to a redirect_uri of the company's own.
import { z } from 'zod'
import { TransientError } from '../../errors.ts'
import { Secret } from '../../secret.ts'
import type { CallbackAnswer } from '../../store/port.ts'
import { MAX_CODE_LENGTH, MAX_STATE_LENGTH } from '../callback-parameters.ts'
import { logFailure } from '../fallback.ts'
import { type CallbackDeps, RETRY_SECONDS } from '../routes/callback.ts'
import { within } from '../within.ts'
import { once, type OnceDeps } from './once.ts'
import { ApiProblem } from './problems.ts'
import { type ApiRoute, route } from './route.ts'
import { visible } from './schemas.ts'

// Banks add parameters of their own. One that we do not know must not cost a code, so they are let through here alone.
const callbackBody = z
  .looseObject({
    state: visible(MAX_STATE_LENGTH),
    code: visible(MAX_CODE_LENGTH).optional(),
    error: visible(MAX_CODE_LENGTH).optional(),
  })
  .refine(({ code, error }) => (code === undefined) !== (error === undefined), {
    error: 'must have exactly one of code and error',
    // Also where a field is wrong: every problem is told at once. What is no object has no fields.
    when: ({ value }) => typeof value === 'object' && value !== null && !Array.isArray(value),
  })

const callbackAnswer = z.looseObject({
  result: z
    .enum(['accepted', 'already', 'closed'])
    .describe('taken, taken before, or of a consent that takes no code any more'),
  credentials_id: z.string().describe('the connection that the link was made for'),
  user_id: z.string().describe('your id of its user'),
})

const notTaken = (): ApiProblem =>
  new ApiProblem('temporarily-unavailable', 'nothing was taken: repeat the same request', {
    retryAfter: RETRY_SECONDS,
  })

export type CallbackSteps = Pick<CallbackDeps, 'receiveCallback'>

export type CallbackRouteDeps = OnceDeps<CallbackSteps> & CallbackDeps & { readonly commitWithinMs: number }

export const callbackRoutes = (deps: CallbackRouteDeps): readonly ApiRoute[] => [
  route({
    method: 'POST',
    path: '/callbacks',
    scope: 'callbacks:write',
    operationId: 'postCallback',
    tag: 'callbacks',
    summary: 'Pass on what the bank sent to your redirect_uri',
    description:
      'For redirect_uris of your own: pass on the state and exactly one of code and error, as they came; other ' +
      'parameters of the bank are ignored. Committed before it is answered; safe to repeat. The answer names the ' +
      'connection and the user of the state.',
    body: callbackBody,
    answers: { 202: { description: 'the callback is taken', schema: callbackAnswer } },
    problems: ['unknown-state'],
    isRepeatable: true,
    handle: async ({ body: { state, code, error }, request, caller }) => {
      const what = code === undefined ? { bankError: error ?? '' } : { code: new Secret(code) }
      const callback = { state: new Secret(state), by: caller.name, ...what }
      // What a repetition finds that is answered from what is stored.
      let found: CallbackAnswer['kind'] = 'already'
      const committed = once(deps, { request, caller }, async ({ receiveCallback }) => {
        const answer = await receiveCallback(callback)
        found = answer.kind
        if (answer.kind === 'unknown-state') throw new ApiProblem('unknown-state', 'this state is none of ours')
        const { kind: result, credentialsId: credentials_id, userId: user_id } = answer
        return { status: 202, body: { result, credentials_id, user_id } }
      })
      try {
        // Around the whole transaction: inside, it would not cover the commit, and what it gives up on would go on
        // with a connection that was given back.
        const answer = await within(deps.commitWithinMs, committed, () => {
          throw new TransientError('database-unavailable')
        })
        deps.metrics.recordCallback(answer.status === 202 ? found : 'unknown-state')
        return answer
      } catch (failure) {
        if (failure instanceof ApiProblem) {
          if (failure.problem === 'unknown-state') deps.metrics.recordCallback('unknown-state')
          throw failure
        }
        deps.metrics.recordCallback('failed')
        logFailure(deps.log, request, failure)
        throw notTaken()
      }
    },
  }),
]
