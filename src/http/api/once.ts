// Idempotency-Key: a request that is repeated with the same key is answered as before, and does nothing. The store
// keeps the answer in the transaction of the write; this file reads the header and knows the problems.
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Answered, RepeatableAnswer, RepeatableRequest } from '../../store/answers-port.ts'
import type { Caller } from './keyring.ts'
import { ApiProblem, PROBLEM_JSON, problemBody, problemTypes } from './problems.ts'
import { visible } from './schemas.ts'

const HEADER = 'idempotency-key'
const MAX_KEY = 255
/** Seconds. What holds the key is one transaction. */
const RETRY_AFTER = 1

/** The headers of a route that writes. */
export const idempotencyHeaders = z.looseObject({
  [HEADER]: visible(MAX_KEY)
    .optional()
    .describe('a text of yours for this request: when it is repeated within a day, the answer is the same'),
})

export interface StoredAnswer extends RepeatableAnswer {
  readonly headers?: Readonly<Record<string, string>> | undefined
}

export interface OnceDeps<Steps> {
  /** What a request that names no key is done by: each step commits by itself. */
  readonly steps: Steps
  /** Gives `write` steps that are part of one transaction, with the stored answer. */
  readonly answerOnce: <Answer extends RepeatableAnswer>(
    request: Omit<RepeatableRequest, 'now'>,
    write: (steps: Steps) => Promise<Answer>,
  ) => Promise<Answered<Answer>>
}

/** The same text for the same content, in whatever order its fields came. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_name, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  ) ?? ''

/** A refusal is an answer, too, and is stored; what is our own failure, or passes, is not. */
const asAnswer = (error: unknown): StoredAnswer => {
  if (!(error instanceof ApiProblem) || problemTypes[error.problem].status >= 500) throw error
  const { problem, message, more } = error
  return { status: problemTypes[problem].status, body: problemBody(problem, message, more) }
}

/** Runs a write, once for each Idempotency-Key of a caller, route and path. `write` refuses before it writes. */
export const once = async <Steps>(
  { steps, answerOnce }: OnceDeps<Steps>,
  { request, caller }: { request: FastifyRequest; caller: Caller },
  write: (steps: Steps) => Promise<StoredAnswer>,
): Promise<StoredAnswer> => {
  const idempotencyKey = request.headers[HEADER]
  if (idempotencyKey === undefined) return write(steps)
  const [path = ''] = request.url.split('?', 1)
  const answered = await answerOnce<StoredAnswer>(
    {
      callerId: caller.id,
      method: request.method,
      path,
      idempotencyKey: String(idempotencyKey),
      body: canonical(request.body),
    },
    async (inside) => write(inside).catch(asAnswer),
  )
  if (answered.kind === 'in-progress')
    throw new ApiProblem('in-progress', 'a request with this Idempotency-Key is being worked on', {
      retryAfter: RETRY_AFTER,
    })
  if (answered.kind === 'other-request')
    throw new ApiProblem('idempotency-key-reused', 'this Idempotency-Key came before with another body')
  const { answer } = answered
  return {
    ...answer,
    headers: {
      ...('headers' in answer ? answer.headers : {}),
      ...(answered.kind === 'repeated' ? { 'idempotency-replayed': 'true' } : {}),
      ...(answer.status >= 400 ? { 'content-type': PROBLEM_JSON } : {}),
    },
  }
}
