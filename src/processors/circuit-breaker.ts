// The circuit breaker around the provider. Many rejections at once mean that our own credentials are at fault, not the
// users' connections: the circuit opens, one trial call a minute goes through, and no consent is blamed.
import { type DateTime, Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import { crashPoint } from '../crash-point.ts'
import { traitsOf } from '../domain/routes.ts'
import type { ErrorCode } from '../errors.ts'
import type { Log } from '../log.ts'
import type { CodeExchange, LinkAnswer, LinkRequest, MeAnswer, Provider, TokenAnswer } from '../provider/port.ts'
import type { Secret } from '../secret.ts'
import type { OpenCircuit, CircuitName, ProviderHealth } from '../store/port.ts'

export const FAILURE_WINDOW = Duration.fromObject({ minutes: 5 })
export const TRIAL_EVERY = Duration.fromObject({ minutes: 1 })
/** How soon a job checks again whether a circuit is open, after the database could not tell. */
const UNREAD_DELAY = Duration.fromObject({ seconds: 2 })
const FAILURE_THRESHOLDS: Record<CircuitName, number> = {
  /**
   * `invalid_client` names our own configuration: three different connections are enough (a single one may just have a
   * garbage token).
   */
  'client-rejected': 3,
  /** An invalid token gets a 401 on a link, too: only many at once, with no success in between, are our fault. */
  'link-rejected': 10,
}

export interface CircuitOpen {
  readonly kind: 'circuit-open'
  readonly until: DateTime
  /** `database-unavailable`: whether a circuit is open could not be read. */
  readonly code: Extract<ErrorCode, 'provider-circuit-open' | 'database-unavailable'>
}

export interface GuardedProvider {
  /** `connection` is our consent's id: failures are counted per connection. */
  makeLink(connection: string, request: LinkRequest): Promise<LinkAnswer | CircuitOpen>
  exchangeCode(connection: string, request: CodeExchange): Promise<TokenAnswer | CircuitOpen>
  refresh(connection: string, refreshToken: Secret): Promise<TokenAnswer | CircuitOpen>
  readMe(accessToken: Secret): Promise<MeAnswer>
}

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
  const findOpenCircuit = async (code: CircuitName): Promise<OpenCircuit | undefined> =>
    (await store.getOpenCircuits()).find((circuit) => circuit.code === code)
  const isTrial = async (code: CircuitName): Promise<boolean> => store.takeTrial(code, clock.now(), TRIAL_EVERY)

  const close = async (code: CircuitName): Promise<void> => {
    if (!(await store.closeCircuit(code))) return
    log.info({ provider: 'truelayer', circuit: code }, 'the provider accepts our calls again')
  }

  const note = async (code: CircuitName, connection: string, verdict: Verdict): Promise<void> => {
    if (verdict === 'success') await close(code)
    if (verdict !== 'failure') return
    const now = clock.now()
    const opened = await store.countFailure({
      code,
      threshold: FAILURE_THRESHOLDS[code],
      connection,
      now,
      since: now.minus(FAILURE_WINDOW),
      trialEvery: TRIAL_EVERY,
    })
    if (!opened) return
    log.error(
      { alert: 'provider-circuit-open', error_code: code },
      'the provider rejects many connections at once: the circuit is open, one trial call a minute goes through',
    )
  }

  // The note is not essential: a database that is unavailable for a moment must not cost the answer in hand, whose
  // tokens the provider does not give twice.
  const noteIfPossible: typeof note = async (code, connection, verdict) => {
    try {
      await crashPoint('answer-unnoted')
      await note(code, connection, verdict)
    } catch (error) {
      log.warn(
        { provider: 'truelayer', error_code: code, err: error },
        'what an answer says of the provider could not be noted',
      )
    }
  }

  // The intent to send the code is committed by now: a code that was not sent because the database failed must be told
  // apart from a code that may have been sent.
  const tokenCircuit = async (): Promise<CircuitOpen | undefined> => {
    try {
      const circuit = await findOpenCircuit('client-rejected')
      return circuit === undefined || (await isTrial('client-rejected')) ? undefined : openUntil(circuit)
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
    const open = await tokenCircuit()
    if (open !== undefined) return open
    const answer = await call()
    await noteIfPossible('client-rejected', connection, verdictOnClient(answer))
    return answer
  }

  /**
   * A call that makes a link takes no client secret, so a link proves nothing about our secret. While our secret is
   * rejected, no user is sent to the bank for a code that could not be exchanged, and the trial call before a link
   * checks the secret itself.
   */
  const askForLink = async (connection: string, call: () => Promise<LinkAnswer>): Promise<LinkAnswer | CircuitOpen> => {
    const circuits = await store.getOpenCircuits()
    const clientCircuit = circuits.find(({ code }) => code === 'client-rejected')
    if (clientCircuit !== undefined) {
      if (!(await isTrial('client-rejected')) || !(await provider.checkCredentials()).ok)
        return openUntil(clientCircuit)
      await close('client-rejected')
    }
    const linkCircuit = circuits.find(({ code }) => code === 'link-rejected')
    if (linkCircuit !== undefined && !(await isTrial('link-rejected'))) return openUntil(linkCircuit)
    const answer = await call()
    await noteIfPossible('link-rejected', connection, verdictOnLinks(answer))
    return answer
  }

  return {
    // An authorisation URL that is built here without a call proves nothing about the provider.
    makeLink: async (connection, request) =>
      traitsOf(request.route).linkCall === undefined
        ? provider.makeLink(request)
        : askForLink(connection, async () => provider.makeLink(request)),
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
  if (answer.kind === 'rejected' && answer.status === 401) return 'failure'
  return answer.kind === 'link' ? 'success' : 'neither'
}
