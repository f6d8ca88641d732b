// The one table of the kinds of record that jobs work on, with the queue and the job of each. The table of each in the
// database is in store/record-tables.ts.
export const recordJobs = {
  consent: { queue: 'reauth', job: 'renew-consent', idField: 'consentId' },
  notification: { queue: 'notify', job: 'send-notification', idField: 'notificationId' },
  authorisation: { queue: 'exchange', job: 'advance-attempt', idField: 'authorisationId' },
} as const

export type RecordKind = keyof typeof recordJobs
/** A queue whose jobs each work on one record; the queue `sweep` is the only other one. */
export type RecordQueue = (typeof recordJobs)[RecordKind]['queue']

export const recordKinds = Object.keys(recordJobs) as readonly RecordKind[]

/** Undefined for the sweep, whose job has no record. */
export const kindOfQueue = (queue: RecordQueue | 'sweep'): RecordKind | undefined =>
  recordKinds.find((kind) => recordJobs[kind].queue === queue)

/**
 * A record that was marked as queued. `dispatchNo`: how often the record has been dispatched; it is part of the job id,
 * so that no job id is used twice.
 */
export interface Dispatch {
  readonly id: string
  readonly dispatchNo: number
}
