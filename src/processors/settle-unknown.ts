// Settles an exchange of unknown outcome by asking, never by repeating it: one refresh, then `/me`.
import type { DateTime } from 'luxon'
import { crashPoint } from '../crash-point.ts'
import { mayConcludeNotRenewed, nextSettleAt } from '../domain/backoff.ts'
import { DOUBT_HOLDS, hasLaterCodeOut } from '../domain/in-progress.ts'
import { nextAskAfterOutage } from '../domain/outage.ts'
import { EXPIRY_SETTLED } from '../domain/proof.ts'
import { isClosedForGood, takesCodes } from '../domain/takes-codes.ts'
import type { ErrorCode } from '../errors.ts'
import type { Tokens } from '../provider/port.ts'
import type { Secret } from '../secret.ts'
import type { Claim } from '../store/port.ts'
import type { ExchangeDeps, Loaded } from './exchange-context.ts'
import { askAgain, closeMismatched, closeUnasked, commitProof, settleChanged, waitForLaterCode } from './conclude.ts'
import { judgeMe } from './judge-me.ts'
import { type Outcome, OVERTAKEN, type Run, snooze } from './outcome.ts'
import { persist } from './persist.ts'

export const settleUnknown = async (deps: ExchangeDeps, claim: Claim, before: Loaded, run: Run): Promise<Outcome> => {
  const { store } = deps
  // Read again: a call to the provider may lie between the claim and here, and a user who opted out meanwhile.
  const loaded = (await store.getAuthorisation(before.authorisation.id)) ?? before
  const { authorisation, consent, renewal, others } = loaded
  if (isClosedForGood(consent)) return closeUnasked(deps, claim, `the consent is ${consent.status}`)
  if (hasLaterCodeOut(authorisation, others, deps.clock.now())) return waitForLaterCode(deps, claim)
  // A token that came with this very exchange and waits beside for its owner's name may have replaced the stored one:
  // it is asked first, even where the cycle is over, for it may be the only one alive. On the route `full` no other can
  // tell.
  const beside = await store.readTokenBeside(authorisation.id)
  if (beside !== undefined) return settleWith(deps, claim, loaded, { token: beside, version: undefined }, run)
  if (!takesCodes(consent, renewal)) return closeUnasked(deps, claim, 'the cycle is over')
  // A full authentication whose answer was lost made a connection that nobody but the provider knows: there is nothing
  // to ask with.
  if (authorisation.route === 'full') return concludeNotRenewed(deps, claim, loaded, 'exchange-unknown')
  return settleWith(deps, claim, loaded, await store.readRefreshToken(consent.id), run)
}

const settleWith = async (
  deps: ExchangeDeps,
  claim: Claim,
  loaded: Loaded,
  source: Source,
  run: Run,
): Promise<Outcome> => {
  await crashPoint('before-settling')
  // What is answered speaks for this moment: the process may sleep before it judges it.
  const askedAt = deps.clock.now()
  const answer = await deps.provider.refresh(loaded.consent.id, source.token)
  await crashPoint('refresh-answered')
  switch (answer.kind) {
    case 'tokens':
      return weigh(deps, claim, loaded, { source, tokens: answer.tokens, askedAt }, run)
    case 'refused':
      // The one kept beside is dead: the company may have passed a later one by import, which is then the stored one.
      if (source.version === undefined && loaded.authorisation.route === 'reauth') {
        return settleWith(deps, claim, loaded, await deps.store.readRefreshToken(loaded.consent.id), run)
      }
      // Another attempt may hold the only one alive. One that has a dead one of its own does not wait: two would wait
      // for each other.
      if (loaded.authorisation.tokenOwner !== 'beside' && (await deps.store.hasTokenBeside(loaded.consent.id)))
        return askLater(deps, claim, loaded, { code: 'token-dead', askedAt })
      return concludeOrWait(deps, claim, loaded, { code: 'token-dead', askedAt })
    case 'held':
    case 'not-processed':
      return askAfterOutage(deps, claim, loaded, answer.code)
    case 'unknown':
      return askLater(deps, claim, loaded, { code: answer.code, askedAt })
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
  readonly askedAt: DateTime
}

/** Why nothing is known yet, and as of when. */
interface Unanswered {
  readonly code: ErrorCode
  readonly askedAt: DateTime
}

const weigh = async (
  deps: ExchangeDeps,
  claim: Claim,
  loaded: Loaded,
  { source, tokens, askedAt }: Refreshed,
  run: Run,
): Promise<Outcome> => {
  const kept = await keepRotated(deps, loaded, source, tokens.refreshToken, run.signal)
  await crashPoint('refresh-kept')
  if (!kept) return settleChanged(deps, claim)
  const answer = await deps.provider.readMe(tokens.accessToken)
  await crashPoint('settling-me-answered')
  if (answer.kind === 'unavailable') return askAfterOutage(deps, claim, loaded, answer.code)
  if (answer.kind === 'token-rejected') return askLater(deps, claim, loaded, { code: 'not-proven', askedAt })
  if (answer.kind === 'denied') return concludeOrWait(deps, claim, loaded, { code: 'not-renewed', askedAt })
  const withStoredToken = source.version !== undefined
  const { codeReceivedAt, issuedAt } = loaded.authorisation
  const isLastQuestion = mayConcludeNotRenewed(codeReceivedAt ?? issuedAt, askedAt)
  const seen = { me: answer.me, withStoredToken, refreshedAt: askedAt, isLastQuestion }
  const judgement = judgeMe(loaded, seen, deps.policy)
  if (judgement.kind === 'proven') return commitProof(deps, claim, loaded, { ...judgement, withStoredToken, askedAt })
  if (judgement.kind === 'mismatched') return closeMismatched(deps, claim, loaded)
  // Tokens whose owner nobody names are not taken for ours: what the stored token sees decides.
  if (judgement.kind === 'owner-unknown' && loaded.authorisation.route === 'reauth') {
    return settleWith(deps, claim, loaded, await deps.store.readRefreshToken(loaded.consent.id), run)
  }
  if (judgement.kind === 'unproven' && judgement.reason === 'date-not-moved') {
    // One kept beside that is alive and ours is not forgotten with its attempt.
    if (!withStoredToken && loaded.authorisation.route === 'reauth') {
      if (!(await deps.store.adoptTokens(claim))) return settleChanged(deps, claim)
      await crashPoint('live-token-adopted')
    }
    return concludeOrWait(deps, claim, loaded, { code: 'not-renewed', askedAt })
  }
  if (loaded.authorisation.route === 'full') return askForADay(deps, claim, loaded, askedAt)
  // No dates: before the old expiry nothing can be concluded; an hour after it, a refresh that works decides.
  const decidesAt = loaded.consent.expiresAt.plus(EXPIRY_SETTLED)
  return askLater(deps, claim, loaded, { code: 'not-proven', askedAt }, decidesAt > askedAt ? decidesAt : undefined)
}

/**
 * A refresh may rotate the token, and the old one is dead at once: what comes back is kept before anything else is
 * asked, come what may. False when another token took the stored one's place meanwhile (an import with --correct): then
 * it waits beside, and which of the two lives is asked.
 */
const keepRotated = async (
  { store, clock }: ExchangeDeps,
  { authorisation, consent }: Loaded,
  { version }: Source,
  token: Secret | undefined,
  signal: AbortSignal,
): Promise<boolean> => {
  if (token === undefined) return true
  if (version === undefined) {
    await persist(async () => store.replaceTokenBeside(authorisation.id, token), signal)
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
  loaded: Loaded,
  unanswered: Unanswered,
): Promise<Outcome> => {
  const { authorisation } = loaded
  return mayConcludeNotRenewed(authorisation.codeReceivedAt ?? authorisation.issuedAt, unanswered.askedAt)
    ? concludeNotRenewed(deps, claim, loaded, unanswered.code)
    : askLater(deps, claim, loaded, unanswered)
}

/**
 * The old expiry decides nothing about a new connection: what `/me` does not say of it within a day, its owner or its
 * bank, it never will.
 */
const askForADay = async (deps: ExchangeDeps, claim: Claim, loaded: Loaded, askedAt: DateTime): Promise<Outcome> => {
  const { codeReceivedAt, issuedAt } = loaded.authorisation
  const isOver = askedAt >= (codeReceivedAt ?? issuedAt).plus(DOUBT_HOLDS)
  return isOver
    ? concludeNotRenewed(deps, claim, loaded, 'not-proven')
    : askLater(deps, claim, loaded, { code: 'not-proven', askedAt })
}

const concludeNotRenewed = async (
  deps: ExchangeDeps,
  claim: Claim,
  { consent }: Loaded,
  code: ErrorCode,
): Promise<Outcome> => {
  const closed = await deps.store.closeUnrenewed(claim, 'refused', code, deps.clock.now(), 'again')
  return closed ? askAgain(deps, consent.id, `${code}: not renewed, the user is asked again`) : OVERTAKEN
}

/**
 * Nothing was learnt of this exchange: the question is repeated once the outage may be over, not when its turn comes
 * again in hours.
 */
const askAfterOutage = async (deps: ExchangeDeps, claim: Claim, loaded: Loaded, code: ErrorCode): Promise<Outcome> => {
  const { store, clock } = deps
  const { authorisation } = loaded
  const [since, now] = [authorisation.codeReceivedAt ?? authorisation.issuedAt, clock.now()]
  const planned = nextSettleAt({ codeReceivedAt: since, asked: authorisation.asked + 1, now })
  const at = nextAskAfterOutage({ since, now, planned, key: authorisation.id })
  return (await store.askLater(claim, at, code))
    ? snooze(at, `${code}: the provider is away, asked again then`)
    : OVERTAKEN
}

const askLater = async (
  { store }: ExchangeDeps,
  claim: Claim,
  { authorisation }: Loaded,
  { code, askedAt }: Unanswered,
  notBefore = askedAt,
): Promise<Outcome> => {
  const codeReceivedAt = authorisation.codeReceivedAt ?? authorisation.issuedAt
  const planned = nextSettleAt({ codeReceivedAt, asked: authorisation.asked + 1, now: askedAt })
  const at = planned > notBefore ? planned : notBefore
  return (await store.askLater(claim, at, code))
    ? snooze(at, `${code}: the outcome is still unknown, asked again then`)
    : OVERTAKEN
}
