// Looks names up for webhooks, and leaves room for others: Node looks names up in threads, no more than two at once
// for the whole process (libuv gives slow work half of its four), and a lookup that has begun cannot be cut off. So two
// names whose servers do not answer would keep the provider's name, and with it every renewal, waiting.
import type { Address, Resolve } from './public-address.ts'

/** The same lookup, until `signal` is aborted: then it rejects, and does not wait in the queue any longer. */
export type LimitedResolve = (host: string, signal: AbortSignal) => Promise<readonly Address[]>

/**
 * Requests to one host at the same moment share its lookup, and one name is looked up at a time. Nothing is kept once a
 * lookup has ended: the next request asks again.
 */
export const limitedLookups = (resolve: Resolve): LimitedResolve => {
  interface Lookup {
    readonly result: Promise<readonly Address[]>
    readonly begin: () => void
    wanted: number
  }
  const lookups = new Map<string, Lookup>()
  const queue = new Set<Lookup>()
  let isBusy = false

  const beginNext = (): void => {
    const [next] = queue
    if (next === undefined || isBusy) return
    queue.delete(next)
    isBusy = true
    next.begin()
  }
  const lookUp = (host: string): Lookup => {
    const { promise, resolve: begin } = Promise.withResolvers<void>()
    const result = promise
      .then(async () => resolve(host))
      .finally(() => {
        lookups.delete(host)
        isBusy = false
        beginNext()
      })
    // Everybody who waited for it may have gone.
    result.catch(() => undefined)
    const lookup = { result, begin, wanted: 0 }
    lookups.set(host, lookup)
    queue.add(lookup)
    beginNext()
    return lookup
  }
  return async (host, signal) => {
    signal.throwIfAborted()
    const lookup = lookups.get(host) ?? lookUp(host)
    lookup.wanted += 1
    const { promise: cut, reject } = Promise.withResolvers<never>()
    const stop = (): void => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    try {
      return await Promise.race([lookup.result, cut])
    } finally {
      signal.removeEventListener('abort', stop)
      lookup.wanted -= 1
      // Nobody waits for it any more, and it has not begun: it must not take a turn from others.
      if (lookup.wanted === 0 && queue.delete(lookup)) lookups.delete(host)
    }
  }
}
