// One broken promise: which of the invariants (docs/reliability.md), which record, and what is wrong with it. No
// secret, no address.

export interface Violation {
  readonly invariant: number
  /** Table and id: `consents 6f1c…`. */
  readonly record: string
  readonly what: string
}

/** Of one check: more of the same says nothing new, and memory stays flat. */
export const MAX_LISTED = 1_000

/** What a query of violations returns. */
export interface Found {
  readonly record: string
  readonly what: string
}

/** At most MAX_LISTED of them, and one line that says so when there are more; queries ask for one more than that. */
export const listViolations = (invariant: number, found: readonly Found[]): Violation[] => {
  const listed = found.slice(0, MAX_LISTED).map((violation) => ({ invariant, ...violation }))
  return found.length > MAX_LISTED
    ? [...listed, { invariant, record: 'more', what: `only the first ${MAX_LISTED} of this kind are listed` }]
    : listed
}
