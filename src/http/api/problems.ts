// What the API answers when it refuses or fails: problem documents (RFC 9457). Nothing here repeats a value of the
// request.
import type { FastifyReply } from 'fastify'

interface ProblemType {
  readonly status: number
  readonly title: string
}

/** `type` of a problem is PREFIX and one of these names: stable, and the same for every installation. */
export const problemTypes = {
  'invalid-request': { status: 400, title: 'The request is not valid' },
  unauthorized: { status: 401, title: 'There is no valid API key' },
  'missing-scope': { status: 403, title: 'The API key may not do this' },
  'not-found': { status: 404, title: 'There is no such thing' },
  'unknown-state': { status: 404, title: 'The state is none of ours' },
  'cursor-unknown': { status: 409, title: 'The feed does not have this cursor' },
  'no-open-cycle': { status: 409, title: 'The consent has no open cycle' },
  refused: { status: 409, title: 'The consent does not allow this' },
  'token-rejected': { status: 409, title: 'The provider rejects the refresh tokens of this connection' },
  'in-progress': { status: 409, title: 'A request with this Idempotency-Key is in progress' },
  'precondition-failed': { status: 412, title: 'The consent is not as the request expects it' },
  'body-too-large': { status: 413, title: 'The body is too large' },
  'unsupported-media-type': { status: 415, title: 'The body is not JSON' },
  'idempotency-key-reused': { status: 422, title: 'Another request had this Idempotency-Key' },
  'too-many-requests': { status: 429, title: 'There were too many calls' },
  internal: { status: 500, title: 'Something went wrong on our side' },
  'temporarily-unavailable': { status: 503, title: 'Repeat the same request later' },
} as const satisfies Record<string, ProblemType>

export type ProblemName = keyof typeof problemTypes

export const PROBLEM_PREFIX = 'urn:problem-type:reconsent:'
export const PROBLEM_JSON = 'application/problem+json'

/** One thing that is wrong in a request. */
export type ProblemPart =
  /** In the body: an RFC 6901 pointer as a URI fragment, such as `#/expires_at`. */
  | { readonly pointer: string; readonly detail: string }
  /** In the query, in the path or in the headers. */
  | { readonly parameter: string; readonly detail: string }

export interface ProblemMore {
  readonly errors?: readonly ProblemPart[] | undefined
  /** Seconds. */
  readonly retryAfter?: number | undefined
  /** The status of the consent, where it is why. */
  readonly consentStatus?: string | undefined
}

/** Thrown by handlers; the API's error handler answers it. */
export class ApiProblem extends Error {
  override readonly name = 'ApiProblem'
  readonly problem: ProblemName
  readonly more: ProblemMore

  constructor(problem: ProblemName, detail: string, more: ProblemMore = {}) {
    super(detail)
    this.problem = problem
    this.more = more
  }
}

export const problemBody = (
  name: ProblemName,
  detail: string,
  { errors, consentStatus }: Omit<ProblemMore, 'retryAfter'> = {},
) => {
  const { status, title } = problemTypes[name]
  return {
    type: `${PROBLEM_PREFIX}${name}`,
    title,
    status,
    detail,
    ...(errors === undefined ? {} : { errors }),
    ...(consentStatus === undefined ? {} : { consent_status: consentStatus }),
  }
}

export const API_PATH = '/v1'

/** Whether an answer at this address is the API's, whatever is there. */
export const isApiPath = (path: string): boolean => /^\/v1(?:[/?]|$)/.test(path)

export const answerProblem = (reply: FastifyReply, { problem, message, more }: ApiProblem): FastifyReply => {
  const body = problemBody(problem, message, more)
  if (more.retryAfter !== undefined) void reply.header('retry-after', more.retryAfter)
  return reply.code(body.status).type(PROBLEM_JSON).send(body)
}
