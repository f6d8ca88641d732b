// Gives a company the access token of a connection: the one that is there, or one that a refresh brings. The domain
// decides; the store lets one process at a time refresh a connection. What a refresh has brought is stored before it is
// answered, for as long as the process lives.
import { setTimeout as sleep } from 'node:timers/promises'
import { DateTime, type Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import { isStillOfUse, nextAccessStep, REFRESH_RESTS } from '../domain/access-token.ts'
import { type ErrorCode, errorTable, PermanentError, TransientError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Tokens } from '../provider/port.ts'
import type { Secret } from '../secret.ts'
import type { AccessState, AccessTokens, Reader, RefreshStart } from '../store/access-tokens-port.ts'
import type { Exchanges, ProviderHealth, Quarantine } from '../store/port.ts'
import type { GuardedProvider } from './circuit-breaker.ts'
import { persist } from './persist.ts'

export type AccessAnswer =
  | { readonly kind: 'token'; readonly token: Secret; readonly endsAt: DateTime; readonly isRefreshed: boolean }
  | { readonly kind: 'missing' }
  /** The consent has no access token now; `status` is the consent's. */
  | { readonly kind: 'refused'; readonly status: string; readonly detail: string }
  /** The provider rejects every refresh token of the connection. */
  | { readonly kind: 'rejected'; readonly detail: string }
  | { readonly kind: 'unavailable'; readonly retryAfterMs: number; readonly detail: string }

/** What became of a request, for the metric. */
export type AccessOutcome =
  | 'cached'
  | 'refreshed'
  | 'refused'
  | 'rejected'
  | 'in-doubt'
  | 'not-processed'
  | 'circuit-open'
  | 'put-off'

export interface GiveAccessTokenDeps {
  readonly store: AccessTokens &
    Pick<Exchanges, 'offerToken' | 'rejectCandidate'> &
    Pick<ProviderHealth, 'getHealth'> &
    Quarantine
  readonly provider: Pick<GuardedProvider, 'refresh'>
  readonly clock: Clock
  readonly log: Log
  readonly record: (outcome: AccessOutcome) => void
  /** How long nobody else refreshes the connection or sends a code of it: longer than two calls to the provider. */
  readonly lease: Duration
  /** How long a request waits for another one that refreshes the same connection. */
  readonly waitsFor: Duration
  /** Aborted when the process must end: then an answer that cannot be stored is given up. */
  readonly signal: AbortSignal
}

const LOOKS_EVERY_MS = 200
/** How soon to ask again while somebody else is at it. */
const BUSY_MS = 2_000
/** What stands for a moment: what was decided from has changed meanwhile. */
const AT_ONCE_MS = 1_000

export type GiveAccessToken = (consentId: string, reader: Reader) => Promise<AccessAnswer>

export const giveAccessToken =
  (deps: GiveAccessTokenDeps): GiveAccessToken =>
  async (consentId, reader) => {
    const { store, clock, record, waitsFor, lease } = deps
    const deadline = performance.now() + waitsFor.toMillis()
    for (;;) {
      const now = clock.now()
      const state = await store.readAccess(consentId, reader, now)
      if (state === undefined) return { kind: 'missing' }
      const step = nextAccessStep(state, now)
      switch (step.do) {
        case 'answer':
          return show(deps, consentId, state, reader)
        case 'refuse':
          record('refused')
          return { kind: 'refused', status: state.consent.status, detail: step.reason }
        case 'reject':
          record('rejected')
          return rejected(state.inDoubtSince)
        case 'rest':
          return putOff(deps, consentId, state, reader, {
            forMs: step.until.diff(now).toMillis(),
            detail: step.why === 'first-rejection' ? FIRST_REJECTION : whyNoAnswer(state),
          })
        case 'wait': {
          if (performance.now() < deadline && !deps.signal.aborted) {
            await sleep(LOOKS_EVERY_MS)
            continue
          }
          return putOff(deps, consentId, state, reader, { forMs: BUSY_MS, detail: isAtIt[step.for] })
        }
        case 'refresh': {
          const start = await begin(deps, consentId, reader, now)
          if (start === 'unreadable') {
            record('refused')
            return { kind: 'refused', status: 'quarantined', detail: errorTable['decryption-failed'].message }
          }
          if (start !== undefined) return refresh({ ...deps, consentId, reader }, start)
          // The state has changed since it was read, and says by now what to do.
          if (performance.now() >= deadline + lease.toMillis())
            return unavailable(AT_ONCE_MS, 'repeat the same request')
        }
      }
    }
  }

const unavailable = (retryAfterMs: number, detail: string): AccessAnswer => ({
  kind: 'unavailable',
  retryAfterMs: Math.max(retryAfterMs, AT_ONCE_MS),
  detail,
})

const doubtText = (since: DateTime | undefined): string =>
  since === undefined
    ? ''
    : `; a refresh of ${since.toUTC().toISO()} has no known outcome: the token that it brought may be lost`

const rejected = (inDoubtSince: DateTime | undefined): AccessAnswer => ({
  kind: 'rejected',
  detail:
    'the provider rejects every refresh token of this connection: import the newest one, or let the user approve ' +
    `again${doubtText(inDoubtSince)}`,
})

const FIRST_REJECTION =
  'the provider refused the refresh token once, which may be its own trouble: it is tried once more then'

const isAtIt = {
  code: 'a code of this consent is being exchanged: repeat the same request',
  refresh: 'another request is refreshing it: repeat the same request',
} as const

const whyNoAnswer = ({ rests }: AccessState): string => errorTable[rests?.code ?? 'provider-failed'].message

/** The token that is about to end is better than none. */
const putOff = async (
  deps: GiveAccessTokenDeps,
  consentId: string,
  state: AccessState,
  reader: Reader,
  { forMs, detail }: { readonly forMs: number; readonly detail: string },
): Promise<AccessAnswer> => {
  const left = await showWhatIsLeft(deps, consentId, state, reader)
  if (left !== undefined) return left
  deps.record('put-off')
  return unavailable(forMs, `${detail}${doubtText(state.inDoubtSince)}`)
}

/** The event that names the reader is committed before the token is shown. */
const show = async (
  { store, clock, record }: GiveAccessTokenDeps,
  consentId: string,
  { cached, isNoted }: AccessState,
  reader: Reader,
): Promise<AccessAnswer> => {
  if (cached === undefined) throw new Error('no access token to show')
  if (!isNoted) await store.noteShown(consentId, reader, clock.now())
  record('cached')
  return { kind: 'token', token: cached.token, endsAt: cached.endsAt, isRefreshed: false }
}

const showWhatIsLeft = async (
  deps: GiveAccessTokenDeps,
  consentId: string,
  state: AccessState,
  reader: Reader,
): Promise<AccessAnswer | undefined> =>
  isStillOfUse(state.cached, deps.clock.now()) ? show(deps, consentId, state, reader) : undefined

const begin = async (
  { store, clock, lease }: GiveAccessTokenDeps,
  consentId: string,
  reader: Reader,
  now: DateTime,
): Promise<RefreshStart | 'unreadable' | undefined> => {
  try {
    return await store.beginRefresh(consentId, reader, now, lease)
  } catch (error) {
    if (!(error instanceof PermanentError) || error.code !== 'decryption-failed') throw error
    await store.quarantineConsent(consentId, clock.now(), error.message)
    return 'unreadable'
  }
}

interface Working extends GiveAccessTokenDeps {
  readonly consentId: string
  readonly reader: Reader
}

/**
 * One refresh with each token in turn, until an answer is not that the token is refused. A token that is none at all
 * may be answered with `invalid_client` (measured): then the other one tells whether it is our client.
 */
const refresh = async (working: Working, start: RefreshStart): Promise<AccessAnswer> => {
  const { provider, clock, consentId, record } = working
  const refused: RefreshStart['tokens'][number][] = []
  let blamesClient = false
  for (const used of start.tokens) {
    // An access token lives from when it was asked for, at the latest.
    const askedAt = clock.now()
    const answer = await provider.refresh(consentId, used.token)
    if (answer.kind === 'tokens') {
      const { credentialsId } = answer.tokens
      const isOurs = credentialsId === undefined || credentialsId === start.state.consent.credentialsId
      if (isOurs || used.place === 'current')
        return keepRefreshed(working, start, { used, refused, tokens: answer.tokens, askedAt })
      await giveAway(working, used, answer.tokens)
    } else if (answer.kind === 'in-doubt') {
      record('in-doubt')
      return failed(working, start, { code: answer.code, until: askedAt.plus(REFRESH_RESTS), mayHaveEnded: true })
    } else if (answer.kind === 'circuit-open') {
      record('circuit-open')
      return failed(working, start, { code: answer.code, until: answer.until, mayHaveEnded: false })
    } else if (answer.kind === 'not-processed' && (answer.code !== 'client-rejected' || used === start.tokens.at(-1))) {
      record('not-processed')
      const until = askedAt.plus(answer.retryAfterMs ?? REFRESH_RESTS.toMillis())
      return failed(working, start, { code: answer.code, until, mayHaveEnded: false })
    } else if (answer.kind === 'not-processed') blamesClient = true
    refused.push(used)
  }
  return reject(working, start, blamesClient)
}

const keepRefreshed = async (
  { store: into, clock, consentId, reader, record, signal }: Working,
  { callNo }: RefreshStart,
  {
    used,
    refused,
    tokens,
    askedAt,
  }: {
    readonly used: RefreshStart['tokens'][number]
    readonly refused: RefreshStart['tokens']
    readonly tokens: Tokens
    readonly askedAt: DateTime
  },
): Promise<AccessAnswer> => {
  const { accessToken, refreshToken, expiresInSeconds } = tokens
  const endsAt = askedAt.plus({ seconds: expiresInSeconds })
  await keepTrying(
    async () =>
      into.storeRefreshed(
        { consentId, callNo, used, refused, refreshToken, accessToken, endsAt, now: clock.now() },
        reader,
      ),
    signal,
  )
  record('refreshed')
  return { kind: 'token', token: accessToken, endsAt, isRefreshed: true }
}

/**
 * A candidate turned out to be another connection's: the row of the import was shifted. Its new token goes to that
 * connection's consent, because the company's copy has just died (decision 0048).
 */
const giveAway = async (
  { store: into, clock, consentId, signal }: Working,
  used: RefreshStart['tokens'][number],
  { credentialsId, refreshToken }: Tokens,
): Promise<void> => {
  if (credentialsId === undefined) return
  await keepTrying(async () => into.offerToken(credentialsId, refreshToken ?? used.token, clock.now()), signal)
  await keepTrying(async () => into.rejectCandidate(consentId, used.version, clock.now()), signal)
}

const failed = async (
  working: Working,
  { callNo, state }: RefreshStart,
  { code, until, mayHaveEnded }: { readonly code: ErrorCode; readonly until: DateTime; readonly mayHaveEnded: boolean },
): Promise<AccessAnswer> => {
  const { store: into, clock, log, consentId, reader, signal } = working
  const now = clock.now()
  const doubtSince = state.inDoubtSince ?? (mayHaveEnded ? now : undefined)
  const retryAt = DateTime.max(until, now.plus(AT_ONCE_MS))
  log.warn({ consent_id: consentId, error_code: code, provider: 'truelayer' }, 'no access token came')
  await keepTrying(async () => into.failRefresh(consentId, callNo, { doubtSince, mayHaveEnded, retryAt, code }), signal)
  const left = await showWhatIsLeft(working, consentId, state, reader)
  return left ?? unavailable(retryAt.diff(now).toMillis(), `${errorTable[code].message}${doubtText(doubtSince)}`)
}

const reject = async (working: Working, start: RefreshStart, blamesClient: boolean): Promise<AccessAnswer> => {
  const { store: into, clock, consentId, record, signal } = working
  const { inDoubtSince } = start.state
  record('rejected')
  const { open } = await keepTrying(async () => into.getHealth(), signal)
  // While a circuit is open, no connection is blamed for what the circuit is about (decision 0049).
  const blames = open.length === 0 && !blamesClient
  const now = clock.now()
  const rejection = await keepTrying(
    async () => into.rejectRefresh(consentId, start, { now, blames, detail: `${REFUSED}${doubtText(inDoubtSince)}` }),
    signal,
  )
  if (rejection === 'says-nothing')
    return unavailable(AT_ONCE_MS, `${REFUSED}, and another one may be valid: a code is being settled, or a token came`)
  if (rejection.isOwn) return rejected(inDoubtSince)
  return unavailable(rejection.until.diff(now).toMillis(), `${FIRST_REJECTION}${doubtText(inDoubtSince)}`)
}

const REFUSED = 'the provider refused the refresh token'

/** An outage of the database is waited for as long as the process lives; a fault of our own is not. */
const FAULTS_TRIED = 20

const keepTrying = async <Result>(write: () => Promise<Result>, signal: AbortSignal): Promise<Result> => {
  let faults = 0
  return persist(async () => {
    try {
      return await write()
    } catch (error) {
      faults += error instanceof TransientError ? 0 : 1
      if (faults < FAULTS_TRIED) throw error
      throw new PermanentError('internal')
    }
  }, signal)
}
