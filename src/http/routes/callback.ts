// `/callback`: where the bank sends the browser. The callback is committed before it is answered; the answer leads to a
// page without code or state in its address. Every state gets the same answer, known or not, first or repeated.
import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { newDoneId } from '../../crypto/hashing.ts'
import { TransientError } from '../../errors.ts'
import type { Policy } from '../../domain/policy.ts'
import type { Log } from '../../log.ts'
import type { Metrics } from '../../metrics.ts'
import type { Callback } from '../../processors/receive-callback.ts'
import type { CallbackAnswer } from '../../store/port.ts'
import { answerPage, answerPlainPage, localeFor } from '../answer-page.ts'
import { callbackOf, fieldsOf, isEmpty, readParameters } from '../callback-parameters.ts'
import type { Parameters } from '../callback-parameters.ts'
import { logFailure } from '../fallback.ts'
import type { Limits } from '../limits.ts'
import { formsToUs } from '../security.ts'
import { within } from '../within.ts'

export interface CallbackDeps {
  /** Rejects when nothing could be committed: the same request may then be repeated. */
  readonly receiveCallback: (callback: Callback) => Promise<CallbackAnswer>
  readonly metrics: Pick<Metrics, 'recordCallback'>
  readonly log: Log
  readonly policy: Pick<Policy, 'company'>
}

/** The code is valid for minutes: the request must be repeated soon. */
export const RETRY_SECONDS = 5
const BODY_LIMIT = 16 * 1024

/**
 * Commits the callback within `ms` milliseconds, or throws. If the commit succeeds later, the repeated request gets
 * `already`.
 */
export const commitCallback = async (deps: CallbackDeps, callback: Callback, ms: number): Promise<CallbackAnswer> => {
  const { receiveCallback, metrics } = deps
  try {
    const answer = await within(ms, receiveCallback(callback), () => {
      throw new TransientError('database-unavailable')
    })
    metrics.recordCallback(answer.kind)
    return answer
  } catch (error) {
    metrics.recordCallback('failed')
    throw error
  }
}

type Deps = CallbackDeps & { readonly limits: Limits; readonly commitWithinMs: number }

export const registerCallback = (app: FastifyInstance, deps: Deps): void => {
  const answer = async (
    request: FastifyRequest,
    reply: FastifyReply,
    parameters: Parameters,
  ): Promise<FastifyReply> => {
    const callback = callbackOf(parameters)
    if (callback === undefined) {
      deps.metrics.recordCallback('malformed')
      if (request.method === 'GET' && isEmpty(parameters))
        return answerPage(reply, 'no-answer', { locale: localeFor(request), company: deps.policy.company.name })
      return answerPlainPage(request, reply, 'bad-request')
    }
    try {
      const taken = await commitCallback(deps, callback, deps.commitWithinMs)
      if (taken.kind !== 'unknown-state') return reply.redirect(`/done/${taken.doneId}`, 303)
    } catch (error) {
      logFailure(deps.log, request, error)
      return askToRepeat(request, reply, callback)
    }
    const wait = await deps.limits.unknown(request)
    if (wait !== undefined) return answerPlainPage(request, reply.header('retry-after', wait), 'too-many')
    return reply.redirect(`/done/${newDoneId()}`, 303)
  }

  // There is no HEAD route: HEAD may change nothing, and no bank sends it.
  const options = { helmet: formsToUs, bodyLimit: BODY_LIMIT, exposeHeadRoute: false }
  void app.register(async (scope) => {
    // A form is the only body accepted here; a body of any other type is refused.
    scope.removeAllContentTypeParsers()
    await scope.register(formbody, { bodyLimit: BODY_LIMIT, parser: (text) => readParameters(text) })
    scope.get('/callback', options, async (request, reply) => answer(request, reply, readParameters(queryOf(request))))
    // `response_mode=form_post`: only the parameters in the body count.
    scope.post('/callback', options, async (request, reply) =>
      answer(request, reply, (request.body ?? {}) as Parameters),
    )
  })
}

const queryOf = ({ url }: FastifyRequest): string => {
  const mark = url.indexOf('?')
  return mark < 0 ? '' : url.slice(mark + 1)
}

/** The only page that holds a code and a state: they are the user's own, and would be lost otherwise. */
const askToRepeat = (request: FastifyRequest, reply: FastifyReply, callback: Callback): FastifyReply => {
  const fields = fieldsOf(callback)
  const repeat =
    request.method === 'GET'
      ? ({ method: 'GET', path: `/callback?${new URLSearchParams(fields).toString()}` } as const)
      : ({ method: 'POST', path: '/callback', fields } as const)
  return answerPage(reply.header('retry-after', RETRY_SECONDS), 'retry-callback', {
    locale: localeFor(request),
    request: repeat,
    retrySeconds: RETRY_SECONDS,
  })
}
