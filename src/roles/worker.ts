// The role `worker`: makes authorisation URLs, sends messages, exchanges codes. Part of the composition root: it
// constructs objects and decides nothing.
import { Duration } from 'luxon'
import { requiresHttps, type Sections } from '../config.ts'
import { openChannels } from '../notify/channels.ts'
import { makeMessageFacts } from '../notify/message-facts.ts'
import { advanceAttempt } from '../processors/advance-attempt.ts'
import { deliverWebhooks } from '../processors/deliver-webhooks.ts'
import { exchangeStuckCodes } from '../processors/exchange-stuck-codes.ts'
import { runEvery } from '../processors/run-every.ts'
import type { Outcome, JobContext } from '../processors/outcome.ts'
import { recordFailure } from '../processors/record-failure.ts'
import { renewConsent } from '../processors/renew-consent.ts'
import { sendNotification } from '../processors/send-notification.ts'
import { startWorkers, type WorkersOptions } from '../queue/runner.ts'
import { texts } from '../texts/own-texts.ts'
import { webhookSender } from '../webhooks/sender.ts'
import { type Services, runnerTimings, type Stop, stopWaits } from './services.ts'

/**
 * The longest that connecting to a channel's server may take. With it and `requestTimeout`, a slow server is given up
 * well before the job's deadline and the end of the lease.
 */
const CONNECT_AT_MOST_MS = 10_000
/** Events get their places in the feed as often; without an endpoint, nothing is asked for a minute. */
const WEBHOOKS_EVERY = Duration.fromObject({ seconds: 5 })

export const startWorkerRole = (services: Services, settings: Sections['channels']): Stop => {
  const { backend, wrap, log, store, clock, config, provider, prepare, vault, enqueue } = services
  const { policy, timing, web } = config
  const { lease, queuedFor, codeTimer, jobDeadline } = timing
  const longest = timing.requestTimeout.toMillis()
  const timeouts = { connectMs: Math.min(longest, CONNECT_AT_MOST_MS), silenceMs: longest, totalMs: longest }
  const channels = openChannels(settings, { texts, timeouts }, (channel) => wrap('channel', channel))
  const { startLinkToken } = vault
  const { publicUrl } = web
  const factsOf = makeMessageFacts({ startLinkToken, publicUrl, company: policy.company.name, clock })
  const renew = renewConsent({ store, prepare, enqueue, queuedFor, clock, policy, lease })
  const send = sendNotification({ store, channels, factsOf, clock, policy, lease, log })
  const advance = advanceAttempt({ store, provider, enqueue, clock, policy, lease })
  const workers = startWorkers({
    backend,
    handlers: wrap('jobs', { reauth: byId(renew), notify: byId(send), exchange: byId(advance) }),
    recordFailure: recordFailure({ store, clock }),
    onEnd: services.metrics.recordJob,
    timings: runnerTimings(services),
  })
  const codes = runEvery({
    name: 'codes',
    every: codeTimer,
    tickWithin: jobDeadline,
    log,
    tick: async (signal) => exchangeStuckCodes({ store, advance, clock, waited: codeTimer, log, signal })(),
  })
  const courier = deliverWebhooks({
    store: services.webhooks,
    send: webhookSender({ isDevelopment: !requiresHttps(config), proxy: config.provider.proxy }),
    clock,
    log,
    record: services.metrics.recordWebhook,
  })
  const webhooks = runEvery({
    name: 'webhooks',
    every: WEBHOOKS_EVERY,
    tickWithin: jobDeadline,
    log,
    tick: courier.tick,
  })
  return async () => {
    // What a receiver has not answered yet is sent again, so nobody waits for it.
    courier.stop()
    const ended = await Promise.all([
      workers.close(),
      codes.stop(stopWaits(timing)),
      // Its round first: until it has ended, it may add to what is under way.
      webhooks.stop(stopWaits(timing)).then(async (hasEnded) => courier.idle().then(() => hasEnded)),
    ])
    for (const channel of Object.values(channels)) channel.close()
    return ended.every(Boolean)
  }
}

const byId =
  (job: (id: string, run: JobContext) => Promise<Outcome>): NonNullable<WorkersOptions['handlers']['reauth']> =>
  async (id, run) =>
    job(id ?? '', run)
