// Counts what happens by wrapping the parts: the outcomes that the store committed, the provider's answers, the log's
// alerts. Changes nothing that passes through.
import { traitsOf } from './domain/routes.ts'
import type { ErrorCode } from './errors.ts'
import type { AlertName, Log, LogFields } from './log.ts'
import type { Metrics } from './metrics.ts'
import type { GuardedProvider } from './processors/circuit-breaker.ts'
import type { Store } from './store/port.ts'

/** A log that also counts its alerts, the lines with the field `alert`. */
export const meteredLog = (log: Log, metrics: Pick<Metrics, 'recordAlert'>): Log => {
  const count = (fields: LogFields): LogFields => {
    if ('alert' in fields) metrics.recordAlert(fields.alert as AlertName)
    return fields
  }
  return {
    debug: (fields, message) => log.debug(count(fields), message),
    info: (fields, message) => log.info(count(fields), message),
    warn: (fields, message) => log.warn(count(fields), message),
    error: (fields, message) => log.error(count(fields), message),
    child: (fields) => meteredLog(log.child(fields), metrics),
  }
}

/** Counts only what was really written: a write under a stale claim throws. */
export const meteredStore = (store: Store, metrics: Metrics): Store => ({
  ...store,
  beginRepeat: async (claim, now, messagesPerHour) => {
    const start = await store.beginRepeat(claim, now, messagesPerHour)
    if (start.kind === 'reserved') metrics.recordMessage('repeated')
    return start
  },
  settleSending: async (claim, result, now, why) =>
    counted(store.settleSending(claim, result, now, why), () => metrics.recordMessage(result)),
  reschedule: async (claim, at, options) =>
    counted(store.reschedule(claim, at, options), () => metrics.recordMessage(whyPostponed(options.code))),
  failUnbegun: async (claim, now, code, messagesPerHour) => {
    const answer = await store.failUnbegun(claim, now, code, messagesPerHour)
    if (answer === 'failed') metrics.recordMessage('failed')
    return answer
  },
  postponeRepeat: async (claim, at, options) =>
    counted(store.postponeRepeat(claim, at, options), () => metrics.recordMessage(whyPostponed(options.code))),
  cancel: async (claim, now, reason) =>
    counted(store.cancel(claim, now, reason), () => metrics.recordMessage('cancelled')),
  commitRenewal: async (claim, renewed) => {
    const answer = await store.commitRenewal(claim, renewed)
    if (answer === 'renewed') metrics.recordRenewal(renewed.proof.basis)
    return answer
  },
})

/** The channel was unavailable, it deferred this message, or Reconsent itself postponed the message. */
const whyPostponed = (code: ErrorCode | undefined): 'unavailable' | 'deferred' | 'postponed' =>
  code === 'message-unavailable' ? 'unavailable' : code === 'message-deferred' ? 'deferred' : 'postponed'

const counted = async (write: Promise<void>, record: () => void): Promise<void> => {
  await write
  record()
}

export const meteredProvider = (
  provider: GuardedProvider,
  metrics: Pick<Metrics, 'recordProviderCall'>,
): GuardedProvider => ({
  makeLink: async (connection, request) => {
    const answer = await provider.makeLink(connection, request)
    const { linkCall } = traitsOf(request.route)
    if (linkCall !== undefined) metrics.recordProviderCall(linkCall, answer.kind)
    return answer
  },
  exchangeCode: async (connection, request) => {
    const answer = await provider.exchangeCode(connection, request)
    metrics.recordProviderCall(traitsOf(request.route).exchangeCall, answer.kind)
    return answer
  },
  refresh: async (connection, token) => {
    const answer = await provider.refresh(connection, token)
    metrics.recordProviderCall('refresh', answer.kind)
    return answer
  },
  readMe: async (token) => {
    const answer = await provider.readMe(token)
    metrics.recordProviderCall('me', answer.kind)
    return answer
  },
})
