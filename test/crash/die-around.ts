// Stands around every port of an armed process and strikes before or after a call: `before store.recordSweep`,
// `after queue.add(notify)`, `failed jobs.reauth`. In brackets stands what the call is about, where that is a kind of
// record or a queue; `in vain` says that the call found nothing to do.
import type { Wrap } from '../../src/roles/services.ts'

export type StrikeAt = (place: string) => Promise<void>

const SUBJECTS: readonly unknown[] = ['consent', 'authorisation', 'notification', 'reauth', 'notify', 'exchange']

const subjectOf = (first: unknown): string => {
  const kind: unknown = typeof first === 'object' && first !== null && 'kind' in first ? first.kind : first
  return SUBJECTS.includes(kind) ? `(${String(kind)})` : ''
}
const isVain = (result: unknown): boolean =>
  result === false || result === 0 || (Array.isArray(result) && result.length === 0)

export const dieAround =
  (strike: StrikeAt): Wrap =>
  <Port extends object>(name: string, port: Port): Port => {
    const around =
      (method: string, call: (...given: unknown[]) => unknown) =>
      async (...given: unknown[]) => {
        const place = `${name}.${method}${subjectOf(given[0])}`
        await strike(`before ${place}`)
        let result: unknown
        try {
          result = await call(...given)
        } catch (error) {
          await strike(`failed ${place}`)
          throw error
        }
        await strike(`after ${place}${isVain(result) ? ' in vain' : ''}`)
        return result
      }
    const wrapped = Object.entries(port).map(([method, step]: [string, unknown]) => [
      method,
      // What answers at once, like the channel's `compose` and `close`, does not wait for us either.
      typeof step === 'function' && !NOT_A_CALL.has(`${name}.${method}`)
        ? around(method, step.bind(port) as (...given: unknown[]) => unknown)
        : step,
    ])
    return Object.fromEntries(wrapped) as Port
  }

const NOT_A_CALL: ReadonlySet<string> = new Set(['channel.close', 'channel.compose'])
