// What sets the routes apart. Code that must tell routes apart reads a property and does not compare a route's name.
// The one exception is rules.ts, where a bank's own rule says whether `reauth` is possible there.
import type { Route } from './policy.ts'

export interface RouteTraits {
  /**
   * The user approves the connection that we know, and its stored token stays in use. Otherwise the code makes a new
   * connection, which only the provider knows until its first answer.
   */
  readonly keepsConnection: boolean
  /**
   * The provider makes the authorisation URL. Otherwise the URL is built here, and making it proves nothing about the
   * provider.
   */
  readonly urlByProvider: boolean
}

export const routeTraits: Readonly<Record<Route, RouteTraits>> = {
  reauth: { keepsConnection: true, urlByProvider: true },
  full: { keepsConnection: false, urlByProvider: false },
}

export const keepsConnection = (route: Route): boolean => routeTraits[route].keepsConnection
