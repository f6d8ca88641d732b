// Finds the rows of a batch that change nothing, without a lock: of a nightly file these are nearly all. The batch
// itself judges them (import-batch.ts), on what is stored at one moment: as if they had been imported at that moment.
import type { Vault } from '../crypto/vault.ts'
import type { ImportRow, RowResult } from './administration-port.ts'
import { type BatchInput, startBatch } from './import-batch.ts'
import type { Known } from './import-reads.ts'
import { openLedger } from './token-ledger.ts'

export interface Look extends Omit<BatchInput, 'ours' | 'ledger'> {
  readonly vault: Vault
  readonly known: Known
}

/** The results of the rows that change nothing, by their place in the batch. */
export const findUnchanged = (
  rows: readonly ImportRow[],
  fingerprints: readonly string[],
  { known, ...input }: Look,
): Map<number, RowResult> => {
  const ledger = openLedger(input.vault, known)
  const batch = startBatch({ ...input, ours: known.ours, ledger })
  const isKnown = new Set(known.ours.map(({ credentialsId }) => credentialsId))
  // Such a token is put on record when its consent is locked.
  const unmarked = new Set(ledger.marks().map(({ consentId }) => consentId))
  for (const row of known.ours) if (unmarked.has(row.id)) isKnown.delete(row.credentialsId)
  // Rows that other rows or consents speak about are left to the batch under locks.
  for (const row of known.ours) if (row.supersedes !== null) isKnown.delete(row.supersedes)
  const credentialsIds = countOf(rows.map(({ credentialsId }) => credentialsId))
  const tokens = countOf(fingerprints)
  const superseded = new Set(rows.map(({ supersedes }) => supersedes))

  const unchanged = new Map<number, RowResult>()
  for (const [place, row] of rows.entries()) {
    const fingerprint = fingerprints[place]!
    // What such a row means may depend on another row, and that one is judged anew under locks.
    const standsAlone =
      row.supersedes === undefined &&
      !superseded.has(row.credentialsId) &&
      credentialsIds.get(row.credentialsId) === 1 &&
      tokens.get(fingerprint) === 1
    if (!standsAlone || !isKnown.has(row.credentialsId)) continue
    const result = batch.take(row, fingerprint)
    if (result.kind === 'unchanged') unchanged.set(place, result)
  }
  return unchanged
}

const countOf = (texts: readonly string[]): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1)
  return counts
}
