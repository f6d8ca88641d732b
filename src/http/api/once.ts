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

export interface OnceDeps<Steps> {
  /** What a request that names no key is done by: each step commits by itself. */
  readonly steps: Steps
  /** Gives `write` steps that are part of one transaction, with the stored answer. */
  readonly answerOnce: <Answer extends RepeatableAnswer>(
    request: Omit<RepeatableRequest, 'now'>,
    write: (steps: Steps) => Promise<Answer>,
  ) => Promise<Answered<Answer>>
}

type Left = { readonly text: string } | { readonly value: unknown }

/** What a list or an object is written as, from its beginning to its end; undefined for any other value. */
const piecesOf = (value: unknown): Left[] | undefined => {
  if (typeof value !== 'object' || value === null) return undefined
  const separated = (parts: readonly Left[][]): Left[] =>
    parts.flatMap((part, place) => (place === 0 ? part : [{ text: ',' }, ...part]))
  if (Array.isArray(value)) return [{ text: '[' }, ...separated(value.map((part) => [{ value: part }])), { text: ']' }]
  const fields = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const named = fields.map(([name, part]) => [{ text: `${JSON.stringify(name)}:` }, { value: part }])
  return [{ text: '{' }, ...separated(named), { text: '}' }]
}

/**
 * The same JSON for the same content, in whatever order its fields came. Does not call itself: a body may be nested as
 * deep as it is long.
 */
const canonical = (whole: unknown): string => {
  const left: Left[] = [{ value: whole }]
  const said: string[] = []
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const pieces = 'text' in next ? undefined : piecesOf(next.value)
    if (pieces !== undefined) for (const piece of pieces.toReversed()) left.push(piece)
    else said.push('text' in next ? next.text : (JSON.stringify(next.value) ?? ''))
  }
  return said.join('')
}

/** A refusal is an answer, too, and is stored; what is our own failure, or passes, is not. */
const asAnswer = (error: unknown): RepeatableAnswer => {
  if (!(error instanceof ApiProblem) || problemTypes[error.problem].status >= 500) throw error
  const { problem, message, more } = error
  return { status: problemTypes[problem].status, body: problemBody(problem, message, more) }
}

/** Runs a write, once for each Idempotency-Key of a caller, route and path. `write` refuses before it writes. */
export const once = async <Steps>(
  { steps, answerOnce }: OnceDeps<Steps>,
  { request, caller }: { request: FastifyRequest; caller: Caller },
  write: (steps: Steps) => Promise<RepeatableAnswer>,
): Promise<RepeatableAnswer> => {
  const idempotencyKey = request.headers[HEADER]
  if (idempotencyKey === undefined) return write(steps)
  const [path = ''] = request.url.split('?', 1)
  const answered = await answerOnce<RepeatableAnswer>(
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
      ...answer.headers,
      ...(answered.kind === 'repeated' ? { 'idempotency-replayed': 'true' } : {}),
      ...(answer.status >= 400 ? { 'content-type': PROBLEM_JSON } : {}),
    },
  }
}
