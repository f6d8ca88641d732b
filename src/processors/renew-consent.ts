// The reauth job brings one consent up to date, whatever woke it. The job loads the consent, asks the domain, makes a
// link when one is due, and commits renewal, attempt and messages together. A second run does nothing, because nothing
// is due then.
import { randomUUID } from 'node:crypto'
import { type DateTime, Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import { newAttempt, newMessage, newRenewal, nextDateOf, viewAfter } from '../domain/apply-step.ts'
import { backOffAfter, withJitter } from '../domain/backoff.ts'
import { reachableBy } from '../domain/channels.ts'
import { isOutage, outageNo, delayAfterOutage } from '../domain/outage.ts'
import type { ConsentView } from '../domain/model.ts'
import { nextAction, type NextAction } from '../domain/next-action.ts'
import { openRoutes } from '../domain/open-routes.ts'
import { judgeRejection, WAITING_FOR_A_TOKEN } from '../domain/token-rejection.ts'
import type { Policy } from '../domain/policy.ts'
import { PermanentError, StaleClaim, TransientError } from '../errors.ts'
import type { Claim, Dispatching, RenewalStep, Renewals } from '../store/port.ts'
import type { Enqueue } from './enqueue.ts'
import { done, type JobContext, type Outcome, skipped, snooze } from './outcome.ts'
import type { Prepared, PrepareAuthorisation } from './prepare-authorisation.ts'
import { withClaim } from './with-claim.ts'

type RenewStore = Pick<Dispatching, 'claim' | 'release'> & Renewals
type RenewAction = Extract<NextAction, { action: 'renew' }>

/** A 4xx answer is not final for a consent: the next day may bring another answer, until grace ends. */
const REFUSED_DELAY = Duration.fromObject({ days: 1 })

export interface RenewConsentDeps {
  readonly store: RenewStore
  readonly prepare: PrepareAuthorisation
  readonly enqueue: Enqueue
  /** How long a message that is handed to the queue counts as queued. */
  readonly queuedFor: Duration
  readonly clock: Clock
  readonly policy: Policy
  readonly lease: Duration
}

export const renewConsent = (deps: RenewConsentDeps) => {
  const { store, clock, policy, lease } = deps

  return async (consentId: string, run: JobContext): Promise<Outcome> =>
    withClaim({ store, lease }, { kind: 'consent', id: consentId, run }, async (claim, view) => {
      const now = clock.now()
      try {
        const next = nextAction(view, now, policy, { manual: run.manual })
        switch (next.action) {
          case 'none':
            await store.release(claim)
            return skipped(next.reason)
          case 'wait':
            await store.scheduleConsent(claim, next.at, next.reason)
            return skipped(`nothing is due before ${next.at.toISO()}: ${next.reason}`)
          case 'lapse':
            await store.closeByRule(claim, 'lapsed', now, next.reason)
            return done(`lapsed: ${next.reason}`)
          case 'close-unsupported':
            await store.closeByRule(claim, 'unsupported', now, next.reason)
            return done(`closed as unsupported: ${next.reason}`)
          case 'renew':
            return await takeStep(deps, claim, view, next, now)
        }
      } catch (error) {
        return await settleFailure(deps, claim, view, run, now, error)
      }
    })
}

const takeStep = async (
  deps: RenewConsentDeps,
  claim: Claim,
  view: ConsentView,
  due: RenewAction,
  now: DateTime,
): Promise<Outcome> => {
  const { store, policy } = deps
  const prepared = due.makeLink ? await deps.prepare(view.consent, due.routes, now, claim) : undefined
  if (prepared?.kind === 'circuit-open') {
    await store.backOff(claim, { now, until: prepared.until, code: 'provider-circuit-open', counts: false })
    return snooze(prepared.until, 'the circuit breaker of calls to the provider is open')
  }
  if (prepared?.kind === 'rejected' && prepared.code === 'token-rejected') {
    const { until: rest, ...rejection } = judgeRejection(view.consent, now)
    const until = delayUntil(view, policy, now, rest.diff(now))
    await store.backOffRejected(claim, { ...rejection, until, now, detail: prepared.detail })
    return snooze(until, rejection.isOwn ? WAITING_FOR_A_TOKEN : `every token was rejected (${prepared.detail})`)
  }
  if (prepared?.kind === 'rejected') {
    const until = delayUntil(view, policy, now, withJitter(REFUSED_DELAY, view.consent.id))
    await store.backOff(claim, { now, until, code: 'link-rejected', counts: true, outages: 0, detail: prepared.detail })
    return snooze(until, `the provider refused to make a link (${prepared.detail})`)
  }
  const step = stepOf(view, due, prepared, now, policy)
  const dispatched = await store.commitStep(claim, step, deps.queuedFor)
  for (const message of dispatched) await deps.enqueue('notification', message)
  const queued = step.messages[0]
  return done(
    [prepared && `made a link (${prepared.authorisation.route})`, queued && `queued message ${queued.rung}`]
      .filter(Boolean)
      .join(', '),
  )
}

/** The end of a delay, but not past the end of grace, when the consent lapses. */
const delayUntil = (view: ConsentView, policy: Policy, now: DateTime, rest: Duration): DateTime => {
  const until = now.plus(rest)
  const { graceEndsAt } = openRoutes(view.consent, view.renewal, now, policy)
  return graceEndsAt > now && graceEndsAt < until ? graceEndsAt : until
}

/**
 * Everything that the step commits at once: one message for each channel that the user can be reached by. The domain
 * gives the next date for the consent after the step.
 */
const stepOf = (
  view: ConsentView,
  due: RenewAction,
  prepared: Extract<Prepared, { kind: 'prepared' }> | undefined,
  now: DateTime,
  policy: Policy,
): RenewalStep => {
  const { consent } = view
  const { reason } = due
  const open = view.renewal?.status === 'open' ? view.renewal : undefined
  const renewal = open ?? newRenewal(consent, { id: randomUUID(), now, reason })
  const authorisation = prepared?.authorisation
  const of = { consentId: consent.id, renewalId: renewal.id }
  const attempt = authorisation === undefined ? undefined : newAttempt(of, authorisation)
  const owed = due.message
  const messages =
    owed === undefined
      ? []
      : reachableBy(consent, policy.channels).map((channel) =>
          newMessage(renewal, { id: randomUUID(), now, channel, ...owed }),
        )
  const after = viewAfter(view, { renewal, attempt, messages })
  return {
    now,
    renewal,
    opens: open === undefined,
    authorisation,
    messages,
    next: nextDateOf(after, now, policy),
    reason,
  }
}

/**
 * The queue retries after an outage; after its last try the record backs off. An outage never counts as the consent's
 * own failure.
 */
const settleFailure = async (
  { store, policy }: RenewConsentDeps,
  claim: Claim,
  view: ConsentView,
  run: JobContext,
  now: DateTime,
  error: unknown,
): Promise<Outcome> => {
  if (error instanceof StaleClaim) throw error
  if (error instanceof PermanentError && error.code === 'decryption-failed') {
    await store.closeByRule(claim, 'quarantined', now, error.message)
    throw error
  }
  if (!(error instanceof TransientError)) {
    // A bug of our own: the delay is long enough not to fail all the time, and short enough to resume soon after a fix.
    // Best effort: if the write fails, the consent stays due anyway.
    await store
      .backOff(claim, {
        now,
        until: now.plus(backOffAfter(view.consent.failedAttempts + 1)),
        code: 'internal',
        counts: true,
        outages: 0,
      })
      .catch(() => undefined)
    throw error
  }
  if (!run.isLastTry) throw error
  const { id } = view.consent
  const outages = isOutage(error.code) ? outageNo(view.consent, now, run.manual) : 0
  const rest =
    outages > 0
      ? delayAfterOutage({ no: outages, key: id, retryAfterMs: error.retryAfterMs })
      : withJitter(backOffAfter(1), id)
  const until = delayUntil(view, policy, now, rest)
  await store.backOff(claim, { now, until, code: error.code, counts: false, outages })
  return snooze(until, error.message)
}
