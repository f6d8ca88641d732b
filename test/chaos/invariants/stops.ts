// Invariant 6, the second half: no message is begun for a consent that an operator paused or whose user opted out, by
// the operators' own record.
import type { Check } from '../books.ts'
import type { Violation } from '../checked.ts'
import { holdsOf } from '../holds.ts'
import { counted } from './counted.ts'

export const stopsAreHeeded: Check = ({ records, acts, rig: { clock } }) => {
  const violations: Violation[] = []
  const stopped = acts.filter(({ what, answer }) => what !== 'resume' && answer === 'done')
  const renewedAt = (consentId: string): number[] =>
    (records.renewalsOf.get(consentId) ?? []).flatMap(({ status, closed_at: at }) =>
      status === 'renewed' && at !== null ? [clock.realAt(at)] : [],
    )
  const ids = new Set(stopped.map(({ consentId }) => consentId))
  for (const row of records.notifications.values()) {
    if (!ids.has(row.consent_id)) continue
    // Both are taken before the transaction begins: if one is later than the answer to the stop, the message was
    // committed after the stop.
    for (const at of [row.sending_at, row.repeated_at]) {
      if (at === null) continue
      const begun = clock.realAt(at)
      const paused = holdsOf(acts, row.consent_id).find(
        ({ certain }) => certain !== undefined && begun > certain.from && begun < certain.to,
      )
      // A renewal that was proven meanwhile ends a pause.
      const isOver =
        paused !== undefined && renewedAt(row.consent_id).some((end) => end >= paused.may.from && end <= begun)
      const left = stopped.find(
        ({ what, consentId, to }) => what === 'opt-out' && consentId === row.consent_id && begun > to,
      )
      if (left === undefined && (paused === undefined || isOver)) continue
      violations.push({
        invariant: 6,
        record: `notification ${row.id}`,
        what:
          `committed to be sent at ${at.toISOString()}, ` +
          (left === undefined ? 'while its consent was paused' : 'after its user had opted out'),
      })
    }
  }
  const underWay = stopped.filter((act) => act.underWay).length
  return {
    invariant: 6,
    says: 'no message is begun after a pause or an opt-out',
    looked: stopped.length,
    violations,
    notes: [
      ...counted(stopped.map(({ what }) => what)),
      ...(underWay === 0 ? [] : [`${underWay} of them while a message was on its way`]),
    ],
  }
}
