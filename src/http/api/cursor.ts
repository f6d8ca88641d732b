// Where a page ended, as an opaque text: callers pass it back, and read nothing out of it.
import { invalidRequest } from './validate.ts'

const forms = {
  /** Our id of the last consent. */
  consent: /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  /** The number of the last event of a consent. */
  seq: /^\d{1,9}$/,
} as const

type Kind = keyof typeof forms

export const writeCursor = (kind: Kind, place: string): string => Buffer.from(`${kind}:${place}`).toString('base64url')

/** The place that the cursor stands for; throws the problem of a cursor that is none, or of another list. */
export const readCursor = (kind: Kind, cursor: string): string => {
  const [said, place = ''] = Buffer.from(cursor, 'base64url').toString('latin1').split(':')
  if (said === kind && forms[kind].test(place)) return place
  throw invalidRequest([{ parameter: 'after', detail: 'must be the next_cursor of an earlier page' }])
}
