// Works out when the user consented where imports have rewritten that instant. No event holds it; but whatever each
// import did to it, the import did to `created_at` as well, whose true value is known. So the imports' zones can be
// found from `created_at`, and their shifts undone. Pure.
import { instantsReadAs, readAs } from '../domain/shifted-instant.ts'
import { instantByEvents } from './plan.ts'
import type { ProvenEvent } from './prove-events.ts'
import { instantOf, type Row } from './read-consents.ts'

export interface ConsentedQuestion {
  readonly consent: Row
  readonly events: readonly ProvenEvent[]
  /** Events of imports, one for each import. */
  readonly imports: readonly ProvenEvent[]
  /** Events of the consents that this consent superseded. */
  readonly before: readonly ProvenEvent[]
  readonly zones: readonly (readonly string[])[]
}

/** With more combinations of zones than this, an explanation would prove nothing. */
const MAX_WAYS = 2_000
const NAMES_TRIED = 2

/** Undefined when the instant cannot be proven. */
export const consentedBy = ({ consent, events, imports, before, zones }: ConsentedQuestion): number | undefined => {
  const stored = instantOf(consent, 'consented_at')
  const [first, created] = [events[0], instantOf(consent, 'created_at')]
  if (stored === undefined || first === undefined || created === undefined) return stored
  const set =
    events.findLast(
      ({ type, data }) =>
        ['consent.imported', 'consent.repaired'].includes(type) ||
        (type === 'consent.updated' && data['expires_at'] !== undefined),
    ) ?? first
  const rewrites = imports.filter(({ seq, meant }) => seq > 1 && meant !== first.meant)
  const since = rewrites.filter(({ seq, meant }) => seq > set.seq && meant !== set.meant).length
  // A user's own renewal set consented_at to the instant when the code arrived or when the renewal was proven.
  const ofUser =
    set.actor === 'user' ? [...before.filter(({ type }) => type === 'authorisation.code-received'), set] : undefined
  const written = (value: number): number | undefined => (ofUser === undefined ? value : instantByEvents(value, ofUser))

  // No import since has moved the value.
  if (since === 0 || created === first.stored) return written(stored)
  const choices: (string | undefined)[] = [undefined, ...zones.flatMap((names) => names.slice(0, NAMES_TRIED))]
  if (choices.length ** rewrites.length > MAX_WAYS) return undefined
  const found = new Set<number | undefined>()
  for (const way of waysOf(choices, rewrites.length)) {
    if (way.reduce((value, zone) => (zone === undefined ? value : readAs(zone, value)), first.stored) !== created)
      continue
    const undone = way
      .slice(way.length - since)
      .reduceRight<number[]>(
        (values, zone) => (zone === undefined ? values : values.flatMap((value) => instantsReadAs(zone, value))),
        [stored],
      )
    for (const value of undone) found.add(written(value))
  }
  return found.size === 1 ? [...found][0] : undefined
}

function* waysOf<Choice>(choices: readonly Choice[], length: number): Generator<Choice[]> {
  if (length === 0) yield []
  else for (const rest of waysOf(choices, length - 1)) for (const choice of choices) yield [...rest, choice]
}
