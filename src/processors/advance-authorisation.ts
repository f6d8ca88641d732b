// The exchange job: takes one authorisation a step further from wherever it stands. Its state says what is due, not the job.
import type { Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import type { Policy } from '../domain/policy.ts'
import type { Log } from '../log.ts'
import type { Dispatching, Exchanges } from '../store/port.ts'
import { exchangeCode } from './exchange-code.ts'
import type { HandOver } from './hand-over.ts'
import { type Outcome, type Run, skipped, snooze } from './outcome.ts'
import type { ProviderGate } from './provider-gate.ts'
import { settleUnknown } from './settle-unknown.ts'
import { verifyRenewal } from './verify-renewal.ts'

export interface ExchangeDeps {
  readonly store: Pick<Dispatching, 'claim' | 'release'> & Exchanges
  readonly provider: ProviderGate
  readonly handOver: HandOver
  readonly clock: Clock
  readonly policy: Policy
  readonly lease: Duration
  readonly log: Log
}

export const OVERTAKEN = skipped('another worker took over: nothing was written')

export const advanceAuthorisation =
  (deps: ExchangeDeps) =>
  async (authorisationId: string, run: Run): Promise<Outcome> => {
    const { store, clock } = deps
    const answer = await store.claim('authorisation', authorisationId, deps.lease)
    if (answer.kind === 'missing') return skipped('there is no such authorisation')
    if (answer.kind === 'held') return snooze(answer.until, 'another worker is at it')
    const { claim } = answer
    const loaded = await store.getAuthorisation(authorisationId)
    if (loaded === undefined) return skipped('there is no such authorisation')
    const { status, nextActionAt } = loaded.authorisation
    // A person's retry asks before its date: asking is harmless, a code is never sent again by it.
    if (!run.manual && nextActionAt !== undefined && nextActionAt > clock.now()) {
      await store.release(claim)
      return snooze(nextActionAt, `${status}: not due yet`)
    }
    switch (status) {
      case 'code_received':
        return exchangeCode(deps, claim, loaded, run)
      case 'exchanging':
        // The lease of whoever was sending is over: it died or hangs. The code may have been used; only asking can tell.
        if (!(await store.markUnknown(claim, clock.now(), 'exchange-interrupted', clock.now()))) return OVERTAKEN
        return settleUnknown(deps, claim, loaded)
      case 'verifying':
        return verifyRenewal(deps, claim, loaded)
      case 'unknown':
        return settleUnknown(deps, claim, loaded)
      default:
        await store.release(claim)
        return skipped(`the authorisation is ${status}`)
    }
  }

export type Loaded = NonNullable<Awaited<ReturnType<Exchanges['getAuthorisation']>>>
