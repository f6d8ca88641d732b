// One broken promise: the number of its invariant (docs/reliability.md), the record, and what is wrong with it.
// Contains no secret and no address.

export interface Violation {
  readonly invariant: number
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
export const listViolations = (invariant: number, found: readonly Found[]): Violation[] => {
  const listed = found.slice(0, MAX_LISTED).map((violation) => ({ invariant, ...violation }))
  return found.length > MAX_LISTED
    ? [...listed, { invariant, record: 'more', what: `only the first ${MAX_LISTED} of this kind are listed` }]
    : listed
}
