// What the nemesis writes down about a fault that struck, and the words for it. Types alone: whoever judges a run reads
// them without the nemesis.

export type Lane = 'processes' | 'infrastructure' | 'provider' | 'mail'

/**
 * What a fault stands in the way of; the checks excuse a delay or a loss only by a fault that could have caused it.
 * `provider-refuses`: calls are certainly not processed. `provider-breaks`: requests or answers are lost on the way,
 * and nothing tells which. `provider-fails`: the provider itself loses them, and its ledger tells which: no other is
 * explained by it. `database-late`: nothing is lost, all that writes or reads takes longer. `one-process`: the process
 * that `who` names stood still, so that only what it had in hand can have met it.
 */
export type Hindrance =
  | 'workers'
  | 'all-workers'
  | 'one-process'
  | 'web'
  | 'schedulers'
  | 'queue'
  | 'database'
  | 'database-late'
  | 'provider-refuses'
  | 'provider-breaks'
  | 'provider-fails'
  | 'mail'
  | 'users'

/**
 * What one happening can meet: one call, what one worker has in flight, or (unless said) what all workers have.
 * `outage`: what all had in flight when it began, however often it was met after that: while it lasts, nothing further
 * is begun.
 */
export type Reach = 'call' | 'worker' | 'outage'

/** A process that was stopped (SIGSTOP) for a while, in real time. */
export interface Pause {
  readonly seat: string
  readonly pid: number
  readonly from: number
  readonly to: number
}

export interface Struck {
  readonly name: string
  readonly hinders: readonly Hindrance[]
  readonly each?: Reach | undefined
  /** For `one-process`: its name in the database, or the run's own process. */
  readonly who?: string | undefined
  /** Real time. */
  readonly from: number
  to: number
  happened: number
  problem: string | undefined
  /** Whom it stopped meanwhile. */
  readonly pauses?: readonly Pause[]
}
