// Keeps the state of every connection: its consent's dates, its tokens, whether it was revoked. The protocol's rules
// are in other files.
import { randomUUID } from 'node:crypto'
import { DateTime } from 'luxon'
import { BadInput } from './bad-input.ts'
import { countryOf } from './banks.ts'
import type { Bank, Banks } from './banks.ts'
import type { Clock } from './clock.ts'
import type { Ledger } from './ledger.ts'
import { changeOwn } from './switches.ts'
import type { OwnSwitchChanges, OwnSwitches, Switches } from './switches.ts'
import { randomToken } from './tokens.ts'

export interface ConsentDates {
  readonly createdAt: DateTime
  readonly updatedAt: DateTime
  readonly expiresAt: DateTime
}

export interface Connection {
  readonly credentialsId: string
  readonly bank: Bank
  readonly redirectUri: string
  readonly scopes: readonly string[]
  /** Undefined without the scope `offline_access`. */
  readonly refreshToken: string | undefined
  /** Only the latest access token; earlier ones are invalid. */
  readonly accessToken: { readonly value: string; readonly expiresAt: DateTime } | undefined
  readonly dates: ConsentDates
  /** The dates before the last renewal, and when it happened: `/me` may show the old dates for a while. */
  readonly before: { readonly dates: ConsentDates; readonly renewedAt: DateTime } | undefined
  /** When the refresh token was last used successfully. */
  readonly usedAt: DateTime
  readonly revoked: boolean
  /** What applies to this connection instead of the switches for all. */
  readonly switches: OwnSwitches
}

export interface Seed {
  /** Default: a new id. */
  readonly credentialsId?: string | undefined
  readonly providerId: string
  /** Name of a bank the simulator does not know yet. Default: the provider id. */
  readonly providerName?: string | undefined
  readonly country: string
  readonly redirectUri: string
  /** Default: a new token. */
  readonly refreshToken?: string | undefined
  /** Default: `expiresAt` minus the validity, or now if there is no `expiresAt`. */
  readonly consentedAt?: DateTime | undefined
  /** Default: `consentedAt` plus the validity. */
  readonly expiresAt?: DateTime | undefined
  readonly scopes?: readonly string[] | undefined
  /** Default: the switches for all apply. */
  readonly switches?: OwnSwitches | undefined
}

export interface Connections {
  /** Adds a connection. Throws BadInput when its credentials_id or refresh token is taken, or on a wrong switch. */
  seed(seed: Seed): Connection
  /** Adds a connection that a user has just made. */
  connect(made: { bank: Bank; redirectUri: string; scopes: readonly string[] }): Connection
  find(credentialsId: string): Connection | undefined
  byRefreshToken(token: string): Connection | undefined
  /** Finds a connection by a refresh token that a rotation has replaced. */
  byReplacedToken(token: string): Connection | undefined
  /** Finds a connection by its latest access token, or by an earlier one. */
  byAccessToken(token: string): Connection | undefined
  all(): readonly Connection[]
  /** Renews the consent: it is valid from now. */
  renew(credentialsId: string): Connection
  setAccessToken(credentialsId: string, value: string, expiresAt: DateTime): Connection
  rotateRefreshToken(credentialsId: string): Connection
  markUsed(credentialsId: string): Connection
  /**
   * Changes the connection's own switches, all or none of them. Undefined when there is no such connection. Throws
   * BadInput on an unknown name or a wrong value.
   */
  setSwitches(credentialsId: string, changes: OwnSwitchChanges): Connection | undefined
  /** Revokes the connection; `why` is noted in the ledger. Undefined when there is no such connection. */
  revoke(credentialsId: string, why: string): Connection | undefined
}

export const DEFAULT_SCOPES: readonly string[] = ['info', 'accounts', 'balance', 'transactions', 'offline_access']

interface Deps {
  readonly clock: Clock
  readonly ledger: Ledger
  readonly banks: Banks
  readonly switches: Switches
}

export const makeConnections = ({ clock, ledger, banks, switches }: Deps): Connections => {
  const connections = new Map<string, Connection>()
  const idByRefreshToken = new Map<string, string>()
  const idByReplacedToken = new Map<string, string>()
  const idByAccessToken = new Map<string, string>()
  const validity = (): { days: number } => ({ days: switches.get('validity_days') })

  const put = (connection: Connection): Connection => {
    connections.set(connection.credentialsId, connection)
    if (connection.refreshToken !== undefined) idByRefreshToken.set(connection.refreshToken, connection.credentialsId)
    return connection
  }
  const change = (credentialsId: string, changed: (connection: Connection) => Partial<Connection>): Connection => {
    const connection = connections.get(credentialsId)
    if (connection === undefined) throw new Error(`simulator: no connection ${credentialsId}`)
    return put({ ...connection, ...changed(connection) })
  }
  const by = (index: Map<string, string>, key: string): Connection | undefined => {
    const credentialsId = index.get(key)
    return credentialsId === undefined ? undefined : connections.get(credentialsId)
  }

  return {
    seed: (seed) => {
      const now = clock.now()
      const credentialsId = seed.credentialsId ?? randomUUID()
      const refreshToken = seed.refreshToken ?? randomToken()
      if (connections.has(credentialsId)) throw new BadInput([`credentials_id: ${credentialsId} is already there`])
      if (idByRefreshToken.has(refreshToken)) throw new BadInput(['refresh_token: another connection has the same one'])
      const own = changeOwn({}, seed.switches ?? {})
      const createdAt = seed.consentedAt ?? seed.expiresAt?.minus(validity()) ?? now
      const country = countryOf(seed.country)
      const bank = banks.learn({
        providerId: seed.providerId,
        displayName: seed.providerName ?? seed.providerId,
        country,
      })
      ledger.record({ what: 'seeded', outcome: 'ok', credentials_id: credentialsId })
      return put({
        credentialsId,
        // The connection's own country applies, even if the catalogue has another country for this bank.
        bank: { ...bank, country },
        redirectUri: seed.redirectUri,
        scopes: seed.scopes ?? DEFAULT_SCOPES,
        refreshToken,
        accessToken: undefined,
        dates: { createdAt, updatedAt: createdAt, expiresAt: seed.expiresAt ?? createdAt.plus(validity()) },
        before: undefined,
        usedAt: DateTime.max(createdAt, now),
        revoked: false,
        switches: own,
      })
    },
    connect: ({ bank, redirectUri, scopes }) => {
      const now = clock.now()
      const credentialsId = randomUUID()
      ledger.record({ what: 'connected', outcome: 'ok', credentials_id: credentialsId })
      return put({
        credentialsId,
        bank,
        redirectUri,
        scopes,
        refreshToken: scopes.includes('offline_access') ? randomToken() : undefined,
        accessToken: undefined,
        dates: { createdAt: now, updatedAt: now, expiresAt: now.plus(validity()) },
        before: undefined,
        usedAt: now,
        revoked: false,
        switches: {},
      })
    },
    find: (credentialsId) => connections.get(credentialsId),
    byRefreshToken: (token) => by(idByRefreshToken, token),
    byReplacedToken: (token) => by(idByReplacedToken, token),
    byAccessToken: (token) => by(idByAccessToken, token),
    all: () => [...connections.values()],
    renew: (credentialsId) => {
      const now = clock.now()
      ledger.record({ what: 'renewed', outcome: 'ok', credentials_id: credentialsId })
      return change(credentialsId, ({ dates }) => ({
        dates: {
          createdAt: switches.get('created_at') === 'moved' ? now : dates.createdAt,
          updatedAt: now,
          expiresAt: now.plus(validity()),
        },
        before: { dates, renewedAt: now },
        usedAt: now,
      }))
    },
    setAccessToken: (credentialsId, value, expiresAt) => {
      idByAccessToken.set(value, credentialsId)
      return change(credentialsId, () => ({ accessToken: { value, expiresAt } }))
    },
    rotateRefreshToken: (credentialsId) => {
      const connection = connections.get(credentialsId)
      if (connection?.refreshToken !== undefined) {
        idByRefreshToken.delete(connection.refreshToken)
        idByReplacedToken.set(connection.refreshToken, credentialsId)
      }
      ledger.record({ what: 'rotated', outcome: 'ok', credentials_id: credentialsId })
      return change(credentialsId, () => ({ refreshToken: randomToken() }))
    },
    markUsed: (credentialsId) => change(credentialsId, () => ({ usedAt: clock.now() })),
    setSwitches: (credentialsId, changes) =>
      connections.has(credentialsId)
        ? change(credentialsId, ({ switches: own }) => ({ switches: changeOwn(own, changes) }))
        : undefined,
    revoke: (credentialsId, why) => {
      if (!connections.has(credentialsId)) return undefined
      ledger.record({ what: 'revoked', outcome: 'ok', credentials_id: credentialsId, detail: why })
      return change(credentialsId, () => ({ revoked: true }))
    },
  }
}
