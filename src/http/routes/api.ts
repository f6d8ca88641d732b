// `/v1`, for the company's own systems: callbacks of its own redirect_uri, consents, events. JSON in, JSON out, bearer
// keys. Each route says which scope a key needs for it.
import swagger from '@fastify/swagger'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ApiScope } from '../../domain/api-scopes.ts'
import { CursorUnknown, TransientError } from '../../errors.ts'
import { Secret } from '../../secret.ts'
import { clientStatusOf, logFailure } from '../fallback.ts'
import { type Caller, type KeyringDeps, makeKeyring } from '../api/keyring.ts'
import type { Limits } from '../limits.ts'
import { commitCallback } from './callback.ts'
import type { CallbackDeps } from './callback.ts'
import { callbackSchema, consentSchema, eventsSchema, openapi } from './api-schemas.ts'

/** JSON that is ready to be sent: snake_case, without secrets. */
export type Json = Readonly<Record<string, unknown>>

/** `cursor`: the event's place in the feed. */
export type EventJson = Json & { readonly cursor: string }

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

export interface ApiDeps extends CallbackDeps, KeyringDeps {
  /** Finds a consent by our id or by the `credentials_id`. */
  readonly getConsentJson: (id: string) => Promise<Json | undefined>
  /**
   * The events after that cursor, in the order of the feed. Rejects with a RangeError for an invalid cursor, and with
   * CursorUnknown for a cursor from another history of the database.
   */
  readonly listEvents: (after: string | undefined, limit: number) => Promise<readonly EventJson[]>
}

const BODY_LIMIT = 16 * 1024
/** A code is valid for minutes: its callback should be repeated soon. */
const RETRY_SECONDS = 5
const OUTAGE_SECONDS = 10

const CURSOR_UNKNOWN =
  'the feed has no event with this cursor: the database was restored from a backup or another server took ' +
  'over, and what you read since is not in it. ' +
  'Go on from an older cursor that you kept, or read again without after; an event that you know has the ' +
  'consent_id and seq it had'

const fail = (reply: FastifyReply, status: number, error: string, description: string): FastifyReply =>
  reply.code(status).send({ error, error_description: description })

/** Names the field and the rule that it breaks; Ajv's messages hold no value. */
const sayWrong = (error: FastifyError): string => {
  const [first] = error.validation ?? []
  if (first === undefined) return 'the body is not valid JSON'
  return `${error.validationContext}${first.instancePath}: ${first.message ?? 'is wrong'}`
}

const answerFailure = (
  deps: ApiDeps,
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply => {
  const status = clientStatusOf(error)
  if (status === 413) return fail(reply, 413, 'invalid_request', `the body is larger than ${BODY_LIMIT} bytes`)
  if (status === 415) return fail(reply, 415, 'invalid_request', 'the body must be application/json')
  if (status !== undefined) return fail(reply, 400, 'invalid_request', sayWrong(error))
  logFailure(deps.log, request, error)
  if (error instanceof TransientError) {
    return fail(
      reply.header('retry-after', OUTAGE_SECONDS),
      503,
      'temporarily_unavailable',
      'nothing was read: repeat the same request later',
    )
  }
  return fail(reply, 500, 'internal_error', 'something went wrong on our side')
}

type Deps = ApiDeps & { readonly commitWithinMs: number; readonly limits: Pick<Limits, 'wrongKeys'> }

export const registerApi = (app: FastifyInstance, deps: Deps): void => {
  const callerOf = makeKeyring(deps)

  const api = async (scope: FastifyInstance): Promise<void> => {
    scope.removeContentTypeParser('text/plain')
    scope.decorateRequest('caller', null)
    // The schemas describe answers; they do not change them.
    scope.setSerializerCompiler(() => (data) => JSON.stringify(data))
    scope.setErrorHandler<FastifyError>(async (error, request, reply) => answerFailure(deps, error, request, reply))
    scope.setNotFoundHandler(async (_request, reply) => fail(reply, 404, 'not_found', 'there is no such route'))
    await scope.register(swagger, { openapi: structuredClone(openapi) as never })

    // Needs no API key, so that tools can read it: the document describes only what is public anyway.
    scope.get('/openapi.json', { schema: { hide: true } }, async () => scope.swagger())
    await scope.register(async (locked) => {
      locked.addHook('onRoute', ({ config, method, url }) => {
        if (config?.scope === undefined) throw new TypeError(`${String(method)} ${url} names no scope`)
      })
      locked.addHook('onRequest', async (request, reply) => {
        const { authorization } = request.headers
        const answer = await callerOf(authorization)
        // A valid key is never delayed: behind a proxy missing from TRUSTED_PROXIES, anybody could block the company's
        // callbacks with wrong keys. A key has 256 random bits, so the limit only has to reduce the noise (decision
        // 0029).
        if (answer.kind === 'known') {
          const { scope: needed } = request.routeOptions.config
          request.caller = answer.caller
          if (needed !== undefined && answer.caller.scopes.includes(needed)) return
          await fail(reply, 403, 'forbidden', `this API key does not have the scope ${needed ?? ''}`)
          return
        }
        if (answer.kind === 'unavailable') {
          await fail(
            reply.header('retry-after', OUTAGE_SECONDS),
            503,
            'temporarily_unavailable',
            'the API key could not be checked: repeat the same request later',
          )
          return
        }
        const wait = authorization === undefined ? undefined : await deps.limits.wrongKeys(request)
        if (wait !== undefined) {
          await fail(
            reply.header('retry-after', wait),
            429,
            'too_many_requests',
            'too many calls without a valid API key from this address',
          )
          return
        }
        void reply.header('www-authenticate', 'Bearer realm="Reconsent API"')
        const why =
          answer.kind === 'expired' ? 'this API key has expired' : 'send an API key as Authorization: Bearer <key>'
        await fail(reply, 401, 'unauthorized', why)
      })
      registerCallbacks(locked, deps)
      registerReads(locked, deps)
    })
  }
  void app.register(api, { prefix: '/v1' })
}

interface CallbackBody {
  readonly state: string
  readonly code?: string
  readonly error?: string
}

const registerCallbacks = (scope: FastifyInstance, deps: Deps): void => {
  scope.post<{ Body: CallbackBody }>(
    '/callbacks',
    { schema: callbackSchema, bodyLimit: BODY_LIMIT, config: { scope: 'callbacks:write' } },
    async (request, reply) => {
      const { state, code, error } = request.body
      if ((code === undefined) === (error === undefined)) {
        return fail(reply, 400, 'invalid_request', 'body: exactly one of code and error is needed')
      }
      const what = code === undefined ? { bankError: error ?? '' } : { code: new Secret(code) }
      try {
        const answer = await commitCallback(deps, { state: new Secret(state), ...what }, deps.commitWithinMs)
        if (answer.kind === 'unknown-state')
          return await fail(reply, 404, 'unknown_state', 'this state is none of ours')
        return await reply
          .code(202)
          .send({ result: answer.kind, credentials_id: answer.credentialsId, user_id: answer.userId })
      } catch (failure) {
        logFailure(deps.log, request, failure)
        return fail(
          reply.header('retry-after', RETRY_SECONDS),
          503,
          'temporarily_unavailable',
          'nothing was taken: repeat the same request',
        )
      }
    },
  )
}

interface EventsQuery {
  readonly after?: string
  limit: number | string
}

const registerReads = (scope: FastifyInstance, deps: ApiDeps): void => {
  const toRead = { schema: consentSchema, config: { scope: 'consents:read' } } as const
  scope.get<{ Params: { id: string } }>('/consents/:id', toRead, async (request, reply) => {
    const consent = await deps.getConsentJson(request.params.id)
    if (consent === undefined)
      return fail(reply, 404, 'not_found', 'there is no consent with this id or credentials_id')
    return reply.send(consent)
  })

  // A query holds only strings. A string that is not a number stays a string, and the schema refuses it.
  const preValidation = async ({ query }: FastifyRequest<{ Querystring: EventsQuery }>): Promise<void> => {
    if (typeof query.limit === 'string' && /^\d{1,9}$/.test(query.limit)) query.limit = Number(query.limit)
  }
  scope.get<{ Querystring: EventsQuery }>(
    '/events',
    { schema: eventsSchema, preValidation, config: { scope: 'events:read' } },
    async (request, reply) => {
      const { after, limit } = request.query
      try {
        const events = await deps.listEvents(after, Number(limit))
        return await reply.send({ events, next_cursor: events.at(-1)?.cursor ?? after ?? null })
      } catch (error) {
        if (error instanceof CursorUnknown) return fail(reply, 409, 'cursor_unknown', CURSOR_UNKNOWN)
        if (!(error instanceof RangeError)) throw error
        return fail(reply, 400, 'invalid_request', 'querystring/after: must be the next_cursor of an earlier page')
      }
    },
  )
}
