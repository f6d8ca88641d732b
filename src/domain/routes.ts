// The routes by which a consent can be renewed, as one table. A new route begins with its entry here, and
// docs/changing-things.md lists the rest. Code that must tell routes apart reads a trait and never compares a name.

export interface RouteTraits {
  /** What operators read after "by": renewed "by full authentication". */
  readonly title: string
  /** What follows the route's name in docs/configuration.md. */
  readonly description: string
  /**
   * The user approves the connection that we know, and its stored token stays in use. Otherwise the approval makes a
   * new connection, which only the provider knows until its first answer.
   */
  readonly keepsConnection: boolean
  /** The route can still renew a consent whose grace window has ended. */
  readonly worksPastGrace: boolean
  /**
   * The field of a bank's rule that says whether the route works there, by default in the UK alone; undefined if it
   * works at every bank.
   */
  readonly bankRule: string | undefined
  /**
   * The provider's call that makes the authorisation URL, by its name in the metrics. Undefined if the URL is built
   * here; then making it proves nothing about the provider.
   */
  readonly linkCall: string | undefined
  /** The provider's call that exchanges the code, by its name in the metrics. */
  readonly exchangeCall: string
  /** Where `/me` shows no dates, tokens in answer to the code prove the renewal. */
  readonly isProvenByTokens: boolean
}

/** In the order in which they are listed to operators; the policy decides in which order they are tried. */
export const routes = {
  reauth: {
    title: 're-authentication',
    description: 'keeps the connection',
    keepsConnection: true,
    worksPastGrace: false,
    bankRule: 'reauth',
    linkCall: 'reauthuri',
    exchangeCall: 'token',
    isProvenByTokens: true,
  },
  full: {
    title: 'full authentication',
    description: 'is a full authentication and makes a new one',
    keepsConnection: false,
    worksPastGrace: true,
    bankRule: undefined,
    linkCall: undefined,
    exchangeCall: 'token',
    isProvenByTokens: true,
  },
} as const satisfies Readonly<Record<string, RouteTraits>>

export type Route = keyof typeof routes

/** The values that a trait has in the table. */
type ValueOf<Trait extends keyof RouteTraits> = NonNullable<(typeof routes)[Route][Trait]>
export type BankRule = ValueOf<'bankRule'>
/** A call that some route makes. */
export type RouteCall = ValueOf<'linkCall' | 'exchangeCall'>

type Traits = Omit<RouteTraits, 'bankRule' | 'linkCall' | 'exchangeCall'> & {
  readonly bankRule: BankRule | undefined
  readonly linkCall: RouteCall | undefined
  readonly exchangeCall: RouteCall
}

export const routeNames = Object.keys(routes) as readonly string[] as readonly [Route, ...Route[]]
export const isRoute = (name: string): name is Route => Object.hasOwn(routes, name)

export const traitsOf = (route: Route): Traits => routes[route]
export const keepsConnection = (route: Route): boolean => traitsOf(route).keepsConnection

/** Each field of a bank's rule that decides about a route. */
export const bankRules: readonly BankRule[] = [
  ...new Set(routeNames.flatMap((route) => traitsOf(route).bankRule ?? [])),
]

/** Each call once, those that make an authorisation URL first. */
export const routeCalls: readonly RouteCall[] = [
  ...new Set([
    ...routeNames.flatMap((route) => traitsOf(route).linkCall ?? []),
    ...routeNames.map((route) => traitsOf(route).exchangeCall),
  ]),
]
