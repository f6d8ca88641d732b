// Tries the queue's backend again and again in the background, so that a caller gets the latest result without waiting.
import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../log.ts'
import type { Backend } from './backend.ts'
import type { Trial } from './trial.ts'

export interface QueueState {
  readonly trial: Trial
  readonly ageSeconds: number
}

export interface QueueWatch {
  /** Resolves with the first result. */
  readonly first: Promise<void>
  /** Undefined before the first result. */
  latest(): QueueState | undefined
  stop(): void
}

const EVERY_MS = 15_000

export interface WatchOptions {
  readonly backend: Pick<Backend, 'tryOut'>
  readonly log: Log
  /** Called with each result, for the metrics. */
  readonly onTried?: (usable: boolean) => void
  readonly everyMs?: number
}

export const watchQueue = ({ backend, log, onTried, everyMs = EVERY_MS }: WatchOptions): QueueWatch => {
  const stopped = new AbortController()
  let last: { readonly trial: Trial; readonly at: number } | undefined

  const look = async (): Promise<void> => {
    const trial = await backend.tryOut()
    if (stopped.signal.aborted) return
    const before = last?.trial
    last = { trial, at: performance.now() }
    onTried?.(trial.ok)
    // Only a change is logged: `/readyz` and the metrics show that the state lasts.
    if (trial.ok && before?.ok === false) log.info({}, 'the queue takes what is written to it again')
    if (!trial.ok && (before === undefined || before.ok || before.word !== trial.word)) {
      log.warn(
        { answer: trial.word, server: trial.server, detail: trial.detail },
        'the queue does not take what is written to it',
      )
    }
  }
  const goOn = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      await delay(everyMs, undefined, { signal: stopped.signal, ref: false }).catch(() => undefined)
      if (!stopped.signal.aborted) await look()
    }
  }
  const first = look()
  void first.then(goOn)

  return {
    first,
    latest: () => last && { trial: last.trial, ageSeconds: Math.round((performance.now() - last.at) / 1000) },
    stop: () => stopped.abort(),
  }
}
