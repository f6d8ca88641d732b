// Rate limits. Only failures, presses of the button and calls of the API count: a callback with a valid state is
// committed before any limit is checked, and users who share an address (or a proxy missing from TRUSTED_PROXIES) do
// not use up one another's share.
import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'

export interface LimitOptions {
  /** Requests with an unknown state or start link, per address and minute. */
  readonly unknownPerMinute: number
  /** Presses of the start page's button, per renewal and minute. Each press may make a link at the provider. */
  readonly departuresPerMinute: number
  /** Wrong API keys, per address and minute; the same limit for wrong logins at the board, counted separately. */
  readonly wrongKeysPerMinute: number
  /** Calls of the API, per key and minute: far more than a system needs, and less than one in a loop sends. */
  readonly callsPerMinute: number
}

export const defaultLimits: LimitOptions = {
  unknownPerMinute: 60,
  departuresPerMinute: 10,
  wrongKeysPerMinute: 20,
  callsPerMinute: 6_000,
}

/** Counts the request; returns how many seconds to wait when the request exceeds the limit. `look` counts nothing. */
export type Limit = (request: FastifyRequest, look?: 'look') => Promise<number | undefined>

export interface Limits {
  readonly unknown: Limit
  readonly departures: Limit
  readonly wrongKeys: Limit
  readonly wrongLogins: Limit
  /** For requests whose key is known. */
  readonly calls: Limit
}

/**
 * The address that a limit counts by, without the port that some load balancers append and that differs each time. For
 * IPv6 it is the network, because a client has all of it.
 */
const addressOf = ({ ip }: FastifyRequest): string => {
  const [, six, four] = /^(?:\[(.+)\]|([\d.]+))(?::\d+)?$/.exec(ip) ?? []
  return normalizeIP(six ?? four ?? ip)
}

/**
 * `renewalOf` finds the renewal whose button a request presses. Counts stay in this process, for some thousand
 * addresses and renewals.
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
    calls: limit(options.callsPerMinute, ({ caller }) => caller?.id ?? ''),
  }
}
