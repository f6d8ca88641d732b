// `/v1`, for the company's own systems: JSON in, JSON out, bearer keys. Puts the routes behind the keys, and answers
// every failure with a problem document.
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { TransientError } from '../../errors.ts'
import { HTML } from '../answer-page.ts'
import { clientStatusOf, logFailure } from '../fallback.ts'
import type { Limits } from '../limits.ts'
import { accessTokenRoutes, type AccessTokenRouteDeps } from './access-token.ts'
import { callbackRoutes, type CallbackRouteDeps, type CallbackSteps } from './callbacks.ts'
import { changeRoutes, type ChangeSteps } from './changes.ts'
import { consentRoutes, type ConsentRouteDeps } from './consents.ts'
import type { Document } from './docs-page.ts'
import { eventRoutes, type EventRouteDeps } from './events.ts'
import { type KeyringDeps, makeKeyring } from './keyring.ts'
import type { OnceDeps } from './once.ts'
import { answerProblem, API_PATH, ApiProblem } from './problems.ts'
import { type ApiRoute, registerRoute } from './route.ts'
import { validatorCompiler } from './validate.ts'

/** All that a write of the API does. */
export type ApiSteps = ChangeSteps & CallbackSteps

type RouteDeps = ConsentRouteDeps &
  AccessTokenRouteDeps &
  EventRouteDeps &
  OnceDeps<ApiSteps> &
  Omit<CallbackRouteDeps, keyof OnceDeps<never>>

export type ApiDeps = KeyringDeps & Omit<RouteDeps, 'commitWithinMs' | 'steps'> & { readonly steps: ChangeSteps }

type Deps = ApiDeps & {
  readonly publicUrl: URL
  readonly commitWithinMs: number
  readonly limits: Pick<Limits, 'wrongKeys'>
}

const OUTAGE_SECONDS = 10

/** Every route that needs a key. */
export const apiRoutes = (deps: RouteDeps): readonly ApiRoute[] => [
  ...consentRoutes(deps),
  ...accessTokenRoutes(deps),
  ...changeRoutes(deps),
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
    // A valid key is never delayed: behind a proxy missing from TRUSTED_PROXIES, anybody could block the company's
    // callbacks with wrong keys. A key has 256 random bits, so the limit only has to reduce the noise (decision 0029).
    if (answer.kind === 'known') {
      request.caller = answer.caller
      const { scope: needed } = request.routeOptions.config
      if (needed !== undefined && answer.caller.scopes.includes(needed)) return
      throw new ApiProblem('missing-scope', `this API key does not have the scope ${needed ?? ''}`)
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
    let made: Promise<Document> | undefined
    const openapi = async (): Promise<Document> => {
      made ??= import('./openapi.ts').then(async ({ makeOpenapi }) => makeOpenapi(routes, deps.publicUrl))
      return made
    }
    scope.get('/openapi.json', async () => openapi())
    scope.get('/docs', async (_request, reply) => {
      const [{ docsPage }, document] = await Promise.all([import('./docs-page.ts'), openapi()])
      return reply.type(HTML).send(docsPage(document))
    })
    scope.get('/docs/style.css', async (_request, reply) => {
      const { docsStylesheet } = await import('./docs-page.ts')
      return reply.type('text/css; charset=utf-8').send(docsStylesheet)
    })
    await scope.register(async (locked) => {
      checkKeys(locked, deps)
      for (const defined of routes) registerRoute(locked, defined)
    })
  }
  void app.register(api, { prefix: API_PATH })
}
