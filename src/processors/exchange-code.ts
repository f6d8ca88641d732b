// Sends a code, at most once: the intent is committed before, and whatever leaves its fate open makes the authorisation
// `unknown`.
import { type DateTime, Duration } from 'luxon'
import { crashPoint } from '../crash-point.ts'
import { PermanentError } from '../errors.ts'
import type { TokenAnswer, Tokens } from '../provider/port.ts'
import type { Claim, ExchangeStart, TokenResponse } from '../store/port.ts'
import type { ExchangeDeps, AttemptWithConsent } from './exchange-context.ts'
import { notifyAgain, closeMismatched } from './conclude.ts'
import { done, type JobContext, type Outcome, skipped, snooze } from './outcome.ts'
import { persist } from './persist.ts'
import type { CircuitOpen } from './circuit-breaker.ts'
import { settleUnknown } from './settle-unknown.ts'
import { verifyRenewal } from './verify-renewal.ts'

/** TrueLayer's documentation: a code lives five minutes. Ten seconds are left for the call itself. */
export const CODE_TTL = Duration.fromObject({ minutes: 4, seconds: 50 })
const codeExpiresAt = ({ codeReceivedAt, issuedAt }: AttemptWithConsent['authorisation']): DateTime =>
  (codeReceivedAt ?? issuedAt).plus(CODE_TTL)
/** How soon a code is tried again that certainly was not processed, doubled each time. */
const REQUEUE_DELAY_SECONDS = 2
const MAX_REQUEUE_DELAY_SECONDS = 30

export const exchangeCode = async (
  deps: ExchangeDeps,
  claim: Claim,
  loaded: AttemptWithConsent,
  run: JobContext,
): Promise<Outcome> => {
  const { store, provider, clock } = deps
  const { authorisation, consent } = loaded
  if (clock.now() >= codeExpiresAt(authorisation)) {
    await store.closeUnrenewed(claim, 'refused', 'code-too-old', clock.now(), 'again')
    return notifyAgain(deps, consent.id, 'the code could not be sent while it lived: the user is asked again')
  }
  const start = await store.beginExchange(claim, clock.now())
  if (start.kind === 'superseded') {
    await store.closeUnrenewed(claim, 'superseded', 'fenced', clock.now(), 'no')
    return skipped('the cycle is closed: the code stays unsent')
  }
  if (start.kind === 'busy') {
    const until = clock.now().plus({ seconds: REQUEUE_DELAY_SECONDS })
    await store.scheduleAttempt(claim, until)
    return snooze(until, 'another code of this consent is being exchanged')
  }
  await crashPoint('exchanging-committed')
  const answer = await provider.exchangeCode(consent.id, {
    code: start.code,
    redirectUri: start.redirectUri,
    codeVerifier: start.verifier,
  })
  await crashPoint('code-answered')
  return settleAnswer(deps, claim, loaded, start, answer, run)
}

const settleAnswer = async (
  deps: ExchangeDeps,
  claim: Claim,
  loaded: AttemptWithConsent,
  start: Extract<ExchangeStart, { kind: 'started' }>,
  answer: TokenAnswer | CircuitOpen,
  run: JobContext,
): Promise<Outcome> => {
  const { store, clock } = deps
  switch (answer.kind) {
    case 'tokens':
      return storeTokens(
        deps,
        claim,
        loaded,
        { tokens: answer.tokens, tokenVersion: start.tokenVersion, answeredAt: clock.now() },
        run,
      )
    case 'not-processed':
    case 'circuit-open': {
      const until = requeueAt(clock.now(), loaded.authorisation, answer)
      // Unwritten, it would look like a code that may have been used.
      await persist(async () => store.requeueCode(claim, until, answer.code), run.signal)
      return snooze(until, `${answer.code}: the code was not processed and is sent again`)
    }
    case 'refused': {
      await store.closeUnrenewed(claim, 'refused', answer.code, clock.now(), 'again')
      return notifyAgain(deps, loaded.consent.id, `${answer.code}: the user is asked again`)
    }
    case 'unknown':
      await store.markUnknown(claim, clock.now(), 'exchange-unknown', clock.now())
      return settleUnknown(deps, claim, loaded, run)
  }
}

interface Received {
  readonly tokens: Tokens
  readonly tokenVersion: number
  readonly answeredAt: DateTime
}

const storeTokens = async (
  deps: ExchangeDeps,
  claim: Claim,
  loaded: AttemptWithConsent,
  received: Received,
  run: JobContext,
): Promise<Outcome> => {
  const { store, clock } = deps
  const { authorisation, consent } = loaded
  const { tokens } = received
  const ours =
    tokens.credentialsId === consent.credentialsId ||
    (tokens.credentialsId === undefined && (await isStoredToken(deps, consent.id, tokens, run.signal)))
  if (!ours && tokens.credentialsId !== undefined && authorisation.route === 'reauth') {
    // The user approved as somebody else: these tokens are another person's bank data, and are dropped here.
    return closeMismatched(deps, claim, loaded)
  }
  const response: TokenResponse = {
    accessToken: tokens.accessToken,
    refreshToken: tokens.refreshToken,
    answeredAt: received.answeredAt,
    tokenVersion: received.tokenVersion,
    owner: ours ? 'ours' : 'beside',
    credentialsId: tokens.credentialsId,
  }
  const stored = await persist(async () => store.storeTokenResponse(authorisation.id, response), run.signal)
  if (stored === 'already-renewed') return skipped('this authorisation had been renewed already')
  if (stored === 'token-changed') {
    await crashPoint('tokens-beside')
    await store.markUnknown(claim, clock.now(), 'token-changed', clock.now())
    return settleUnknown(deps, claim, loaded, run)
  }
  await crashPoint('tokens-stored')
  const fresh = await store.getAuthorisation(authorisation.id)
  return fresh?.authorisation.status === 'verifying'
    ? verifyRenewal(deps, claim, fresh, run)
    : done('the tokens were stored; the cycle had closed meanwhile')
}

/**
 * TrueLayer (support article): re-authentication answers with the identical refresh token. Names the owner where `sub`
 * is missing.
 */
const isStoredToken = async (
  { store }: ExchangeDeps,
  consentId: string,
  { refreshToken }: Tokens,
  signal: AbortSignal,
): Promise<boolean> => {
  if (refreshToken === undefined) return false
  try {
    const stored = await persist(async () => store.readRefreshToken(consentId), signal)
    return refreshToken.reveal() === stored.token.reveal()
  } catch (error) {
    // An unreadable cell names nobody; `/me` will.
    if (error instanceof PermanentError) return false
    throw error
  }
}

/** Never after the code has died: whatever the provider asked for, then the user is asked again without delay. */
const requeueAt = (
  now: DateTime,
  authorisation: AttemptWithConsent['authorisation'],
  answer: Extract<TokenAnswer, { kind: 'not-processed' }> | CircuitOpen,
): DateTime => {
  const own = Math.min(REQUEUE_DELAY_SECONDS * 2 ** authorisation.pollCount, MAX_REQUEUE_DELAY_SECONDS) * 1000
  const wished =
    answer.kind === 'circuit-open' ? answer.until : now.plus({ milliseconds: Math.max(own, answer.retryAfterMs ?? 0) })
  const dies = codeExpiresAt(authorisation)
  return wished < dies ? wished : dies
}
