// The role `worker`: makes links, sends messages, exchanges codes. Part of the composition root: constructs, decides
// nothing.
import type { Sections } from '../config.ts'
import { composeMessage } from '../notify/compose.ts'
import { makeRenderMessage } from '../notify/render.ts'
import { smtpChannel } from '../notify/smtp-channel.ts'
import { loadTemplates } from '../notify/templates.ts'
import { advanceAuthorisation } from '../processors/advance-authorisation.ts'
import { exchangeStuckCodes } from '../processors/exchange-stuck-codes.ts'
import { keepTime } from '../processors/keep-time.ts'
import type { Outcome, Run } from '../processors/outcome.ts'
import { recordFailure } from '../processors/record-failure.ts'
import { renewConsent } from '../processors/renew-consent.ts'
import { sendNotification } from '../processors/send-notification.ts'
import { startWorkers, type WorkersOptions } from '../queue/runner.ts'
import { type Parts, runnerTimings, type Stop, stopWaits } from './parts.ts'

/**
 * A mail server that takes longer than one request may is given up well before the job's deadline and the record's
 * lease.
 */
const CONNECT_AT_MOST_MS = 10_000

export const startWorkerRole = (parts: Parts, mail: Sections['mail']): Stop => {
  const { backend, log, store, clock, config, provider, prepare, vault, handOver } = parts
  const { policy, timing, web } = config
  const { lease, codeTimer, jobDeadline } = timing
  const longest = timing.requestTimeout.toMillis()
  const timeouts = { connectMs: Math.min(longest, CONNECT_AT_MOST_MS), silenceMs: longest, totalMs: longest }
  const channel = smtpChannel({ smtpUrl: mail.url, from: mail.from, timeouts })
  const render = makeRenderMessage({ templates: loadTemplates() })
  const { startLinkToken } = vault
  const compose = composeMessage({
    render,
    startLinkToken,
    publicUrl: web.publicUrl,
    company: policy.company.name,
    clock,
  })
  const renew = renewConsent({ store, prepare, handOver, clock, policy, lease })
  const send = sendNotification({ store, channel, compose, clock, policy, lease, log })
  const advance = advanceAuthorisation({ store, provider, handOver, clock, policy, lease, log })
  const workers = startWorkers({
    backend,
    handlers: { reauth: byId(renew), notify: byId(send), exchange: byId(advance) },
    recordFailure: recordFailure({ store, clock }),
    onEnd: parts.metrics.recordJob,
    timings: runnerTimings(parts),
  })
  const codes = keepTime({
    name: 'codes',
    every: codeTimer,
    roundWithin: jobDeadline,
    log,
    round: async (signal) => exchangeStuckCodes({ store, advance, clock, waited: codeTimer, log, signal })(),
  })
  return async () => {
    const ended = await Promise.all([workers.close(), codes.stop(stopWaits(timing))])
    channel.close()
    return ended.every(Boolean)
  }
}

const byId =
  (job: (id: string, run: Run) => Promise<Outcome>): NonNullable<WorkersOptions['handlers']['reauth']> =>
  async (id, run) =>
    job(id ?? '', run)
