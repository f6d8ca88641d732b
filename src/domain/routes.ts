// What sets the routes apart. Whoever must tell them apart asks a property, never a route's name, so that a new route
// is one entry here.
import type { Route } from './policy.ts'

export interface RouteTraits {
  /**
   * The user approves the connection that we know, and its stored token goes on. Otherwise the code makes a connection
   * of its own, and until its first answer nobody but the provider knows it.
   */
  readonly keepsConnection: boolean
  /**
   * The provider makes the authorisation URL. Otherwise it is built here, and making one says nothing of the provider.
   */
  readonly urlByProvider: boolean
}

export const routeTraits: Readonly<Record<Route, RouteTraits>> = {
  reauth: { keepsConnection: true, urlByProvider: true },
  full: { keepsConnection: false, urlByProvider: false },
}

export const keepsConnection = (route: Route): boolean => routeTraits[route].keepsConnection
