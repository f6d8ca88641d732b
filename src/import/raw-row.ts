// A row of an import's file, whatever its format, before anything is known of its values.

/** `line` counts from 1 as editors do; for a CSV record of several lines it is the first. */
export type RawRow =
  | { readonly line: number; readonly fields: Readonly<Record<string, unknown>> }
  | { readonly line: number; readonly problem: string }
