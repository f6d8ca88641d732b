// The refresher of access tokens of one process, and how it ends. Part of the composition root: it constructs objects
// and decides nothing.
import { Duration } from 'luxon'
import { type GiveAccessToken, giveAccessToken, type GiveAccessTokenDeps } from '../processors/give-access-token.ts'
import { settlesWithin } from '../settles-within.ts'

/** A refresh may ask with two tokens, one after the other, each for as long as a call may take. */
const CALLS = 2
/** Beyond its calls: a refresh reads and writes the database. */
const SLACK = Duration.fromObject({ seconds: 5 })

export interface Refresher {
  readonly giveAccessToken: GiveAccessToken
  /**
   * Waits for refreshes that are under way, and at the end of `withinMs` lets them give up what they cannot store.
   * Resolves to whether all had ended.
   */
  end(withinMs: number): Promise<boolean>
}

export const makeRefresher = ({
  requestTimeout,
  ...deps
}: Omit<GiveAccessTokenDeps, 'lease' | 'waitsFor' | 'signal'> & { readonly requestTimeout: Duration }): Refresher => {
  const stopping = new AbortController()
  const underWay = new Set<Promise<unknown>>()
  const lease = Duration.fromMillis(requestTimeout.toMillis() * CALLS).plus(SLACK)
  const give = giveAccessToken({ ...deps, lease, waitsFor: requestTimeout, signal: stopping.signal })
  return {
    // A client that has gone does not end its request: what the provider has answered is stored all the same.
    giveAccessToken: async (...given) => {
      const work = give(...given)
      underWay.add(work)
      try {
        return await work
      } finally {
        underWay.delete(work)
      }
    },
    end: async (withinMs) => {
      const ended = await settlesWithin(withinMs, Promise.allSettled(underWay))
      stopping.abort()
      return ended
    },
  }
}
