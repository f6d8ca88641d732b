// Knows the caller of the API by its key. The keys of the database are kept in memory and read again every few seconds,
// so that a new or a revoked key takes effect within five seconds, and no request costs a query of its own.
import type { Clock } from '../../clock.ts'
import { sameBytes, sha256, sha256Hex } from '../../crypto/hashing.ts'
import { stateOfKey } from '../../domain/api-key-state.ts'
import { type ApiScope, configuredKeyScopes } from '../../domain/api-scopes.ts'
import { TransientError } from '../../errors.ts'
import type { Log } from '../../log.ts'
import type { StoredApiKey } from '../../store/api-keys-port.ts'
import { within } from '../within.ts'

/** Who calls. */
export interface Caller {
  /** Never used again, as a name may be. */
  readonly id: string
  /** For the events of what this caller does. */
  readonly name: string
  readonly scopes: readonly ApiScope[]
}

export type KeyAnswer =
  | { readonly kind: 'known'; readonly caller: Caller }
  /** The key was ours, and its time is over. */
  | { readonly kind: 'expired' }
  | { readonly kind: 'unknown' }
  /** The database is away or busy, and the key is none that can be judged without it. */
  | { readonly kind: 'unavailable' }

/** All in milliseconds. */
export interface KeyringTimes {
  /** Keys that were read longer ago are read again before a request is judged by them. */
  readonly rereadAfterMs: number
  /** The same for a request whose key is not among them: it may have been created since. */
  readonly lookAgainAfterMs: number
  /** A request does not wait longer for that reading. */
  readonly waitMs: number
  /** Keys that were read longer ago are not used: a key that was revoked since must not go on. */
  readonly goodForMs: number
  /** But while the database cannot be reached, the keys that were read last go on for this long. */
  readonly outlivesMs: number
}

export const keyringTimes: KeyringTimes = {
  rereadAfterMs: 3_000,
  lookAgainAfterMs: 1_000,
  waitMs: 1_500,
  goodForMs: 5_000,
  outlivesMs: 60_000,
}

export interface KeyringDeps {
  /** API_KEYS_SHA256: lower-case hex. */
  readonly apiKeyHashes: readonly string[]
  /** Rejects with a TransientError when the database cannot be reached, and with any other error when it is busy. */
  readonly readApiKeys: () => Promise<readonly StoredApiKey[]>
  readonly clock: Clock
  readonly log: Log
  readonly keyringTimes?: Partial<KeyringTimes> | undefined
}

export type Keyring = (authorization: string | undefined) => Promise<KeyAnswer>

interface Known {
  readonly hash: Uint8Array
  readonly caller: Caller
  readonly expiresAt: StoredApiKey['expiresAt']
}

/** A name that no key of the database can have, and that an operator finds again in the configuration. */
const configuredKey = (hash: string): Known => ({
  hash: Buffer.from(hash, 'hex'),
  caller: {
    id: `configured:${sha256Hex(hash).slice(0, 32)}`,
    name: `API_KEYS_SHA256:${hash.slice(0, 8)}`,
    scopes: configuredKeyScopes,
  },
  expiresAt: undefined,
})

/** Compares with every key, whichever matches, so that the time taken reveals nothing. */
const findAmong = (keys: readonly Known[], given: Uint8Array): Known | undefined =>
  keys.reduce<Known | undefined>((found, known) => (sameBytes(known.hash, given) ? known : found), undefined)

export const makeKeyring = (deps: KeyringDeps): Keyring => {
  const times = { ...keyringTimes, ...deps.keyringTimes }
  const configured = deps.apiKeyHashes.map(configuredKey)
  let stored: readonly Known[] = []
  /** When the reading of `stored` began, and when the last reading failed, on the clock of `performance.now()`. */
  let readAt = Number.NEGATIVE_INFINITY
  let failedAt = Number.NEGATIVE_INFINITY
  /** Whether the last reading found no database: one that has not ended yet says nothing. */
  let isAway = false
  let reading: Promise<void> | undefined

  const read = async (): Promise<void> => {
    const began = performance.now()
    try {
      const keys = await deps.readApiKeys()
      stored = keys.map(({ id, name, hash, scopes, expiresAt }) => ({ hash, caller: { id, name, scopes }, expiresAt }))
      readAt = began
      isAway = false
    } catch (error) {
      failedAt = performance.now()
      isAway = error instanceof TransientError
      deps.log.warn({ err: error instanceof Error ? error : new Error('not an error') }, 'API keys cannot be read')
    } finally {
      reading = undefined
    }
  }
  const age = (): number => performance.now() - readAt
  /** Callers share one reading; one that has just failed is not tried again at once. */
  const readUnlessYounger = async (thanMs: number): Promise<void> => {
    if (age() <= thanMs || performance.now() - failedAt < times.lookAgainAfterMs) return
    await within(times.waitMs, (reading ??= read()), () => undefined)
  }

  const find = (given: Uint8Array): Known | undefined =>
    findAmong([...configured, ...(age() > (isAway ? times.outlivesMs : times.goodForMs) ? [] : stored)], given)

  return async (authorization) => {
    const key = /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1]
    if (key === undefined) return { kind: 'unknown' }
    const given = sha256(key)
    // Those of the configuration work without the database.
    if (findAmong(configured, given) === undefined) await readUnlessYounger(times.rereadAfterMs)
    let known = find(given)
    if (known === undefined) {
      await readUnlessYounger(times.lookAgainAfterMs)
      known = find(given)
    }
    if (known === undefined) return age() > times.rereadAfterMs ? { kind: 'unavailable' } : { kind: 'unknown' }
    const { caller, expiresAt } = known
    // One that was revoked is not read.
    return stateOfKey({ expiresAt }, deps.clock.now()) === 'expired' ? { kind: 'expired' } : { kind: 'known', caller }
  }
}
