// What the steps of an exchange job share: their dependencies and the authorisation they work on.
import type { Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import type { Policy } from '../domain/policy.ts'
import type { Log } from '../log.ts'
import type { Dispatching, Exchanges, Quarantine } from '../store/port.ts'
import type { Enqueue } from './enqueue.ts'
import type { GuardedProvider } from './circuit-breaker.ts'

export interface ExchangeDeps {
  readonly store: Pick<Dispatching, 'claim' | 'release'> & Exchanges & Quarantine
  readonly provider: GuardedProvider
  readonly enqueue: Enqueue
  readonly clock: Clock
  readonly policy: Policy
  readonly lease: Duration
  readonly log: Log
}

/** An authorisation with its consent and renewal, as it was when the job claimed it. */
export type AttemptWithConsent = NonNullable<Awaited<ReturnType<Exchanges['getAuthorisation']>>>
