// Every call to the provider goes through here: many rejections at once mean that we are at fault, not the connections.
// Then calls are held, one a minute probes, and no consent is blamed.
import { type DateTime, Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import { crashPoint } from '../crash-point.ts'
import type { ErrorCode } from '../errors.ts'
import type { Log } from '../log.ts'
import type { LinkAnswer, LinkRequest, MeAnswer, Provider, TokenAnswer } from '../provider/port.ts'
import type { Secret } from '../secret.ts'
import type { Hold, HoldCode, ProviderHealth } from '../store/port.ts'

export const STRIKE_WINDOW = Duration.fromObject({ minutes: 5 })
export const PROBE_EVERY = Duration.fromObject({ minutes: 1 })
/** How soon it is asked again whether calls are on hold, after the database could not tell. */
const UNREAD_RESTS = Duration.fromObject({ seconds: 2 })
const STRIKES: Record<HoldCode, number> = {
  /**
   * `invalid_client` names our own configuration: three different connections are enough (one alone can be a garbage
   * token).
   */
  'client-rejected': 3,
  /** A 401 on a link is what a dead token gets, too: only many at once, with no success between, are our fault. */
  'link-rejected': 10,
}

export interface Held {
  readonly kind: 'held'
  readonly until: DateTime
  /** `database-unavailable`: whether calls are on hold could not be read. */
  readonly code: Extract<ErrorCode, 'provider-paused' | 'database-unavailable'>
}

export interface ProviderGate {
  /** `connection` is our consent's id: strikes are counted per connection. */
  makeLink(connection: string, request: LinkRequest): Promise<LinkAnswer | Held>
  exchangeCode(connection: string, request: Parameters<Provider['exchangeCode']>[0]): Promise<TokenAnswer | Held>
  refresh(connection: string, refreshToken: Secret): Promise<TokenAnswer | Held>
  readMe(accessToken: Secret): Promise<MeAnswer>
}

/** What an answer says about us: rejected, accepted, or nothing. */
type Verdict = 'strike' | 'success' | 'neither'

export const providerGate = (deps: {
  provider: Provider
  store: ProviderHealth
  clock: Clock
  log: Log
}): ProviderGate => {
  const { provider, store, clock, log } = deps

  const heldBy = (hold: Hold): Held => {
    const until = hold.probeAt > clock.now() ? hold.probeAt : clock.now().plus(PROBE_EVERY)
    return { kind: 'held', until, code: 'provider-paused' }
  }
  const findHold = async (code: HoldCode): Promise<Hold | undefined> =>
    (await store.getHolds()).find((hold) => hold.code === code)
  const isProbe = async (code: HoldCode): Promise<boolean> => {
    const taken = await store.takeProbe(code, clock.now(), PROBE_EVERY)
    if (taken) await crashPoint('probe-taken')
    return taken
  }

  const lift = async (code: HoldCode): Promise<void> => {
    if (!(await store.clear(code))) return
    log.info({ provider: 'truelayer', held_for: code }, 'the provider accepts our calls again')
    await crashPoint('hold-lifted')
  }

  const note = async (code: HoldCode, connection: string, verdict: Verdict): Promise<void> => {
    if (verdict === 'success') await lift(code)
    if (verdict !== 'strike') return
    const now = clock.now()
    const opened = await store.strike({
      code,
      threshold: STRIKES[code],
      connection,
      now,
      since: now.minus(STRIKE_WINDOW),
      probeEvery: PROBE_EVERY,
    })
    if (!opened) return
    log.error(
      { alert: 'provider-paused', error_code: code },
      'the provider rejects many connections at once: calls are on hold, one a minute probes',
    )
    await crashPoint('hold-opened')
  }

  // Only a note: a database that is away for a moment must not cost the answer in hand, tokens that nobody gives us
  // twice.
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

  // That a code is being sent is committed by now: one that did not leave for want of a database must be told from one
  // that may have.
  const heldTokens = async (): Promise<Held | undefined> => {
    try {
      const hold = await findHold('client-rejected')
      return hold === undefined || (await isProbe('client-rejected')) ? undefined : heldBy(hold)
    } catch (error) {
      log.warn({ provider: 'truelayer', err: error }, 'whether calls are on hold could not be read: nothing was sent')
      return { kind: 'held', until: clock.now().plus(UNREAD_RESTS), code: 'database-unavailable' }
    }
  }

  // A code in hand is sent although links are refused: it lives five minutes.
  const askForTokens = async (connection: string, call: () => Promise<TokenAnswer>): Promise<TokenAnswer | Held> => {
    const held = await heldTokens()
    if (held !== undefined) return held
    const answer = await call()
    await noteIfPossible('client-rejected', connection, verdictOnClient(answer))
    return answer
  }

  /**
   * `/v1/reauthuri` takes no client secret, so a link proves nothing about ours: while ours is rejected nobody is sent
   * to the bank for a code that could not be exchanged, and a link's turn to probe asks about the secret itself.
   */
  const askForLink = async (connection: string, call: () => Promise<LinkAnswer>): Promise<LinkAnswer | Held> => {
    const holds = await store.getHolds()
    const clientHold = holds.find(({ code }) => code === 'client-rejected')
    if (clientHold !== undefined) {
      if (!(await isProbe('client-rejected')) || !(await provider.checkCredentials()).ok) return heldBy(clientHold)
      await crashPoint('secret-checked')
      await lift('client-rejected')
    }
    const linkHold = holds.find(({ code }) => code === 'link-rejected')
    if (linkHold !== undefined && !(await isProbe('link-rejected'))) return heldBy(linkHold)
    const answer = await call()
    await noteIfPossible('link-rejected', connection, verdictOnLinks(answer))
    return answer
  }

  return {
    // The full authentication link is built here and asks nobody: it proves nothing about the provider either.
    makeLink: async (connection, request) =>
      request.route === 'full'
        ? provider.makeLink(request)
        : askForLink(connection, async () => provider.makeLink(request)),
    exchangeCode: async (connection, request) => askForTokens(connection, async () => provider.exchangeCode(request)),
    refresh: async (connection, refreshToken) => askForTokens(connection, async () => provider.refresh(refreshToken)),
    readMe: async (accessToken) => provider.readMe(accessToken),
  }
}

/** OAuth looks at the client before the grant (RFC 6749 section 5.2): who refuses the grant has accepted the client. */
const verdictOnClient = (answer: TokenAnswer): Verdict => {
  if (answer.kind === 'not-processed' && answer.code === 'client-rejected') return 'strike'
  return answer.kind === 'tokens' || answer.kind === 'refused' ? 'success' : 'neither'
}

const verdictOnLinks = (answer: LinkAnswer): Verdict => {
  if (answer.kind === 'rejected' && answer.status === 401) return 'strike'
  return answer.kind === 'link' ? 'success' : 'neither'
}
