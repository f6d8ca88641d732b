// Plans the corrected instants of a consent's renewals, attempts and messages, each by the event it was written with.
// Pure.
import { isShift } from '../domain/shifted-instant.ts'
import { replayOne, unborn } from '../domain/replay.ts'
import { type By, type Change, instantByEvents, type Table } from './plan.ts'
import type { ProvenEvent } from './prove-events.ts'
import { instantOf, numberOf, type Row, type StoredConsent, textOf } from './read-consents.ts'

/** In release 0.1.0 a state was valid for a day from the making of its link. */
const STATE_LIVED_MS = 24 * 3_600_000

export interface Found {
  readonly changes: Change[]
  /** Rows that were created under another zone and have a value that nothing explains. */
  readonly unproven: { readonly record: string; readonly reason: string }[]
}

interface Proposal {
  readonly table: Exclude<Table, 'events'>
  readonly row: Row
  readonly column: string
  readonly meant: number | undefined
  readonly by?: By
  /** Whether a value without proof is reported: only where the row was created under another zone. */
  readonly reported: boolean
}

export const propose = (
  found: Found,
  { table, row, column, meant, by = 'the event that goes with it', reported }: Proposal,
): void => {
  const stored = instantOf(row, column)
  if (stored === undefined || stored === meant) return
  const id = textOf(row, 'id')
  if (meant !== undefined) found.changes.push({ table, id, column, stored, meant, by })
  else if (reported) found.unproven.push({ record: `${table} ${id}`, reason: `no event proves its ${column}` })
}

const wasShifted = (event: ProvenEvent | undefined): boolean => event === undefined || event.meant !== event.stored
const eventsOf = (events: readonly ProvenEvent[], key: string, id: string): ProvenEvent[] =>
  events.filter(({ data }) => data[key] === id)
const ofType = (events: readonly ProvenEvent[], ...types: string[]): ProvenEvent[] =>
  events.filter(({ type }) => types.includes(type))
const at = (row: Row, column: string, events: readonly ProvenEvent[]): number | undefined => {
  const stored = instantOf(row, column)
  return stored === undefined ? undefined : instantByEvents(stored, events)
}

export const expiryIn = ({ data }: ProvenEvent): number | undefined =>
  typeof data['expires_at'] === 'string' ? Date.parse(data['expires_at']) : undefined

/** The events with which each final status of a renewal was written. */
const closers: Readonly<Record<string, readonly string[]>> = {
  renewed: ['consent.renewed'],
  repaired: ['consent.repaired'],
  lapsed: ['consent.lapsed'],
  cancelled: ['consent.superseded', 'consent.closed', 'consent.unsupported'],
}

/** Pairs each event with the cycle in which it happened. */
const withCycles = (events: readonly ProvenEvent[]): { event: ProvenEvent; cycle: number }[] => {
  let state = unborn
  return events.map((event) => {
    const { cycle } = state
    state = replayOne(state, event)
    return { event, cycle }
  })
}

export const planRows = (
  { renewals, authorisations, notifications }: StoredConsent,
  events: readonly ProvenEvent[],
): Found => {
  const found: Found = { changes: [], unproven: [] }
  const cycles = withCycles(events)
  for (const row of renewals) {
    const cycle = numberOf(row, 'cycle')
    const opened = ofType(events, 'renewal.opened').filter(({ data }) => data['cycle'] === cycle)
    const reported = wasShifted(opened[0])
    const ends = cycles
      .filter(
        (closing) => closing.cycle === cycle && closers[textOf(row, 'status')]?.includes(closing.event.type) === true,
      )
      .map(({ event }) => event)
    const before = events
      .filter(({ seq }) => seq < (opened[0]?.seq ?? 0))
      .flatMap((event) => expiryIn(event) ?? [])
      .at(-1)
    const stored = instantOf(row, 'previous_expires_at')
    const isExplained =
      before !== undefined &&
      stored !== undefined &&
      (before === stored || isShift({ meant: before, stored }, 2 + events.length))
    propose(found, { table: 'renewals', row, column: 'opened_at', meant: at(row, 'opened_at', opened), reported })
    propose(found, { table: 'renewals', row, column: 'closed_at', meant: at(row, 'closed_at', ends), reported })
    propose(found, {
      table: 'renewals',
      row,
      column: 'previous_expires_at',
      meant: isExplained ? before : undefined,
      by: 'the expiry in its events',
      reported,
    })
  }
  for (const row of authorisations) planAuthorisation(found, row, events)
  for (const row of notifications) {
    const own = eventsOf(events, 'notification_id', textOf(row, 'id'))
    const reported = wasShifted(ofType(own, 'message.queued')[0])
    const columns = { created_at: 'message.queued', sending_at: 'message.sending', sent_at: 'message.sent' }
    for (const [column, type] of Object.entries(columns))
      propose(found, { table: 'notifications', row, column, meant: at(row, column, ofType(own, type)), reported })
  }
  return found
}

const planAuthorisation = (found: Found, row: Row, events: readonly ProvenEvent[]): void => {
  const own = eventsOf(events, 'authorisation_id', textOf(row, 'id'))
  const made = ofType(own, 'link.made', 'link.handed-out').slice(0, 1)
  const reported = wasShifted(made[0])
  const columns = {
    issued_at: made,
    handed_out_at: ofType(own, 'link.handed-out'),
    code_received_at: ofType(own, 'authorisation.code-received'),
    exchange_started_at: ofType(own, 'authorisation.exchanging'),
    answered_at: ofType(own, 'authorisation.answered'),
    // Another attempt's success closes the other attempts, and its event does not name them.
    closed_at: [
      ...ofType(
        own,
        'authorisation.refused-at-bank',
        'authorisation.refused',
        'authorisation.mismatched',
        'authorisation.superseded',
      ),
      ...ofType(events, 'consent.renewed'),
    ],
  }
  for (const [column, written] of Object.entries(columns))
    propose(found, { table: 'authorisations', row, column, meant: at(row, column, written), reported })
  const [issued, stored] = [at(row, 'issued_at', made), instantOf(row, 'expires_at')]
  const ends = issued === undefined ? undefined : issued + STATE_LIVED_MS
  const isExplained =
    ends !== undefined && stored !== undefined && (ends === stored || isShift({ meant: ends, stored }))
  propose(found, {
    table: 'authorisations',
    row,
    column: 'expires_at',
    meant: isExplained ? ends : undefined,
    reported,
  })
}
