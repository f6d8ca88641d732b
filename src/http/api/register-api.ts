// `/v1`, for the company's own systems: JSON in, JSON out, bearer keys. Puts the routes behind the keys, and answers
// every failure with a problem document.
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ApiScope } from '../../domain/api-scopes.ts'
import { TransientError } from '../../errors.ts'
import { HTML } from '../answer-page.ts'
import { clientStatusOf, logFailure, OUTAGE_SECONDS } from '../fallback.ts'
import type { Limits } from '../limits.ts'
import { accessTokenRoutes, type AccessTokenRouteDeps } from './access-token.ts'
import { callbackRoutes, type CallbackRouteDeps, type CallbackSteps } from './callbacks.ts'
import { changeRoutes, type ChangeSteps } from './changes.ts'
import { consentRoutes, type ConsentRouteDeps } from './consents.ts'
import { eventRoutes, type EventRouteDeps } from './events.ts'
import { type KeyringDeps, makeKeyring } from './keyring.ts'
import { linkRoutes, type LinkRouteDeps } from './links.ts'
import { onceMade } from './once-made.ts'
import type { OnceDeps } from './once.ts'
import { answerProblem, API_PATH, ApiProblem } from './problems.ts'
import { type ApiRoute, registerRoute } from './route.ts'
import { syncRoutes, type SyncSteps } from './syncs.ts'
import { makeTurns, type TurnOptions, usualTurns } from './turns.ts'
import { validatorCompiler } from './validate.ts'
import { writeRoutes, type WriteRouteDeps, type WriteSteps } from './writes.ts'

/** All that a write of the API does. */
export type ApiSteps = ChangeSteps & WriteSteps & SyncSteps & CallbackSteps

type RouteDeps = ConsentRouteDeps &
  AccessTokenRouteDeps &
  EventRouteDeps &
  LinkRouteDeps &
  OnceDeps<ApiSteps> &
  Omit<CallbackRouteDeps & WriteRouteDeps, keyof OnceDeps<never>>

export type ApiDeps = KeyringDeps &
  Omit<RouteDeps, 'commitWithinMs' | 'steps' | 'publicUrl'> & {
    readonly steps: ChangeSteps & WriteSteps & SyncSteps
    readonly apiTurns?: Partial<TurnOptions> | undefined
  }

const CALLBACKS: ApiScope = 'callbacks:write'

type Deps = ApiDeps & {
  readonly publicUrl: URL
  readonly commitWithinMs: number
  readonly limits: Pick<Limits, 'wrongKeys' | 'calls'>
}

const JSON_TYPE = 'application/json; charset=utf-8'
const CSS = 'text/css; charset=utf-8'

/** Every route that needs a key. */
export const apiRoutes = (deps: RouteDeps): readonly ApiRoute[] => [
  ...consentRoutes(deps),
  ...writeRoutes(deps),
  ...accessTokenRoutes(deps),
  ...changeRoutes(deps),
  ...linkRoutes(deps),
  ...syncRoutes(deps),
  ...callbackRoutes(deps),
  ...eventRoutes(deps),
]

/** Undefined for a failure that is our own: nothing about it is said. */
const problemOf = (error: FastifyError, request: FastifyRequest): ApiProblem | undefined => {
  if (error instanceof ApiProblem) return error
  const status = clientStatusOf(error)
  if (status === 413) {
    const { bodyLimit } = request.routeOptions
    return new ApiProblem('body-too-large', `the body is larger than ${String(bodyLimit)} bytes`)
  }
  if (status === 415) return new ApiProblem('unsupported-media-type', 'the body must be application/json')
  if (status !== undefined)
    return new ApiProblem('invalid-request', 'the body is not valid JSON', {
      errors: [{ pointer: '#', detail: 'is not valid JSON' }],
    })
  return undefined
}

const answerFailure = (
  { log }: Pick<ApiDeps, 'log'>,
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply => {
  const problem = problemOf(error, request)
  if (problem !== undefined) return answerProblem(reply, problem)
  logFailure(log, request, error)
  if (!(error instanceof TransientError))
    return answerProblem(reply, new ApiProblem('internal', 'something went wrong on our side'))
  const detail =
    request.method === 'GET' ? 'nothing was read: repeat the same request later' : 'repeat the same request later'
  return answerProblem(reply, new ApiProblem('temporarily-unavailable', detail, { retryAfter: OUTAGE_SECONDS }))
}

/** Finds who calls, and whether the route is theirs; throws the problem of whoever may not call it. */
const checkKeys = (scope: FastifyInstance, deps: Deps): void => {
  const callerOf = makeKeyring(deps)
  scope.addHook('onRoute', ({ config, method, url }) => {
    if (config?.scope === undefined) throw new TypeError(`${String(method)} ${url} names no scope`)
  })
  scope.addHook('onRequest', async (request, reply) => {
    const { authorization } = request.headers
    const answer = await callerOf(authorization)
    // A valid key is not delayed by wrong ones: behind a proxy missing from TRUSTED_PROXIES, anybody could block the
    // company's callbacks with wrong keys. A key has 256 random bits, so the limit only has to reduce the noise
    // (decision 0029).
    if (answer.kind === 'known') {
      request.caller = answer.caller
      const { scope: needed } = request.routeOptions.config
      if (needed === undefined || !answer.caller.scopes.includes(needed))
        throw new ApiProblem('missing-scope', `this API key does not have the scope ${needed ?? ''}`)
      // A callback is never counted: a code must not be lost to a system that lists consents in a loop.
      const pause = needed === CALLBACKS ? undefined : await deps.limits.calls(request)
      if (pause === undefined) return
      throw new ApiProblem('too-many-requests', 'too many calls with this API key', { retryAfter: pause })
    }
    if (answer.kind === 'unavailable')
      throw new ApiProblem(
        'temporarily-unavailable',
        'the API key could not be checked: repeat the same request later',
        { retryAfter: OUTAGE_SECONDS },
      )
    const wait = authorization === undefined ? undefined : await deps.limits.wrongKeys(request)
    if (wait !== undefined)
      throw new ApiProblem('too-many-requests', 'too many calls without a valid API key from this address', {
        retryAfter: wait,
      })
    void reply.header('www-authenticate', 'Bearer realm="Reconsent API"')
    throw new ApiProblem(
      'unauthorized',
      answer.kind === 'expired' ? 'this API key has expired' : 'send an API key as Authorization: Bearer <key>',
    )
  })
}

export const registerApi = (app: FastifyInstance, deps: Deps): void => {
  const { receiveCallback } = deps
  const routes = apiRoutes({ ...deps, steps: { ...deps.steps, receiveCallback } })

  const api = async (scope: FastifyInstance): Promise<void> => {
    scope.removeAllContentTypeParsers()
    const parse = scope.getDefaultJsonParser('error', 'error')
    scope.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
      // Clients that always say that they send JSON send no body, too: whether there must be one, the schema says.
      if (body === '') done(null, undefined)
      else void parse(request, body as string, done)
    })
    scope.decorateRequest('caller', null)
    scope.setValidatorCompiler(validatorCompiler as never)
    scope.setSerializerCompiler(() => (data) => JSON.stringify(data))
    scope.setErrorHandler<FastifyError>(async (error, request, reply) => answerFailure(deps, error, request, reply))
    scope.setNotFoundHandler(async (_request, reply) =>
      answerProblem(reply, new ApiProblem('not-found', 'there is no such route')),
    )
    // Needs no API key, so that tools can read it: the document describes only what is public anyway. What makes it is
    // loaded for whoever asks.
    const describe = onceMade(async () => {
      const [{ makeOpenapi }, page] = await Promise.all([import('./openapi.ts'), import('./docs-page.ts')])
      const document = await makeOpenapi(routes, deps.publicUrl)
      return { json: JSON.stringify(document), page: page.docsPage(document), css: page.docsStylesheet }
    })
    scope.get('/openapi.json', async (_request, reply) => reply.type(JSON_TYPE).send((await describe()).json))
    scope.get('/docs', async (_request, reply) => reply.type(HTML).send((await describe()).page))
    scope.get('/docs/style.css', async (_request, reply) => reply.type(CSS).send((await describe()).css))
    await scope.register(async (locked) => {
      checkKeys(locked, deps)
      const turns = { ...usualTurns, ...deps.apiTurns }
      const inTurn = makeTurns(turns)
      const callbacksInTurn = makeTurns({ ...turns, atOnce: turns.callbacksAtOnce })
      for (const defined of routes)
        registerRoute(locked, defined, defined.scope === CALLBACKS ? callbacksInTurn : inTurn)
    })
  }
  void app.register(api, { prefix: API_PATH })
}
