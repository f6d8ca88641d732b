// Proves a renewal after a clean exchange: the same connection, the same bank, a new expiry in `/me`. Only then it
// counts.
import type { DateTime } from 'luxon'
import { crashPoint } from '../crash-point.ts'
import { nextVerifyAt } from '../domain/backoff.ts'
import { isTerminal } from '../domain/lifecycle.ts'
import type { ErrorCode } from '../errors.ts'
import type { MeAnswer } from '../provider/port.ts'
import type { Claim } from '../store/port.ts'
import type { ExchangeDeps, AttemptWithConsent } from './exchange-context.ts'
import { notifyAgain, closeMismatched, closeWithoutPolling, commitProof } from './conclude.ts'
import { judgeMe } from './judge-me.ts'
import { type JobContext, type Outcome, snooze } from './outcome.ts'
import { settleUnknown } from './settle-unknown.ts'

export const verifyRenewal = async (
  deps: ExchangeDeps,
  claim: Claim,
  loaded: AttemptWithConsent,
  run: JobContext,
): Promise<Outcome> => {
  if (isTerminal(loaded.consent)) return closeWithoutPolling(deps, claim, `the consent is ${loaded.consent.status}`)
  const token = await deps.store.readAccessToken(loaded.authorisation.id)
  // The answer speaks for this moment: the process may sleep before it judges it.
  const requestedAt = deps.clock.now()
  const answer: MeAnswer = token === undefined ? { kind: 'token-rejected' } : await deps.provider.readMe(token)
  await crashPoint('me-answered')
  switch (answer.kind) {
    case 'me': {
      const { answeredAt, issuedAt } = loaded.authorisation
      const isLastPoll = nextVerifyAt(answeredAt ?? issuedAt, requestedAt) === undefined
      const seen = { me: answer.me, withStoredToken: false, refreshedAt: undefined, isLastPoll }
      const judgement = judgeMe(loaded, seen, deps.policy)
      if (judgement.kind === 'proven') return commitProof(deps, claim, loaded, { ...judgement, requestedAt })
      if (judgement.kind === 'mismatched') return closeMismatched(deps, claim, loaded)
      // Tokens whose owner nobody names are not taken for ours: what the stored token sees decides.
      if (judgement.kind === 'owner-unknown') return settleByRefresh(deps, claim, loaded, 'not-proven', run)
      return pollLater(deps, claim, loaded, { code: 'not-proven', requestedAt }, run)
    }
    case 'token-rejected':
      // Somebody refreshed since: only a refresh of ours can ask now.
      return settleByRefresh(deps, claim, loaded, 'not-proven', run)
    case 'denied':
      return pollLater(deps, claim, loaded, { code: 'not-proven', requestedAt }, run)
    case 'unavailable':
      return pollLater(deps, claim, loaded, { code: answer.code, requestedAt }, run)
  }
}

/** At once, after 10 s, 1 min, 10 min, 1 h; then the provider's silence is a doubt, its unmoved date an answer. */
const pollLater = async (
  deps: ExchangeDeps,
  claim: Claim,
  loaded: AttemptWithConsent,
  { code, requestedAt }: { code: ErrorCode; requestedAt: DateTime },
  run: JobContext,
): Promise<Outcome> => {
  const { store, clock } = deps
  const { authorisation, consent } = loaded
  const at = nextVerifyAt(authorisation.answeredAt ?? authorisation.issuedAt, requestedAt)
  if (at !== undefined) {
    await store.schedulePoll(claim, at, code)
    return snooze(at, `${code}: asked again then`)
  }
  if (code !== 'not-proven') return settleByRefresh(deps, claim, loaded, code, run)
  await store.closeUnrenewed(claim, 'refused', 'not-renewed', clock.now(), 'again')
  return notifyAgain(deps, consent.id, 'an hour after the exchange nothing shows a renewal: the user is asked again')
}

/** What these tokens cannot tell, a refresh can. */
const settleByRefresh = async (
  deps: ExchangeDeps,
  claim: Claim,
  loaded: AttemptWithConsent,
  code: ErrorCode,
  run: JobContext,
): Promise<Outcome> => {
  const at = deps.clock.now()
  await deps.store.markUnknown(claim, at, code, at)
  return settleUnknown(deps, claim, loaded, run)
}
