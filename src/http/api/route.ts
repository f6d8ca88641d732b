// A route of the API as data: one scope, schemas for what comes in and goes out, and a handler. Registers it with the
// router; the OpenAPI document is made from the same data.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { ApiScope } from '../../domain/api-scopes.ts'
import type { Caller } from './keyring.ts'
import { conditionHeaders } from './conditions.ts'
import { idempotencyHeaders } from './once.ts'
import { ApiProblem, type ProblemName } from './problems.ts'
import type { InTurn } from './turns.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a key must be allowed to do for this route: every route behind the keys has one. */
    readonly scope?: ApiScope
  }
  interface FastifyRequest {
    /** Who calls the API; null on routes that need no key. */
    caller: Caller | null
  }
}

type Schema = z.ZodType

/** What a handler is given: the parts of the request, as their schemas read them. */
export interface Call<Params, Query, Body> {
  readonly params: Params
  readonly query: Query
  readonly body: Body
  readonly caller: Caller
  readonly request: FastifyRequest
}

export interface ApiAnswer {
  readonly status: number
  /** Ready to be sent: snake_case, without secrets unless the route is there for one. */
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>> | undefined
}

interface Described {
  readonly method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE'
  /** Below `/v1`, as the router has it: `/consents/:id`; a colon that begins no parameter is written twice. */
  readonly path: string
  readonly scope: ApiScope
  /** A name that programs made from the document call the route by. */
  readonly operationId: string
  /** Under which heading the document has it. */
  readonly tag: ApiTag
  readonly summary: string
  readonly description?: string
  /** What it answers when it succeeds, by status. */
  readonly answers: Readonly<Record<number, { readonly description: string; readonly schema: Schema }>>
  /** What it may answer besides what any route may. */
  readonly problems?: readonly ProblemName[]
  /** What the document shows as the body, where the handler checks more of it than the schema `body` does. */
  readonly bodyShown?: Schema
  /** Bytes; the usual limit unless said. */
  readonly bodyLimit?: number
  /** Whether it knows Idempotency-Key (once.ts): every POST does. `by-itself`: safe to repeat, it stores no answer. */
  readonly isRepeatable?: true | 'by-itself'
  /** Whether it knows If-Match and If-None-Match (conditions.ts). */
  readonly isConditional?: true
  /** A GET answers HEAD, too, unless it must not. */
  readonly hasHead?: false
}

interface Taken {
  readonly params?: Schema | undefined
  readonly query?: Schema | undefined
  readonly body?: Schema | undefined
}

export const apiTags = {
  consents: 'Consents, and what is done to one',
  callbacks: 'What a bank sends to a redirect_uri of your own',
  events: 'What happened',
} as const
export type ApiTag = keyof typeof apiTags

export interface ApiRoute extends Described, Taken {
  handle(call: Call<never, never, never>): Promise<ApiAnswer>
}

type Read<Part> = Part extends Schema ? z.output<Part> : undefined

/** Makes a route; the handler is given what the schemas say. A body, query or path without a schema has no field. */
export const route = <
  Params extends Schema | undefined = undefined,
  Query extends Schema | undefined = undefined,
  Body extends Schema | undefined = undefined,
>(
  defined: Described & {
    readonly params?: Params
    readonly query?: Query
    readonly body?: Body
    handle(call: Call<Read<Params>, Read<Query>, Read<Body>>): Promise<ApiAnswer>
  },
): ApiRoute => defined as unknown as ApiRoute

/** No body of the API needs more. */
export const BODY_LIMIT = 16 * 1024

const bothHeaders = z.looseObject({ ...idempotencyHeaders.shape, ...conditionHeaders.shape })

/** The headers that a route knows. */
export const headersOf = ({
  isRepeatable,
  isConditional,
}: Pick<ApiRoute, 'isRepeatable' | 'isConditional'>): Schema | undefined => {
  if (isConditional !== undefined) return isRepeatable === undefined ? conditionHeaders : bothHeaders
  return isRepeatable === undefined ? undefined : idempotencyHeaders
}

const callOf = (request: FastifyRequest): Call<never, never, never> => {
  if (request.caller === null) throw new Error('a route without a caller')
  const { params, query, body, caller } = request
  return { params: params as never, query: query as never, body: body as never, caller, request }
}

/** A route without parameters refuses each, as any other does what it does not know. */
const noQuery = z.strictObject({})

/** Seconds. A turn ends with its transaction. */
const BUSY_SECONDS = 1

export const registerRoute = (scope: FastifyInstance, defined: ApiRoute, inTurn: InTurn): void => {
  const { method, path: url, params, query: querystring = noQuery, body, bodyLimit = BODY_LIMIT } = defined
  const headers = headersOf(defined)
  scope.route({
    method,
    url,
    bodyLimit,
    ...(defined.hasHead === undefined ? {} : { exposeHeadRoute: defined.hasHead }),
    config: { scope: defined.scope },
    schema: {
      ...(params === undefined ? {} : { params }),
      querystring,
      ...(body === undefined ? {} : { body }),
      ...(headers === undefined ? {} : { headers }),
    },
    handler: async (request, reply) => {
      const answer = await inTurn(async () => defined.handle(callOf(request)))
      if (answer === undefined)
        throw new ApiProblem('temporarily-unavailable', 'too many requests are being worked on: repeat this one', {
          retryAfter: BUSY_SECONDS,
        })
      if (answer.headers !== undefined) void reply.headers(answer.headers)
      return reply.code(answer.status).send(answer.body)
    },
  })
}
