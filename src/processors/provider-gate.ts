// Every call to the provider goes through here: many rejections at once mean that we are at fault, not the connections. Then calls
// are held, one a minute probes, and no consent is blamed.
import { type DateTime, Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import type { ErrorCode } from '../errors.ts'
import type { Log } from '../log.ts'
import type { LinkAnswer, LinkRequest, MeAnswer, Provider, TokenAnswer } from '../provider/port.ts'
import type { Secret } from '../secret.ts'
import type { ProviderHealth } from '../store/port.ts'

export const STRIKE_WINDOW = Duration.fromObject({ minutes: 5 })
export const PROBE_EVERY = Duration.fromObject({ minutes: 1 })
/** `invalid_client` names our own configuration: three different connections are enough (one alone can be a garbage token). */
const CLIENT_STRIKES = 3
/** A 401 on a link is what a dead token gets, too: only many at once, with no success between, are our fault. */
const LINK_STRIKES = 10

export interface Held {
  readonly kind: 'held'
  readonly until: DateTime
  readonly code: Extract<ErrorCode, 'provider-paused'>
}

export interface ProviderGate {
  /** `connection` is our consent's id: strikes are counted per connection. */
  makeLink(connection: string, request: LinkRequest): Promise<LinkAnswer | Held>
  exchangeCode(connection: string, request: Parameters<Provider['exchangeCode']>[0]): Promise<TokenAnswer | Held>
  refresh(connection: string, refreshToken: Secret): Promise<TokenAnswer | Held>
  readMe(accessToken: Secret): Promise<MeAnswer>
}

interface Judgement {
  readonly strike?: { readonly code: ErrorCode; readonly threshold: number }
  readonly success: boolean
}

export const providerGate = (deps: { provider: Provider; store: ProviderHealth; clock: Clock; log: Log }): ProviderGate => {
  const { provider, store, clock, log } = deps

  const guarded = async <Answer>(connection: string, call: () => Promise<Answer>, judge: (answer: Answer) => Judgement): Promise<Answer | Held> => {
    const hold = await store.getHold()
    if (hold !== undefined && !(await store.takeProbe(clock.now(), PROBE_EVERY))) {
      const until = hold.probeAt > clock.now() ? hold.probeAt : clock.now().plus(PROBE_EVERY)
      return { kind: 'held', until, code: 'provider-paused' }
    }
    const answer = await call()
    const { strike, success } = judge(answer)
    if (success && (await store.clear())) log.info({ provider: 'truelayer' }, 'the provider accepts our calls again')
    if (strike !== undefined) {
      const now = clock.now()
      const opened = await store.strike({ ...strike, connection, now, since: now.minus(STRIKE_WINDOW), probeEvery: PROBE_EVERY })
      if (opened) log.error({ alert: 'provider-paused', error_code: strike.code }, 'the provider rejects many connections at once: calls are on hold, one a minute probes')
    }
    return answer
  }

  const judgeTokens = (answer: TokenAnswer): Judgement =>
    answer.kind === 'not-processed' && answer.code === 'client-rejected'
      ? { strike: { code: 'client-rejected', threshold: CLIENT_STRIKES }, success: false }
      : { success: answer.kind === 'tokens' }

  const judgeLink = (answer: LinkAnswer): Judgement =>
    answer.kind === 'rejected' && answer.status === 401
      ? { strike: { code: 'link-rejected', threshold: LINK_STRIKES }, success: false }
      : { success: answer.kind === 'link' }

  return {
    // The full authentication link is built here and asks nobody: it proves nothing about the provider either.
    makeLink: async (connection, request) =>
      request.route === 'full' ? provider.makeLink(request) : guarded(connection, async () => provider.makeLink(request), judgeLink),
    exchangeCode: async (connection, request) => guarded(connection, async () => provider.exchangeCode(request), judgeTokens),
    refresh: async (connection, refreshToken) => guarded(connection, async () => provider.refresh(refreshToken), judgeTokens),
    readMe: async (accessToken) => provider.readMe(accessToken),
  }
}
