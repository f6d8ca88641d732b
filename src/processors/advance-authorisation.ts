// The exchange job: takes one authorisation a step further from wherever it stands. Its state says what is due, not the
// job.
import { crashPoint } from '../crash-point.ts'
import { PermanentError } from '../errors.ts'
import type { Claim } from '../store/port.ts'
import { exchangeCode } from './exchange-code.ts'
import type { ExchangeDeps, AttemptWithConsent } from './exchange-context.ts'
import { type JobContext, type Outcome, skipped, snooze } from './outcome.ts'
import { settleUnknown } from './settle-unknown.ts'
import { verifyRenewal } from './verify-renewal.ts'
import { withClaim } from './with-claim.ts'

export const advanceAuthorisation =
  (deps: ExchangeDeps) =>
  async (authorisationId: string, run: JobContext): Promise<Outcome> =>
    withClaim(deps, { kind: 'authorisation', id: authorisationId, run }, async (claim) => {
      const { store, clock } = deps
      await crashPoint('authorisation-claimed')
      const loaded = await store.getAuthorisation(authorisationId)
      if (loaded === undefined) return skipped('there is no such authorisation')
      const { status, nextActionAt } = loaded.authorisation
      // A person's retry asks before its date: asking is harmless, a code is never sent again by it.
      if (!run.manual && nextActionAt !== undefined && nextActionAt > clock.now()) {
        await store.release(claim)
        return snooze(nextActionAt, `${status}: not due yet`)
      }
      try {
        return await advance(deps, claim, loaded, run)
      } catch (error) {
        // Its own date comes from the queue's verdict; the consent is taken out of the loop until an operator has
        // looked at it.
        if (error instanceof PermanentError && error.code === 'cell-unreadable') {
          await store.quarantineConsent(loaded.consent.id, clock.now(), error.message)
          await crashPoint('quarantined-for-code')
        }
        throw error
      }
    })

const advance = async (
  deps: ExchangeDeps,
  claim: Claim,
  loaded: AttemptWithConsent,
  run: JobContext,
): Promise<Outcome> => {
  const { store, clock } = deps
  const { status } = loaded.authorisation
  switch (status) {
    case 'code_received':
      return exchangeCode(deps, claim, loaded, run)
    case 'exchanging':
      // Whoever was sending died, hangs or failed: its lease is over or given back. The code may have been used; only
      // asking can tell.
      await store.markUnknown(claim, clock.now(), 'exchange-interrupted', clock.now())
      return settleUnknown(deps, claim, loaded, run)
    case 'verifying':
      return verifyRenewal(deps, claim, loaded, run)
    case 'unknown':
      return settleUnknown(deps, claim, loaded, run)
    default:
      await store.release(claim)
      return skipped(`the authorisation is ${status}`)
  }
}
