// The circuit breaker around the provider. Many rejections at once may mean that our own credentials are at fault, not
// the users' connections: the circuit opens, one trial call a minute goes through, and no consent is blamed. For links
// one connection that worked lately tells the two apart (decision 0049).
import { type DateTime, Duration } from 'luxon'
import { challengeOf, newState, newVerifier } from '../crypto/hashing.ts'
import type { Clock } from '../clock.ts'
import { crashPoint } from '../crash-point.ts'
import { traitsOf } from '../domain/routes.ts'
import type { ErrorCode } from '../errors.ts'
import type { Log } from '../log.ts'
import type { CodeExchange, LinkAnswer, LinkRequest, MeAnswer, Provider, TokenAnswer } from '../provider/port.ts'
import type { Secret } from '../secret.ts'
import type { CircuitName, Health, OpenCircuit, ProviderHealth } from '../store/port.ts'

export const FAILURE_WINDOW = Duration.fromObject({ minutes: 5 })
export const TRIAL_EVERY = Duration.fromObject({ minutes: 1 })
/** A connection whose link was made this long ago, or later, tells whether our calls are still accepted. */
const CANARY_WITHIN = Duration.fromObject({ days: 1 })
/** How soon a job checks again whether a circuit is open, after the database could not tell. */
const UNREAD_DELAY = Duration.fromObject({ seconds: 2 })
/**
 * That no circuit is open and nothing was rejected is believed for so long, so that not every call asks. A circuit that
 * another process opens lets the calls of this time through, and a success in it clears nothing that was counted in it.
 */
const WELL_FOR_MS = 1_000
const FAILURE_THRESHOLDS: Record<CircuitName, number> = {
  /**
   * `invalid_client` names our own configuration: three different connections are enough (a single one may just have a
   * garbage token).
   */
  'client-rejected': 3,
  /** An invalid token gets a 401 on a link, too: only many at once, with no success in between, may be our fault. */
  'link-rejected': 10,
}

export interface CircuitOpen {
  readonly kind: 'circuit-open'
  readonly until: DateTime
  /** `database-unavailable`: whether a circuit is open could not be read. */
  readonly code: Extract<ErrorCode, 'provider-circuit-open' | 'database-unavailable'>
}

export interface GuardedLinkRequest extends LinkRequest {
  /** Tried in turn after `refreshToken`, each only if the answer before it rejected the token. */
  readonly otherTokens?: readonly Secret[] | undefined
}

export type GuardedLinkAnswer =
  | Exclude<LinkAnswer, { kind: 'link' }>
  /** `rejectedTokens`: how many were rejected before this link; undefined if the link was made without a call. */
  | (Extract<LinkAnswer, { kind: 'link' }> & { readonly rejectedTokens?: number | undefined })

export interface GuardedProvider {
  /** `connection` is our consent's id: failures are counted per connection, however many tokens it has. */
  makeLink(connection: string, request: GuardedLinkRequest): Promise<GuardedLinkAnswer | CircuitOpen>
  exchangeCode(connection: string, request: CodeExchange): Promise<TokenAnswer | CircuitOpen>
  refresh(connection: string, refreshToken: Secret): Promise<TokenAnswer | CircuitOpen>
  readMe(accessToken: Secret): Promise<MeAnswer>
}

const circuitOf = (health: Health, code: CircuitName): OpenCircuit | undefined =>
  health.open.find((circuit) => circuit.code === code)

/** What an answer proves about our own credentials: rejected, accepted, or nothing. */
type Verdict = 'failure' | 'success' | 'neither'

export const circuitBreaker = (deps: {
  provider: Provider
  store: ProviderHealth
  clock: Clock
  log: Log
}): GuardedProvider => {
  const { provider, store, clock, log } = deps

  const openUntil = (circuit: OpenCircuit): CircuitOpen => {
    const until = circuit.trialAt > clock.now() ? circuit.trialAt : clock.now().plus(TRIAL_EVERY)
    return { kind: 'circuit-open', until, code: 'provider-circuit-open' }
  }
  /** Counted before and after each failure is written: what was read before, or meanwhile, may not know of it. */
  let failures = 0
  let well: { readonly health: Health; readonly asOf: number; readonly until: number } | undefined
  const readHealth = async (): Promise<Health> => {
    if (well?.asOf === failures && performance.now() < well.until) return well.health
    const asOf = failures
    const health = await store.getHealth()
    const isWell = health.open.length === 0 && health.rejected.length === 0
    well = isWell ? { health, asOf, until: performance.now() + WELL_FOR_MS } : undefined
    return health
  }
  const findOpenCircuit = async (code: CircuitName): Promise<OpenCircuit | undefined> =>
    circuitOf(await store.getHealth(), code)
  const isTrial = async (code: CircuitName, connection?: string): Promise<boolean> =>
    store.takeTrial(code, clock.now(), TRIAL_EVERY, connection)

  /** Writes only if there was something to forget when the call was made, which is almost never. */
  const close = async (code: CircuitName, before?: Health): Promise<void> => {
    if (before !== undefined && circuitOf(before, code) === undefined && !before.rejected.includes(code)) return
    if (!(await store.closeCircuit(code))) return
    log.info({ provider: 'truelayer', circuit: code }, 'the provider accepts our calls again')
  }

  /** Returns whether this very answer has opened the circuit. */
  const note = async (code: CircuitName, connection: string, verdict: Verdict, before?: Health): Promise<boolean> => {
    if (verdict === 'success') await close(code, before)
    if (verdict !== 'failure') return false
    failures += 1
    const now = clock.now()
    const opened = await store.countFailure({
      code,
      threshold: FAILURE_THRESHOLDS[code],
      connection,
      now,
      since: now.minus(FAILURE_WINDOW),
      trialEvery: TRIAL_EVERY,
    })
    failures += 1
    return opened
  }

  const tellOpen = (code: CircuitName): void =>
    log.error(
      { alert: 'provider-circuit-open', error_code: code },
      'the provider rejects many connections at once: the circuit is open, one trial call a minute goes through',
    )

  // The note is not essential: a database that is unavailable for a moment must not cost the answer in hand, whose
  // tokens the provider does not give twice.
  const noteIfPossible: typeof note = async (code, connection, verdict, before) => {
    try {
      await crashPoint('answer-unnoted')
      return await note(code, connection, verdict, before)
    } catch (error) {
      log.warn(
        { provider: 'truelayer', error_code: code, err: error },
        'what an answer says of the provider could not be noted',
      )
      return false
    }
  }

  // The intent to send the code is committed by now: a code that was not sent because the database failed must be told
  // apart from a code that may have been sent.
  const tokenCircuit = async (): Promise<CircuitOpen | Health> => {
    try {
      const health = await readHealth()
      const circuit = circuitOf(health, 'client-rejected')
      return circuit === undefined || (await isTrial('client-rejected')) ? health : openUntil(circuit)
    } catch (error) {
      log.warn({ provider: 'truelayer', err: error }, 'whether a circuit is open could not be read: nothing was sent')
      return { kind: 'circuit-open', until: clock.now().plus(UNREAD_DELAY), code: 'database-unavailable' }
    }
  }

  // A code in hand is sent even while links are refused, because it is valid for five minutes only.
  const askForTokens = async (
    connection: string,
    call: () => Promise<TokenAnswer>,
  ): Promise<TokenAnswer | CircuitOpen> => {
    const health = await tokenCircuit()
    if ('kind' in health) return health
    const answer = await call()
    if (await noteIfPossible('client-rejected', connection, verdictOnClient(answer), health))
      tellOpen('client-rejected')
    return answer
  }

  /**
   * A call that makes a link takes no client secret, so a link proves nothing about our secret. While our secret is
   * rejected, no user is sent to the bank for a code that could not be exchanged, and the trial call before a link
   * checks the secret itself.
   */
  const askForLink = async (
    connection: string,
    request: GuardedLinkRequest,
  ): Promise<GuardedLinkAnswer | CircuitOpen> => {
    const health = await readHealth()
    const clientCircuit = circuitOf(health, 'client-rejected')
    if (clientCircuit !== undefined) {
      if (!(await isTrial('client-rejected')) || !(await provider.checkCredentials()).ok)
        return openUntil(clientCircuit)
      await close('client-rejected')
    }
    const linkCircuit = circuitOf(health, 'link-rejected')
    if (linkCircuit !== undefined && !(await isTrial('link-rejected', connection))) return openUntil(linkCircuit)
    const answer = await tryTokens(request)
    if (answer.kind === 'rejected' && answer.blames === 'client') {
      if (await noteIfPossible('client-rejected', connection, 'failure')) tellOpen('client-rejected')
      return { kind: 'unavailable', code: 'client-rejected', retryAfterMs: undefined }
    }
    const verdict = verdictOnLinks(answer)
    const opened = await noteIfPossible('link-rejected', connection, verdict, health)
    // A trial call asks it again: whoever opened the circuit may have died before, or the provider was unavailable.
    const asksCanary = opened || linkCircuit !== undefined
    if (verdict !== 'failure' || (asksCanary && (await isTheirs()))) return answer
    if (opened) tellOpen('link-rejected')
    // While the circuit is open, by this answer or another worker's, no connection is blamed for what it is about.
    const open = await findOpenCircuit('link-rejected')
    return open === undefined ? answer : openUntil(open)
  }

  /** The same request with one token after the other, until an answer is not that the token is rejected. */
  const tryTokens = async ({ otherTokens = [], ...request }: GuardedLinkRequest): Promise<GuardedLinkAnswer> => {
    let answer = await provider.makeLink(request)
    let rejectedTokens = 0
    for (const refreshToken of otherTokens) {
      if (answer.kind !== 'rejected' || answer.blames !== 'token') break
      rejectedTokens += 1
      answer = await provider.makeLink({ ...request, refreshToken })
    }
    return answer.kind === 'link' ? { ...answer, rejectedTokens } : answer
  }

  /**
   * Many connections were rejected at once, and the circuit is open. If our credentials are accepted, and a link is
   * made for a connection that had one within a day, then the rejections are about those connections: the circuit
   * closes. The link is dropped; nobody gets it. Without such a connection nothing is known, and the circuit stays
   * open.
   */
  const isTheirs = async (): Promise<boolean> => {
    const credentials = await provider.checkCredentials()
    if (!credentials.ok) {
      log.error({ provider: 'truelayer', detail: credentials.detail }, 'our credentials are not accepted')
      return false
    }
    const canary = await store.findCanary(clock.now().minus(CANARY_WITHIN))
    if (canary === undefined) return false
    const answer = await provider.makeLink({
      route: 'reauth',
      refreshToken: canary.token,
      redirectUri: canary.redirectUri,
      state: newState(),
      codeChallenge: challengeOf(newVerifier()),
      providerId: canary.providerId,
      scopes: canary.scopes,
    })
    log.info(
      { provider: 'truelayer', consent_id: canary.consentId, answer: answer.kind },
      'many connections were rejected at once: one that worked lately was asked for',
    )
    if (answer.kind === 'link') await close('link-rejected')
    // The next trial call asks for another one.
    if (verdictOnLinks(answer) === 'failure') await noteIfPossible('link-rejected', canary.consentId, 'failure')
    return answer.kind === 'link'
  }

  return {
    // An authorisation URL that is built here without a call proves nothing about the provider.
    makeLink: async (connection, request) =>
      traitsOf(request.route).linkCall === undefined ? provider.makeLink(request) : askForLink(connection, request),
    exchangeCode: async (connection, request) => askForTokens(connection, async () => provider.exchangeCode(request)),
    refresh: async (connection, refreshToken) => askForTokens(connection, async () => provider.refresh(refreshToken)),
    readMe: async (accessToken) => provider.readMe(accessToken),
  }
}

/** OAuth checks the client before the grant (RFC 6749 section 5.2): a refusal of the grant has accepted the client. */
const verdictOnClient = (answer: TokenAnswer): Verdict => {
  if (answer.kind === 'not-processed' && answer.code === 'client-rejected') return 'failure'
  return answer.kind === 'tokens' || answer.kind === 'refused' ? 'success' : 'neither'
}

const verdictOnLinks = (answer: LinkAnswer): Verdict => {
  if (answer.kind === 'rejected' && (answer.status === 401 || answer.blames === 'token')) return 'failure'
  return answer.kind === 'link' ? 'success' : 'neither'
}
