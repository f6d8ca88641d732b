// The role `worker`: makes authorisation URLs, sends messages, exchanges codes. Part of the composition root: it
// constructs objects and decides nothing.
import type { Sections } from '../config.ts'
import { composeMessage } from '../notify/compose.ts'
import { makeRenderMessage } from '../notify/render.ts'
import { smtpChannel } from '../notify/smtp-channel.ts'
import { advanceAttempt } from '../processors/advance-attempt.ts'
import { exchangeStuckCodes } from '../processors/exchange-stuck-codes.ts'
import { runEvery } from '../processors/run-every.ts'
import type { Outcome, JobContext } from '../processors/outcome.ts'
import { recordFailure } from '../processors/record-failure.ts'
import { renewConsent } from '../processors/renew-consent.ts'
import { sendNotification } from '../processors/send-notification.ts'
import { startWorkers, type WorkersOptions } from '../queue/runner.ts'
import { texts } from '../texts/own-texts.ts'
import { type Services, runnerTimings, type Stop, stopWaits } from './services.ts'

/**
 * The longest that connecting to the mail server may take. With it and `requestTimeout`, a slow mail server is given up
 * well before the job's deadline and the end of the lease.
 */
const CONNECT_AT_MOST_MS = 10_000

export const startWorkerRole = (services: Services, mail: Sections['mail']): Stop => {
  const { backend, wrap, log, store, clock, config, provider, prepare, vault, enqueue } = services
  const { policy, timing, web } = config
  const { lease, codeTimer, jobDeadline } = timing
  const longest = timing.requestTimeout.toMillis()
  const timeouts = { connectMs: Math.min(longest, CONNECT_AT_MOST_MS), silenceMs: longest, totalMs: longest }
  const channel = wrap('channel', smtpChannel({ smtpUrl: mail.url, from: mail.from, timeouts }))
  const render = makeRenderMessage({ texts })
  const { startLinkToken } = vault
  const compose = composeMessage({
    render,
    startLinkToken,
    publicUrl: web.publicUrl,
    company: policy.company.name,
    clock,
  })
  const renew = renewConsent({ store, prepare, enqueue, clock, policy, lease })
  const send = sendNotification({ store, channel, compose, clock, policy, lease, log })
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
  return async () => {
    const ended = await Promise.all([workers.close(), codes.stop(stopWaits(timing))])
    channel.close()
    return ended.every(Boolean)
  }
}

const byId =
  (job: (id: string, run: JobContext) => Promise<Outcome>): NonNullable<WorkersOptions['handlers']['reauth']> =>
  async (id, run) =>
    job(id ?? '', run)
