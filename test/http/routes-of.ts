// The routes of a server, as its router has them: Fastify tells each instance that is made, and each route of it.
import diagnostics from 'node:diagnostics_channel'
import type { FastifyInstance, RouteOptions } from 'fastify'

export interface Route {
  readonly method: string
  readonly url: string
  readonly scope: string | undefined
}

/** A path of this route, with `value` for each parameter. In a pattern, a colon of the path itself is written twice. */
export const pathOf = (pattern: string, value: string): string =>
  pattern.replaceAll(/(?<!:):\w+/g, value).replaceAll('::', ':')

/** The path as an OpenAPI document has it. */
export const documented = (pattern: string): string => pattern.replaceAll(/(?<!:):(\w+)/g, '{$1}').replaceAll('::', ':')

/** Runs `work`, which makes a server; returns what it made and the routes that were added meanwhile. */
export const withRoutes = async <Made>(
  work: () => Promise<Made>,
): Promise<{ made: Made; routes: readonly Route[] }> => {
  const routes: Route[] = []
  const listen = (message: unknown): void => {
    const { fastify } = message as { fastify: FastifyInstance }
    fastify.addHook('onRoute', ({ method, url, config }: RouteOptions) => {
      for (const one of [method].flat()) routes.push({ method: one, url, scope: config?.scope })
    })
  }
  diagnostics.subscribe('fastify.initialization', listen)
  try {
    return { made: await work(), routes }
  } finally {
    diagnostics.unsubscribe('fastify.initialization', listen)
  }
}
