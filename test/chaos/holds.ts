// Which consents operators paused, and which users opted out, read from the operators' own record: when a consent may
// have been paused, and when it certainly was.
import type { Span } from './obstacles.ts'
import type { OperatorAct } from './operators.ts'

export interface Hold {
  /** From the first moment at which the consent may have been paused to the last. */
  readonly may: Span
  /**
   * The time between the two answers, in which the consent certainly was paused; undefined when no answer to the pause
   * came.
   */
  readonly certain: Span | undefined
}

/** The pauses of one consent. A pause that nobody ended lasts for ever. */
export const holdsOf = (acts: readonly OperatorAct[], consentId: string): Hold[] => {
  const own = acts.filter((act) => act.consentId === consentId).toSorted((a, b) => a.from - b.from)
  return own.flatMap((pause, index) => {
    if (pause.what !== 'pause' || (pause.answer !== 'done' && pause.answer !== 'lost')) return []
    const after = own.slice(index + 1)
    const first = after.find(({ what }) => what === 'resume' || what === 'opt-out')
    const ended = after.find(({ what, answer }) => what === 'resume' && answer !== 'lost')
    const certain =
      pause.answer === 'done' ? { from: pause.to, to: first?.from ?? Number.POSITIVE_INFINITY } : undefined
    return [{ may: { from: pause.from, to: ended?.to ?? Number.POSITIVE_INFINITY }, certain }]
  })
}

export const optOutOf = (acts: readonly OperatorAct[], consentId: string): OperatorAct | undefined =>
  acts.find(
    (act) => act.what === 'opt-out' && act.consentId === consentId && (act.answer === 'done' || act.answer === 'lost'),
  )
