// One broken promise: the number of its invariant (docs/reliability.md), the record, and what is wrong with it.
// Contains no secret and no address.

/** The invariants that a database alone can show to be broken, by their numbers in docs/reliability.md. */
export const invariants = {
  /** Nothing open is without a date, or overdue. */
  dates: 1,
  /** Every stored secret decrypts. */
  secrets: 4,
  /** A cycle has one renewal, a renewal one success, and a success its proof. */
  successes: 5,
  /** No message is sent twice, nor after the renewal, a stop or a pause. */
  messages: 6,
  /** An intent is committed before its effect. */
  intents: 7,
  /** The events of a consent and the feed have no gap, and nobody can change them. */
  events: 10,
} as const

type Invariant = (typeof invariants)[keyof typeof invariants]

export interface Violation {
  readonly invariant: Invariant
  /** Table and id: `consents 6f1c…`. */
  readonly record: string
  readonly what: string
}

/** The most violations listed per check: more of the same kind tell nothing new, and the limit bounds memory. */
export const MAX_LISTED = 1_000

/** One row of a query for violations. */
export interface Found {
  readonly record: string
  readonly what: string
}

/**
 * Returns at most MAX_LISTED violations, and one extra line when there are more. Queries therefore fetch MAX_LISTED + 1
 * rows.
 */
export const listViolations = (invariant: Invariant, found: readonly Found[]): Violation[] => {
  const listed = found.slice(0, MAX_LISTED).map(({ record, what }) => ({ invariant, record, what }))
  return found.length > MAX_LISTED
    ? [...listed, { invariant, record: 'more', what: `only the first ${MAX_LISTED} of this kind are listed` }]
    : listed
}
