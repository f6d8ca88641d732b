// The exchange job: loads an attempt, asks the domain for the next step, carries the step out, and repeats this until
// the step is to wait or the attempt has ended. What is due follows from what is stored, never from the job.
import { type DateTime, Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import { nextExchangeStep } from '../domain/exchange.ts'
import type { AttemptFacts, ExchangeStep, Heard, RefreshBy, RefreshHeard, Tried } from '../domain/exchange-step.ts'
import type { Policy } from '../domain/policy.ts'
import { PermanentError } from '../errors.ts'
import type { TokenAnswer, Tokens } from '../provider/port.ts'
import type { Secret } from '../secret.ts'
import type { AccessTokens } from '../store/access-tokens-port.ts'
import type { Claim, Dispatching, Exchanges, Quarantine, RotatedToken } from '../store/port.ts'
import type { GuardedProvider } from './circuit-breaker.ts'
import type { Enqueue } from './enqueue.ts'
import { done, type JobContext, type Outcome, skipped, snooze } from './outcome.ts'
import { persist } from './persist.ts'
import { withClaim } from './with-claim.ts'

export interface AdvanceAttemptDeps {
  readonly store: Pick<Dispatching, 'claim' | 'release'> &
    Exchanges &
    Pick<AccessTokens, 'beginSettling' | 'keepAccessToken'> &
    Quarantine
  readonly provider: GuardedProvider
  readonly enqueue: Enqueue
  readonly clock: Clock
  readonly policy: Policy
  readonly lease: Duration
}

/**
 * More steps than any attempt needs: a decision that repeats itself must not keep a worker for ever. Tokens just
 * received are stored all the same.
 */
const MAX_STEPS = 20

export const advanceAttempt =
  (deps: AdvanceAttemptDeps) =>
  async (attemptId: string, run: JobContext): Promise<Outcome> =>
    withClaim(deps, { kind: 'authorisation', id: attemptId, run }, async (claim, claimed) => {
      const { store, clock, policy } = deps
      let facts = claimed
      const { consent } = facts
      try {
        let progress: Progress = { heard: undefined, tokens: undefined }
        for (let count = 0; count < MAX_STEPS || progress.heard?.from === 'exchange'; count += 1) {
          const step = nextExchangeStep(facts, { heard: progress.heard, now: clock.now(), policy, manual: run.manual })
          const result = await carryOut({ ...deps, claim, facts, run }, step, progress)
          if ('kind' in result) return result
          progress = result
          // Tokens just received are stored before anything else is read from a database that may be unavailable. An
          // answer of `/me` is judged by the facts for which it was read. Every other step has changed some facts.
          const isUnjudged = step.do === 'read-me' || progress.heard?.from === 'exchange'
          if (!isUnjudged) facts = progress.facts ?? (await store.getAttempt(claim)) ?? facts
        }
      } catch (error) {
        // The attempt's own date is set when the queue gives up the job; the consent is quarantined until an operator
        // has looked at it.
        if (error instanceof PermanentError && error.code === 'decryption-failed') {
          await store.quarantineConsent(consent.id, clock.now(), error.message)
        }
        throw error
      }
      throw new Error('an exchange decides without end')
    })

/** What this run has learnt so far and has not stored: the last answer, and the tokens that came with it. */
interface Progress {
  readonly heard: Heard | undefined
  readonly tokens: Received | undefined
  /** The attempt as the last write has left it, where that is known without reading it again. */
  readonly facts?: AttemptFacts | undefined
}

interface Received extends Tokens {
  readonly answeredAt: DateTime
  /** The version of the stored token when the code was sent. */
  readonly tokenVersion: number | undefined
  /** Of an exchange: see ExchangeStart. */
  readonly callNo?: number
}

interface Working extends AdvanceAttemptDeps {
  readonly claim: Claim
  readonly facts: AttemptFacts
  readonly run: JobContext
}

const NOTHING_HEARD: Progress = { heard: undefined, tokens: undefined }

const carryOut = async (working: Working, step: ExchangeStep, progress: Progress): Promise<Outcome | Progress> => {
  const { store, clock, claim, facts, run, enqueue } = working
  switch (step.do) {
    case 'nothing':
      await store.release(claim)
      return skipped(step.reason)
    case 'not-due':
      await store.release(claim)
      return snooze(step.until, step.reason)
    case 'wait':
      await store.scheduleAttempt(claim, step.until)
      return snooze(step.until, step.reason)
    case 'poll-again':
      await store.schedulePoll(claim, step.until, step.code)
      return snooze(step.until, step.reason)
    case 'await-date':
      await store.awaitDate(claim, step.until, step.code, clock.now())
      return snooze(step.until, step.reason)
    case 'requeue':
      // Without this write, the code would look like one that may have been used.
      await persist(async () => store.requeueCode(claim, step.until, step.code), run.signal)
      return snooze(step.until, step.reason)
    case 'close':
      await store.closeUnrenewed(claim, step.as, step.code, clock.now(), step.notify)
      if (step.notify) return notifyAgain(enqueue, facts.consent.id, step.reason)
      return facts.attempt.status === 'code_received' ? skipped(step.reason) : done(step.reason)
    case 'doubt': {
      const at = clock.now()
      await store.markInDoubt(claim, at, step.code, at)
      if (step.settle === 'now') return NOTHING_HEARD
      await store.scheduleAttempt(claim, at)
      return snooze(at, step.reason)
    }
    case 'exchange':
      return exchange(working)
    case 'store-tokens':
      return storeTokens(working, step.owner, progress)
    case 'refresh':
      // Never two refreshes of one connection: the company's is over within seconds, and may replace the token.
      if (!(await store.beginSettling(facts.consent.id))) return waitForRefresh(working)
      return refresh(working, step.by, progress)
    case 'read-me':
      return readMe(working, step.by, progress)
    case 'adopt': {
      const adopted = await store.adoptTokens(claim)
      if (!adopted) return { heard: { from: 'adopting' }, tokens: undefined }
      return { ...progress, facts: undefined }
    }
    case 'commit-renewed':
      return commit(working, step)
  }
}

/** The access token of a company that asks for it is being refreshed by another process. */
const REFRESH_TAKES = Duration.fromObject({ seconds: 2 })

const waitForRefresh = async ({ store, clock, claim }: Working): Promise<Outcome> => {
  const until = clock.now().plus(REFRESH_TAKES)
  await store.scheduleAttempt(claim, until)
  return snooze(until, 'the token of this connection is being refreshed for the company: its outcome comes first')
}

/** After a code that ended without a renewal, the consent is enqueued at once: the user did their part. */
const notifyAgain = async (enqueue: Enqueue, consentId: string, what: string): Promise<Outcome> => {
  await enqueue('consent', consentId)
  return done(what)
}

/** Sends the code, at most once: the intent is committed first, so that after a crash the status is `exchanging`. */
const exchange = async (working: Working): Promise<Outcome | Progress> => {
  const { store, provider, clock, claim, facts, run } = working
  const { consent } = facts
  const start = await store.beginExchange(claim, clock.now())
  if (start === 'refreshing') return waitForRefresh(working)
  // The attempt is no longer as it was read: the domain decides again.
  if (start === undefined) return NOTHING_HEARD
  const answer = await provider.exchangeCode(consent.id, {
    route: facts.attempt.route,
    code: start.code,
    redirectUri: start.redirectUri,
    codeVerifier: start.verifier,
  })
  if (answer.kind !== 'tokens') return { heard: { from: 'exchange', answer }, tokens: undefined }
  const { tokens } = answer
  const { credentialsId } = tokens
  const answeredAt = clock.now()
  const isStoredToken = credentialsId === undefined && (await isStored(store, consent.id, tokens, run.signal))
  return {
    heard: { from: 'exchange', answer: { kind: 'tokens', credentialsId, isStoredToken } },
    tokens: { ...tokens, answeredAt, tokenVersion: start.tokenVersion, callNo: start.callNo },
  }
}

/**
 * TrueLayer (support article): re-authentication answers with the identical refresh token, so that token names the
 * owner where `sub` is missing.
 */
const isStored = async (
  store: Exchanges,
  consentId: string,
  { refreshToken }: Tokens,
  signal: AbortSignal,
): Promise<boolean> => {
  if (refreshToken === undefined) return false
  try {
    const stored = await persist(async () => store.readRefreshToken(consentId), signal)
    return refreshToken.reveal() === stored.token.reveal()
  } catch (error) {
    // An encrypted column that does not open names no owner; `/me` will.
    if (error instanceof PermanentError) return false
    throw error
  }
}

const storeTokens = async (
  { store, claim, run, facts }: Working,
  owner: 'ours' | 'pending',
  { tokens }: Progress,
): Promise<Outcome | Progress> => {
  if (tokens?.tokenVersion === undefined) throw new Error('no tokens in hand')
  const { accessToken, refreshToken, credentialsId, answeredAt, tokenVersion } = tokens
  const response = { accessToken, refreshToken, credentialsId, answeredAt, tokenVersion, owner }
  const stored = await persist(async () => store.storeTokenResponse(claim, response), run.signal)
  // A company that asks for access tokens gets this one, or its refresh would end it while `/me` is polled with it. A
  // failure costs one refresh more, and not the exchange.
  const { callNo = 0, expiresInSeconds } = tokens
  if (stored.kind === 'stored' && owner === 'ours' && callNo > 0) {
    const endsAt = answeredAt.plus({ seconds: expiresInSeconds })
    await store.keepAccessToken(facts.consent.id, { callNo, accessToken, endsAt }).catch(() => undefined)
  }
  switch (stored.kind) {
    case 'already-renewed':
      return skipped('this authorisation had been renewed already')
    case 'cycle-closed':
      return done('the tokens were stored; the cycle had closed meanwhile')
    case 'token-changed':
      return { heard: { from: 'storing' }, tokens: undefined }
    case 'stored':
      return { heard: undefined, tokens, facts: stored.facts }
  }
}

/** One refresh; any token that it brings is stored before anything else is done. */
const refresh = async (working: Working, by: RefreshBy, before: Progress): Promise<Progress> => {
  const { store, provider, clock, facts, run } = working
  const { attempt, consent } = facts
  const source = await refreshTokenOf(store, facts, by)
  const earlier = before.heard?.from === 'refresh' ? before.heard.tried : []
  const version = source === undefined ? storedVersion(consent, by) : source.version
  // The answer holds for this moment: the process may sleep before the answer is judged.
  const at = clock.now()
  const heard = (answer: RefreshHeard): Progress => ({
    heard: { from: 'refresh', by, version, at, answer, tried: [...earlier, { by, version }] },
    tokens: undefined,
  })
  if (source === undefined) {
    // The pending token was adopted or cleared meanwhile: the domain decides again. A stored token is missing where it
    // does not decrypt and the other one does, or where a candidate has become the current one: the other one is next.
    return by === 'pending' ? NOTHING_HEARD : heard({ kind: 'refused' })
  }
  const answer = await provider.refresh(consent.id, source.token)
  if (answer.kind === 'refused') return heard(answer)
  if (answer.kind !== 'tokens')
    return heard(answer.kind === 'not-processed' || answer.kind === 'circuit-open' ? unavailable(answer.code) : answer)
  if (by === 'candidate') return refreshedCandidate(working, { source, answer, at, earlier })
  const { refreshToken: token, credentialsId } = answer.tokens
  const rotated = { consentId: consent.id, authorisationId: attempt.id, version: source.version }
  const kept =
    token === undefined ||
    (await persist(
      async () => storeRotated(store, { ...rotated, token, now: clock.now(), used: source.token, credentialsId }),
      run.signal,
    ))
  if (!kept) return { heard: { from: 'rotating' }, tokens: undefined }
  // A refusal alone says nothing of a token: every refresh is refused once the consent has expired, and our date of
  // that may be wrong. Now the other token was accepted.
  const candidate = earlier.find((one) => one.by === 'candidate')
  if (candidate?.version !== undefined) await store.rejectCandidate(consent.id, candidate.version, clock.now())
  const tokens = { ...answer.tokens, answeredAt: at, tokenVersion: source.version }
  return { ...heard({ kind: 'tokens' }), tokens }
}

const storedVersion = ({ tokenVersion, candidate }: AttemptFacts['consent'], by: RefreshBy): number | undefined =>
  by === 'stored' ? tokenVersion : by === 'candidate' ? candidate?.version : undefined

/**
 * The provider accepted the candidate, which becomes the current token. If the answer names another connection, the row
 * of the import had another connection's token: its new token goes to that connection's consent, because the company's
 * copy has just died.
 */
const refreshedCandidate = async (
  { store, clock, facts, run }: Working,
  refreshed: {
    source: Source
    answer: Extract<TokenAnswer, { kind: 'tokens' }>
    at: DateTime
    earlier: readonly Tried[]
  },
): Promise<Progress> => {
  const { source, answer, at, earlier } = refreshed
  const { attempt, consent } = facts
  const { refreshToken: token, credentialsId } = answer.tokens
  const version = source.version ?? 0
  const tried: readonly Tried[] = [...earlier, { by: 'candidate', version }]
  if (credentialsId !== undefined && credentialsId !== consent.credentialsId) {
    await persist(async () => store.offerToken(credentialsId, token ?? source.token, clock.now()), run.signal)
    await store.rejectCandidate(consent.id, version, clock.now())
    const heard = { from: 'refresh', by: 'candidate', version, at, answer: { kind: 'refused' }, tried } as const
    return { heard, tokens: undefined }
  }
  const refused = at < consent.expiresAt ? earlier.find(({ by }) => by === 'stored') : undefined
  const accepted = {
    consentId: consent.id,
    authorisationId: attempt.id,
    version,
    refusedVersion: refused?.version,
    used: source.token,
    token,
  }
  const current = await persist(async () => store.acceptCandidate({ ...accepted, now: clock.now() }), run.signal)
  if (current === undefined) return { heard: { from: 'rotating' }, tokens: undefined }
  return {
    heard: { from: 'refresh', by: 'stored', version: current, at, answer: { kind: 'tokens' }, tried },
    tokens: { ...answer.tokens, answeredAt: at, tokenVersion: current },
  }
}

interface Source {
  readonly token: Secret
  /** The version of the consent's stored token; undefined for a pending token. */
  readonly version: number | undefined
}

const refreshTokenOf = async (
  store: Exchanges,
  { attempt, consent }: AttemptFacts,
  by: RefreshBy,
): Promise<Source | undefined> => {
  if (by !== 'pending') {
    const place = by === 'stored' ? 'current' : 'candidate'
    return (await store.readTokens(consent.id)).tokens.find((stored) => stored.place === place)
  }
  const token = await store.readPendingToken(attempt.id)
  return token && { token, version: undefined }
}

/**
 * A refresh may rotate the token, and then the old token is invalid at once: the new token is stored whoever holds the
 * claim by then. False when another token replaced the one that was refreshed; then the new token is kept beside it.
 */
const storeRotated = async (
  store: Exchanges,
  {
    version,
    used,
    credentialsId,
    ...rotated
  }: Omit<RotatedToken, 'version'> &
    Pick<Source, 'version'> & { readonly used: Secret; readonly credentialsId: string | undefined },
): Promise<boolean> => {
  if (version !== undefined) return store.storeRotated({ ...rotated, version })
  const { authorisationId, token, now } = rotated
  return store.replacePendingToken(authorisationId, { used, token, credentialsId, now })
}

const unavailable = <Code>(code: Code) => ({ kind: 'unavailable', code }) as const

const readMe = async (
  { store, provider, clock, claim }: Working,
  by: 'exchange' | 'stored' | 'pending',
  { heard, tokens }: Progress,
): Promise<Progress> => {
  // That of the exchange was stored; a run that did not make the exchange itself reads it there.
  const accessToken = tokens?.accessToken ?? (by === 'exchange' ? await store.readAccessToken(claim.id) : undefined)
  const at = heard?.from === 'refresh' ? heard.at : clock.now()
  const answer = accessToken === undefined ? ({ kind: 'token-rejected' } as const) : await provider.readMe(accessToken)
  return { heard: { from: 'me', by, at, answer }, tokens }
}

const commit = async (
  { store, clock, policy, enqueue, claim, facts }: Working,
  { proof, owner, requestedAt }: Extract<ExchangeStep, { do: 'commit-renewed' }>,
): Promise<Outcome | Progress> => {
  const { consent } = facts
  const { basis, expiresAt, expiresSource } = proof
  const answer = await store.commitRenewal(claim, {
    proof: { basis, expiresAt, expiresSource, requestedAt, provenAt: clock.now() },
    newConnection: owner === 'ours' ? undefined : owner,
    policy,
  })
  if (answer === 'later-code-out' || answer === 'cycle-closed')
    return { heard: { from: 'commit', answer }, tokens: undefined }
  if (answer === 'mismatched')
    return notifyAgain(
      enqueue,
      consent.id,
      'the new connection is on record as somebody else’s: nothing of it was taken, the user is told',
    )
  return done(`renewed until ${expiresAt.toISO()} (${basis})`)
}
