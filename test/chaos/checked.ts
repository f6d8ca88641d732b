// What a check of the books came to. Types alone.

export interface Violation {
  readonly invariant: number
  readonly record: string
  readonly what: string
}

export interface Checked {
  readonly invariant: number
  readonly says: string
  /** How many things were looked at. */
  readonly looked: number
  readonly violations: readonly Violation[]
  /** What is allowed and worth knowing. */
  readonly notes: readonly string[]
  /** What of the invariant this run did not show, although what it looked at was sound. */
  readonly notShown?: string | undefined
}
