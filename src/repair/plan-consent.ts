// Plans the corrected instants of one consent: an event's by its hash, the expiry by what the events say, and the rest
// by the event that each was written with. Pure. Next dates are not proven but computed anew: see reschedule.ts.
import { isShift, offsetOf, type Shift } from '../domain/shifted-instant.ts'
import { consentedBy } from './consented-at.ts'
import { type Aftermath, type Change, instantByEvents, type Plan, type Unproven } from './plan.ts'
import { expiryIn, planRows, propose } from './plan-rows.ts'
import { type Offsets, type ProvenEvent, proveEvents } from './prove-events.ts'
import { instantOf, type StoredConsent, textOf } from './read-consents.ts'

export interface PlanOptions {
  readonly offsets: Offsets
  /** The zones under which the database was written, as far as they are known. */
  readonly zones: readonly (readonly string[])[]
}

/**
 * The events of imports, one for each import. An import wrote back the whole consent as it had read it. Under another
 * zone, it thereby moved every instant it did not set by the zone's offset.
 */
export const importsOf = (events: readonly ProvenEvent[]): ProvenEvent[] => {
  const written = events.filter(
    ({ type, actor }) =>
      actor === 'company' &&
      ['consent.imported', 'consent.updated', 'consent.repaired', 'consent.superseded'].includes(type),
  )
  return written.filter(({ meant }, index) => meant !== written[index - 1]?.meant)
}

export const planConsent = (stored: StoredConsent, { offsets, zones }: PlanOptions): Plan => {
  const { consent } = stored
  const [consentId, credentialsId] = [textOf(consent, 'id'), textOf(consent, 'credentials_id')]
  const about = { consentId, credentialsId }
  const proven = proveEvents(stored.events, offsets)
  if ('broken' in proven) {
    const reason = `${proven.broken}: nothing of this consent is changed; see reconsent verify`
    return {
      ...about,
      changes: [],
      unproven: [{ ...about, record: `consents ${consentId}`, reason }],
      aftermath: [],
      shifts: { byHash: [], byImport: [] },
    }
  }
  const { events } = proven
  const moved = events.filter(({ meant, stored: at }) => meant !== at)
  const imports = importsOf(events)
  const first = events[0]
  const [expires, created] = [instantOf(consent, 'expires_at') ?? 0, instantOf(consent, 'created_at') ?? 0]
  const expiry = events.flatMap((event) => expiryIn(event) ?? []).at(-1)
  const expiryMoved = expiry !== undefined && isShift({ meant: expiry, stored: expires }, 2 + imports.length)
  const createdMoved = first !== undefined && isShift({ meant: first.meant, stored: created }, 1 + imports.length)
  const found = planRows(stored, events)
  // Where no event, expiry or creation time is shifted, a value without its event is not corrected. The exception is an
  // attempt's `expires_at`, which lies a day ahead: in a zone like London's it may fall after a change of the clocks
  // and be the only shifted value.
  if (moved.length === 0 && !expiryMoved && !createdMoved) {
    const changes = found.changes.filter(({ table, column }) => table === 'authorisations' && column === 'expires_at')
    return { ...about, changes, unproven: [], aftermath: [], shifts: { byHash: [], byImport: [] } }
  }

  const byImport: Shift[] = []
  const isExpiry = expiryMoved || expiry === expires
  propose(found, {
    table: 'consents',
    row: consent,
    column: 'expires_at',
    meant: isExpiry ? expiry : undefined,
    by: 'the expiry in its events',
    reported: true,
  })
  const isCreated = createdMoved || first?.meant === created
  propose(found, {
    table: 'consents',
    row: consent,
    column: 'created_at',
    meant: isCreated ? first?.meant : undefined,
    reported: true,
  })
  // Nothing reads `updated_at`, and not everything that sets it records an event.
  const updated = instantOf(consent, 'updated_at')
  const meantUpdated = updated === undefined ? undefined : instantByEvents(updated, events)
  propose(found, { table: 'consents', row: consent, column: 'updated_at', meant: meantUpdated, reported: false })
  const before = stored.eventsBefore.flatMap((rows) => {
    const others = proveEvents(rows, offsets)
    return 'broken' in others ? [] : others.events
  })
  propose(found, {
    table: 'consents',
    row: consent,
    column: 'consented_at',
    meant: consentedBy({ consent, events, imports, before, zones }),
    by: 'the imports since',
    reported: true,
  })

  // Each import may have moved the value that it read: the remaining shift is a sum.
  const times = Math.max(1, imports.length - 1)
  if (expiry !== undefined && expiryMoved) byImport.push({ meant: expires, stored: expiry, times })
  if (first !== undefined && createdMoved && first.meant === first.stored)
    byImport.push({ meant: created, stored: first.meant, times })

  const changes: Change[] = [
    ...moved.map(({ seq, meant, stored: at }): Change => ({
      table: 'events',
      id: consentId,
      seq,
      column: 'at',
      stored: at,
      meant,
      by: 'its hash',
    })),
    ...found.changes,
  ]
  const unproven: Unproven[] = found.unproven.map((value) => ({ ...about, ...value }))
  return {
    ...about,
    changes,
    unproven,
    aftermath: aftermathOf(about, events),
    shifts: { byHash: moved, byImport },
  }
}

/** Lists the cycles that an import closed although it brought no later expiry than the one before. */
const aftermathOf = (
  about: { consentId: string; credentialsId: string },
  events: readonly ProvenEvent[],
): Aftermath[] => {
  let expiry: number | undefined
  const found: Aftermath[] = []
  for (const event of events) {
    const brought = expiryIn(event)
    const isNoNews = brought !== undefined && expiry !== undefined && brought - expiry < 1_000
    // The old expiry as the import recorded it shows that the import misread it.
    const misread =
      typeof event.data['before'] === 'string' &&
      expiry !== undefined &&
      isShift({ meant: Date.parse(event.data['before']), stored: expiry }, events.length)
    if (event.type === 'consent.repaired' && event.actor === 'company' && isNoNews && misread) {
      const minutes = Math.abs(offsetOf({ meant: Date.parse(String(event.data['before'])), stored: expiry ?? 0 }))
      const when = new Date(event.meant).toISOString()
      const misled = `we read ours ${minutes} minutes off`
      const detail = `on ${when} an import of the date we had was taken for a renewal: ${misled}`
      found.push({ ...about, kind: 'repaired-without-news', detail })
    }
    expiry = brought ?? expiry
  }
  return found
}
