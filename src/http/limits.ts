// How often is too often. Only failures and repeated buttons count: a callback with a valid state is committed before
// any limit is asked, and users who share an address (or a proxy we are not told to trust) do not use up one another's
// share.
import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'

export interface LimitOptions {
  /** Unknown states and start links from one address, a minute. */
  readonly unknownPerMinute: number
  /** Presses of the start page's button for one renewal, a minute. Each may make a link at the provider. */
  readonly departuresPerMinute: number
  /** Wrong API keys from one address, a minute; wrong logins at the board as well, counted apart. */
  readonly wrongKeysPerMinute: number
}

export const defaultLimits: LimitOptions = { unknownPerMinute: 60, departuresPerMinute: 10, wrongKeysPerMinute: 20 }

/** Counts one; answers how many seconds to wait when it was one too many. `look` counts nothing. */
export type Limit = (request: FastifyRequest, look?: 'look') => Promise<number | undefined>

export interface Limits {
  readonly unknown: Limit
  readonly departures: Limit
  readonly wrongKeys: Limit
  readonly wrongLogins: Limit
}

/**
 * Some load balancers write the client's port too, which is another one each time. Of IPv6, the network: a client has
 * all of it.
 */
const addressOf = ({ ip }: FastifyRequest): string => {
  const [, six, four] = /^(?:\[(.+)\]|([\d.]+))(?::\d+)?$/.exec(ip) ?? []
  return normalizeIP(six ?? four ?? ip)
}

/**
 * `renewalOf`: whose button a request presses. Counts stay in this process, for some thousand addresses and renewals.
 */
export const registerLimits = async (
  app: FastifyInstance,
  { options, renewalOf }: { options: LimitOptions; renewalOf: (request: FastifyRequest) => string },
): Promise<Limits> => {
  await app.register(rateLimit, { global: false })
  const limit = (max: number, keyOf = addressOf): Limit => {
    const count = app.createRateLimit({ max, timeWindow: 60_000, keyGenerator: keyOf })
    return async (request, look) => {
      const counted = await count(request, { increment: look === undefined })
      return !counted.isAllowed && counted.isExceeded ? Math.max(1, counted.ttlInSeconds) : undefined
    }
  }
  return {
    unknown: limit(options.unknownPerMinute),
    departures: limit(options.departuresPerMinute, renewalOf),
    wrongKeys: limit(options.wrongKeysPerMinute),
    wrongLogins: limit(options.wrongKeysPerMinute),
  }
}
