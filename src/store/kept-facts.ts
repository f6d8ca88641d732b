// What was read under a claim or for a page, kept for the next step that begins from it, so that nothing is read twice
// (decision 0053). Whether it is still so is asked when that step writes, as of everything that a step reads.
import { recordIn, type RowKind, type Rows } from './columns.ts'
import type { Claim, RenewalPage } from './port.ts'
import type { SeenRows, Statements, Written } from './statements.ts'

/** A row of a statement that selects whole records (`allOf`) and their versions (`versionsOf`). */
export type FoundRow = Readonly<Record<string, unknown>>

/** How each kind of record is called in such a statement. */
export const aliasOf = {
  consent: 'consent',
  renewal: 'renewal',
  authorisation: 'attempt',
  notification: 'message',
} as const satisfies Record<RowKind, string>

const kinds = Object.keys(aliasOf) as readonly RowKind[]

type Holder = Claim | RenewalPage
const factsOf = new WeakMap<Holder, FoundRow>()

/** The row was selected as facts.ts does. */
export const keepFacts = (holder: Holder, row: FoundRow): void => void factsOf.set(holder, row)

/** After a write that was no step: the next step would find that they are no longer so. */
export const forgetFacts = (holder: Holder): void => void factsOf.delete(holder)

export const keptFacts = (holder: Holder): FoundRow | undefined => factsOf.get(holder)

/** One record of the kept facts. */
export const keptRecord = <Kind extends RowKind>(holder: Holder, kind: Kind): Rows[Kind] | undefined => {
  const row = keptFacts(holder)
  return row && recordIn(kind, aliasOf[kind], row)
}

/**
 * The facts for a step that begins from them; undefined in a transaction, which reads under locks. With `goesOn`, the
 * next step can begin from what this step leaves.
 */
export const takeFacts = (
  { seen }: Statements,
  holder: Holder,
  needs: readonly RowKind[],
  goesOn = false,
): FoundRow | undefined => {
  const row = factsOf.get(holder)
  factsOf.delete(holder)
  if (seen === undefined || row === undefined) return undefined
  seen.readEarlier()
  noteSeen(seen, needs, row)
  if (goesOn) seen.afterwards((written) => keepFacts(holder, rewritten(row, written)))
  return row
}

export const noteSeen = (seen: SeenRows, needs: readonly RowKind[], row: FoundRow): void => {
  for (const kind of needs) {
    const { id } = row[aliasOf[kind]] as { readonly id: string }
    seen.note({ kind, id, version: row[versionOf(kind)] as string })
  }
}

/** The column with the version of a record (`xmin`): which transaction has written it. */
export const versionOf = (kind: RowKind): string => `${aliasOf[kind]}.xmin`

const rewritten = (row: FoundRow, { records, version }: Written): FoundRow => {
  const after: Record<string, unknown> = { ...row }
  for (const kind of kinds) {
    const before = row[aliasOf[kind]] as { readonly id: string } | null | undefined
    const record = before && records.find(({ id }) => id === before.id)
    if (record) Object.assign(after, { [aliasOf[kind]]: record, [versionOf(kind)]: version })
  }
  return after
}
