// What a schema says about a variable or key beside its type, as zod's metadata: for docs/configuration.md and for
// problems.
import type { z } from 'zod'

export interface Notes {
  /** The meaning, in Markdown. */
  readonly description?: string
  /** What a value looks like, in Markdown, where the schema alone does not tell. */
  readonly values?: string
  /** What holds without it, in Markdown, where that is no default of the schema. */
  readonly unset?: string
  /** What to do when it is needed and not set. */
  readonly hint?: string
  /** Whether a variable may also come from the file that NAME_FILE names. */
  readonly secret?: boolean
}

/** The schema with notes; `.meta()` itself would take any name. */
export const described = <S extends z.ZodType>(schema: S, notes: Notes): S => schema.meta({ ...notes })
