// Settles an exchange of unknown outcome by asking, never by repeating it: one refresh, then `/me`.
import type { DateTime } from 'luxon'
import { crashPoint } from '../crash-point.ts'
import { mayConcludeNotRenewed, nextSettleAt } from '../domain/backoff.ts'
import { IN_DOUBT_DELAY, hasLaterCodeOut } from '../domain/in-progress.ts'
import { nextPollAfterOutage } from '../domain/outage.ts'
import { EXPIRY_SETTLED } from '../domain/proof.ts'
import { isTerminal, acceptsCode } from '../domain/lifecycle.ts'
import type { ErrorCode } from '../errors.ts'
import type { Tokens } from '../provider/port.ts'
import type { Secret } from '../secret.ts'
import type { Claim } from '../store/port.ts'
import type { ExchangeDeps, AttemptWithConsent } from './exchange-context.ts'
import {
  notifyAgain,
  closeMismatched,
  closeWithoutPolling,
  commitProof,
  settleChangedToken,
  waitForLaterCode,
} from './conclude.ts'
import { judgeMe } from './judge-me.ts'
import { type JobContext, type Outcome, snooze } from './outcome.ts'
import { persist } from './persist.ts'

export const settleUnknown = async (
  deps: ExchangeDeps,
  claim: Claim,
  before: AttemptWithConsent,
  run: JobContext,
): Promise<Outcome> => {
  const { store } = deps
  // Read again: a call to the provider may lie between the claim and here, and a user who opted out meanwhile.
  const loaded = (await store.getAuthorisation(before.authorisation.id)) ?? before
  const { authorisation, consent, renewal, others } = loaded
  if (isTerminal(consent)) return closeWithoutPolling(deps, claim, `the consent is ${consent.status}`)
  if (hasLaterCodeOut(authorisation, others, deps.clock.now())) return waitForLaterCode(deps, claim)
  // A token that came with this very exchange and waits beside for its owner's name may have replaced the stored one:
  // it is asked first, even where the cycle is over, for it may be the only one alive. On the route `full` no other can
  // tell.
  const beside = await store.readPendingToken(authorisation.id)
  if (beside !== undefined) return settleWith(deps, claim, loaded, { token: beside, version: undefined }, run)
  if (!acceptsCode(consent, renewal)) return closeWithoutPolling(deps, claim, 'the cycle is over')
  // A full authentication whose answer was lost made a connection that nobody but the provider knows: there is nothing
  // to ask with.
  if (authorisation.route === 'full') return concludeNotRenewed(deps, claim, loaded, 'exchange-unknown')
  return settleWith(deps, claim, loaded, await store.readRefreshToken(consent.id), run)
}

const settleWith = async (
  deps: ExchangeDeps,
  claim: Claim,
  loaded: AttemptWithConsent,
  source: Source,
  run: JobContext,
): Promise<Outcome> => {
  await crashPoint('before-settling')
  // What is answered speaks for this moment: the process may sleep before it judges it.
  const requestedAt = deps.clock.now()
  const answer = await deps.provider.refresh(loaded.consent.id, source.token)
  await crashPoint('refresh-answered')
  switch (answer.kind) {
    case 'tokens':
      return judgeRefreshed(deps, claim, loaded, { source, tokens: answer.tokens, requestedAt }, run)
    case 'refused':
      // The one kept beside is dead: the company may have passed a later one by import, which is then the stored one.
      if (source.version === undefined && loaded.authorisation.route === 'reauth') {
        return settleWith(deps, claim, loaded, await deps.store.readRefreshToken(loaded.consent.id), run)
      }
      // Another attempt may hold the only one alive. One that has a dead one of its own does not wait: two would wait
      // for each other.
      if (loaded.authorisation.tokenOwner !== 'beside' && (await deps.store.hasPendingToken(loaded.consent.id)))
        return pollLater(deps, claim, loaded, { code: 'token-dead', requestedAt })
      return concludeOrWait(deps, claim, loaded, { code: 'token-dead', requestedAt })
    case 'circuit-open':
    case 'not-processed':
      return pollAfterOutage(deps, claim, loaded, answer.code)
    case 'unknown':
      return pollLater(deps, claim, loaded, { code: answer.code, requestedAt })
  }
}

interface Source {
  readonly token: Secret
  /** Stored with the consent; undefined: kept beside by this authorisation. */
  readonly version: number | undefined
}

interface Refreshed {
  readonly source: Source
  readonly tokens: Tokens
  /** When the refresh was begun: it may have taken place no later than any instant after it. */
  readonly requestedAt: DateTime
}

/** Why nothing is known yet, and as of when. */
interface Undecided {
  readonly code: ErrorCode
  readonly requestedAt: DateTime
}

const judgeRefreshed = async (
  deps: ExchangeDeps,
  claim: Claim,
  loaded: AttemptWithConsent,
  { source, tokens, requestedAt }: Refreshed,
  run: JobContext,
): Promise<Outcome> => {
  const kept = await storeRotated(deps, loaded, source, tokens.refreshToken, run.signal)
  await crashPoint('refresh-kept')
  if (!kept) return settleChangedToken(deps, claim)
  const answer = await deps.provider.readMe(tokens.accessToken)
  await crashPoint('settling-me-answered')
  if (answer.kind === 'unavailable') return pollAfterOutage(deps, claim, loaded, answer.code)
  if (answer.kind === 'token-rejected') return pollLater(deps, claim, loaded, { code: 'not-proven', requestedAt })
  if (answer.kind === 'denied') return concludeOrWait(deps, claim, loaded, { code: 'not-renewed', requestedAt })
  const withStoredToken = source.version !== undefined
  const { codeReceivedAt, issuedAt } = loaded.authorisation
  const isLastPoll = mayConcludeNotRenewed(codeReceivedAt ?? issuedAt, requestedAt)
  const seen = { me: answer.me, withStoredToken, refreshedAt: requestedAt, isLastPoll }
  const judgement = judgeMe(loaded, seen, deps.policy)
  if (judgement.kind === 'proven')
    return commitProof(deps, claim, loaded, { ...judgement, withStoredToken, requestedAt })
  if (judgement.kind === 'mismatched') return closeMismatched(deps, claim, loaded)
  // Tokens whose owner nobody names are not taken for ours: what the stored token sees decides.
  if (judgement.kind === 'owner-unknown' && loaded.authorisation.route === 'reauth') {
    return settleWith(deps, claim, loaded, await deps.store.readRefreshToken(loaded.consent.id), run)
  }
  if (judgement.kind === 'unproven' && judgement.reason === 'date-not-moved') {
    // One kept beside that is alive and ours is not forgotten with its attempt.
    if (!withStoredToken && loaded.authorisation.route === 'reauth') {
      if (!(await deps.store.adoptTokens(claim))) return settleChangedToken(deps, claim)
      await crashPoint('live-token-adopted')
    }
    return concludeOrWait(deps, claim, loaded, { code: 'not-renewed', requestedAt })
  }
  if (loaded.authorisation.route === 'full') return pollForADay(deps, claim, loaded, requestedAt)
  // No dates: before the old expiry nothing can be concluded; an hour after it, a refresh that works decides.
  const decidesAt = loaded.consent.expiresAt.plus(EXPIRY_SETTLED)
  return pollLater(
    deps,
    claim,
    loaded,
    { code: 'not-proven', requestedAt },
    decidesAt > requestedAt ? decidesAt : undefined,
  )
}

/**
 * A refresh may rotate the token, and the old one is dead at once: what comes back is kept before anything else is
 * asked, come what may. False when another token took the stored one's place meanwhile (an import with --correct): then
 * it waits beside, and which of the two lives is asked.
 */
const storeRotated = async (
  { store, clock }: ExchangeDeps,
  { authorisation, consent }: AttemptWithConsent,
  { version }: Source,
  token: Secret | undefined,
  signal: AbortSignal,
): Promise<boolean> => {
  if (token === undefined) return true
  if (version === undefined) {
    await persist(async () => store.replacePendingToken(authorisation.id, token), signal)
    return true
  }
  return persist(
    async () =>
      store.storeRotated({
        consentId: consent.id,
        authorisationId: authorisation.id,
        version,
        token,
        now: clock.now(),
      }),
    signal,
  )
}

/** "Not renewed" is only said six minutes or more after the code came: until then it may just not be visible yet. */
const concludeOrWait = async (
  deps: ExchangeDeps,
  claim: Claim,
  loaded: AttemptWithConsent,
  undecided: Undecided,
): Promise<Outcome> => {
  const { authorisation } = loaded
  return mayConcludeNotRenewed(authorisation.codeReceivedAt ?? authorisation.issuedAt, undecided.requestedAt)
    ? concludeNotRenewed(deps, claim, loaded, undecided.code)
    : pollLater(deps, claim, loaded, undecided)
}

/**
 * The old expiry decides nothing about a new connection: what `/me` does not say of it within a day, its owner or its
 * bank, it never will.
 */
const pollForADay = async (
  deps: ExchangeDeps,
  claim: Claim,
  loaded: AttemptWithConsent,
  requestedAt: DateTime,
): Promise<Outcome> => {
  const { codeReceivedAt, issuedAt } = loaded.authorisation
  const isOver = requestedAt >= (codeReceivedAt ?? issuedAt).plus(IN_DOUBT_DELAY)
  return isOver
    ? concludeNotRenewed(deps, claim, loaded, 'not-proven')
    : pollLater(deps, claim, loaded, { code: 'not-proven', requestedAt })
}

const concludeNotRenewed = async (
  deps: ExchangeDeps,
  claim: Claim,
  { consent }: AttemptWithConsent,
  code: ErrorCode,
): Promise<Outcome> => {
  await deps.store.closeUnrenewed(claim, 'refused', code, deps.clock.now(), 'again')
  return notifyAgain(deps, consent.id, `${code}: not renewed, the user is asked again`)
}

/**
 * Nothing was learnt of this exchange: the question is repeated once the outage may be over, not when its turn comes
 * again in hours.
 */
const pollAfterOutage = async (
  deps: ExchangeDeps,
  claim: Claim,
  loaded: AttemptWithConsent,
  code: ErrorCode,
): Promise<Outcome> => {
  const { store, clock } = deps
  const { authorisation } = loaded
  const [since, now] = [authorisation.codeReceivedAt ?? authorisation.issuedAt, clock.now()]
  const planned = nextSettleAt({ codeReceivedAt: since, pollCount: authorisation.pollCount + 1, now })
  const at = nextPollAfterOutage({ since, now, planned, key: authorisation.id })
  await store.schedulePoll(claim, at, code)
  return snooze(at, `${code}: the provider is away, asked again then`)
}

const pollLater = async (
  { store }: ExchangeDeps,
  claim: Claim,
  { authorisation }: AttemptWithConsent,
  { code, requestedAt }: Undecided,
  notBefore = requestedAt,
): Promise<Outcome> => {
  const codeReceivedAt = authorisation.codeReceivedAt ?? authorisation.issuedAt
  const planned = nextSettleAt({ codeReceivedAt, pollCount: authorisation.pollCount + 1, now: requestedAt })
  const at = planned > notBefore ? planned : notBefore
  await store.schedulePoll(claim, at, code)
  return snooze(at, `${code}: the outcome is still unknown, asked again then`)
}
