// Proves a renewal after a clean exchange: the same connection, the same bank, a new expiry in `/me`. Only then it
// counts.
import type { DateTime } from 'luxon'
import { crashPoint } from '../crash-point.ts'
import { nextVerifyAt } from '../domain/backoff.ts'
import { isClosedForGood } from '../domain/takes-codes.ts'
import type { ErrorCode } from '../errors.ts'
import type { MeAnswer } from '../provider/port.ts'
import type { Claim } from '../store/port.ts'
import type { ExchangeDeps, Loaded } from './exchange-context.ts'
import { askAgain, closeMismatched, closeUnasked, commitProof } from './conclude.ts'
import { judgeMe } from './judge-me.ts'
import { type Outcome, OVERTAKEN, type Run, snooze } from './outcome.ts'
import { settleUnknown } from './settle-unknown.ts'

export const verifyRenewal = async (deps: ExchangeDeps, claim: Claim, loaded: Loaded, run: Run): Promise<Outcome> => {
  if (isClosedForGood(loaded.consent)) return closeUnasked(deps, claim, `the consent is ${loaded.consent.status}`)
  const token = await deps.store.readAccessToken(loaded.authorisation.id)
  // The answer speaks for this moment: the process may sleep before it judges it.
  const askedAt = deps.clock.now()
  const answer: MeAnswer = token === undefined ? { kind: 'token-rejected' } : await deps.provider.readMe(token)
  await crashPoint('me-answered')
  switch (answer.kind) {
    case 'me': {
      const { answeredAt, issuedAt } = loaded.authorisation
      const isLastQuestion = nextVerifyAt(answeredAt ?? issuedAt, askedAt) === undefined
      const seen = { me: answer.me, withStoredToken: false, refreshedAt: undefined, isLastQuestion }
      const judgement = judgeMe(loaded, seen, deps.policy)
      if (judgement.kind === 'proven') return commitProof(deps, claim, loaded, { ...judgement, askedAt })
      if (judgement.kind === 'mismatched') return closeMismatched(deps, claim, loaded)
      // Tokens whose owner nobody names are not taken for ours: what the stored token sees decides.
      if (judgement.kind === 'owner-unknown') return giveUpAsking(deps, claim, loaded, 'not-proven', run)
      return askLater(deps, claim, loaded, { code: 'not-proven', askedAt }, run)
    }
    case 'token-rejected':
      // Somebody refreshed since: only a refresh of ours can ask now.
      return giveUpAsking(deps, claim, loaded, 'not-proven', run)
    case 'denied':
      return askLater(deps, claim, loaded, { code: 'not-proven', askedAt }, run)
    case 'unavailable':
      return askLater(deps, claim, loaded, { code: answer.code, askedAt }, run)
  }
}

/** At once, after 10 s, 1 min, 10 min, 1 h; then the provider's silence is a doubt, its unmoved date an answer. */
const askLater = async (
  deps: ExchangeDeps,
  claim: Claim,
  loaded: Loaded,
  { code, askedAt }: { code: ErrorCode; askedAt: DateTime },
  run: Run,
): Promise<Outcome> => {
  const { store, clock } = deps
  const { authorisation, consent } = loaded
  const at = nextVerifyAt(authorisation.answeredAt ?? authorisation.issuedAt, askedAt)
  if (at !== undefined)
    return (await store.askLater(claim, at, code)) ? snooze(at, `${code}: asked again then`) : OVERTAKEN
  if (code !== 'not-proven') return giveUpAsking(deps, claim, loaded, code, run)
  const closed = await store.closeUnrenewed(claim, 'refused', 'not-renewed', clock.now(), 'again')
  return closed
    ? askAgain(deps, consent.id, 'an hour after the exchange nothing shows a renewal: the user is asked again')
    : OVERTAKEN
}

/** What these tokens cannot tell, a refresh can. */
const giveUpAsking = async (
  deps: ExchangeDeps,
  claim: Claim,
  loaded: Loaded,
  code: ErrorCode,
  run: Run,
): Promise<Outcome> => {
  const at = deps.clock.now()
  return (await deps.store.markUnknown(claim, at, code, at)) ? settleUnknown(deps, claim, loaded, run) : OVERTAKEN
}
