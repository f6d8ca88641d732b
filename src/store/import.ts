// Writes a batch of imported rows in one transaction, by a handful of statements. Idempotent: the same batch a second
// time finds nothing to change, and neither locks nor writes anything.
import type { Vault } from '../crypto/vault.ts'
import type { Policy } from '../domain/policy.ts'
import { clearAccessTokens } from './access-cache.ts'
import type { ImportRow, Imports, RowResult } from './administration-port.ts'
import type { Database } from './database.ts'
import { againAfterCollision } from './database-errors.ts'
import { idsOfBatch, type NewConsent, newConsent, startBatch } from './import-batch.ts'
import { type Apartness, type BatchKeys, type Known, lockForImport, readForImport } from './import-reads.ts'
import { findUnchanged } from './import-unchanged.ts'
import { closeCycles, insertConsents, reviveUnreached, writeConsents, writeEvents } from './import-writes.ts'
import type { Statements } from './statements.ts'
import { fingerprintOf, markFirstTokens, markTokens } from './token-fingerprints.ts'
import { openLedger } from './token-ledger.ts'

/** Includes the wait for locks that others hold on a busy system. */
const BATCH_TIMEOUT_MS = 120_000

type Options = Parameters<Imports['importBatch']>[1]

export const imports = (db: Database, policy: Policy): Imports => {
  /**
   * A file is mostly new or mostly known. To look for unchanged rows first is worth while only where there are many, so
   * the batch before decides whether to; where there are few, the consents of the rows are made ready instead.
   */
  let wasMostlyUnchanged = true
  let before: Promise<unknown> = Promise.resolve()

  const run = async (
    rows: readonly ImportRow[],
    prints: readonly string[],
    prepared: readonly NewConsent[] | undefined,
    options: Options,
  ): Promise<RowResult[]> => {
    const results = wasMostlyUnchanged
      ? await importChanged(db, policy, rows, prints, options)
      : await tryBatch(db, policy, rows, { fingerprints: prints, bringsTokens: true, prepared }, options)
    wasMostlyUnchanged = results.filter(({ kind }) => kind === 'unchanged').length * 2 > rows.length
    return results
  }

  return {
    importBatch: async (rows, options) => {
      const fingerprints = rows.map((row) => fingerprintOf(row.refreshToken))
      const making = { vault: db.vault, policy, now: options.now, newId: idsOfBatch() }
      const prepared = wasMostlyUnchanged ? undefined : rows.map((row) => newConsent(row, making))
      const running = before.then(async () => run(rows, fingerprints, prepared, options))
      before = running
      try {
        return await running
      } catch (error) {
        // Only a batch that was given before this one failed is rejected along with it.
        if (before === running) before = Promise.resolve()
        throw error
      }
    },
  }
}

/** Looks at all rows without a lock, and writes those that may change something. */
const importChanged = async (
  db: Database,
  policy: Policy,
  rows: readonly ImportRow[],
  fingerprints: readonly string[],
  options: Options,
): Promise<RowResult[]> => {
  const known = await readForImport(db.prisma, keysOf(rows, fingerprints))
  const unchanged = findUnchanged(rows, fingerprints, { vault: db.vault, policy, known, ...options })
  const places = [...rows.keys()].filter((place) => !unchanged.has(place))
  const left = places.map((place) => rows[place]!)
  const leftPrints = places.map((place) => fingerprints[place]!)
  const bringsTokens = bringsNewToken(left, leftPrints, known)
  const written =
    left.length === 0 ? [] : await tryBatch(db, policy, left, { fingerprints: leftPrints, bringsTokens }, options)
  for (const [index, result] of written.entries()) unchanged.set(places[index]!, result)
  return rows.map((_row, place) => unchanged.get(place)!)
}

interface Given {
  readonly fingerprints: readonly string[]
  /** A row has, or may have, a token that is not on record for its connection. */
  readonly bringsTokens: boolean
  /** For each row, the consent to create if its connection is new. */
  readonly prepared?: readonly NewConsent[] | undefined
}

const tryBatch = async (
  db: Database,
  policy: Policy,
  rows: readonly ImportRow[],
  { prepared, bringsTokens, fingerprints }: Given,
  options: Options,
): Promise<RowResult[]> =>
  // Another import, or a renewal by full authentication, may create or lock one of these connections meanwhile.
  againAfterCollision(async (tried) =>
    db.prisma.$transaction(
      async (tx) => {
        const apart = bringsTokens ? 'alone' : 'shared'
        const locked = await lockRows(tx, rows, fingerprints, apart)
        // A try changes the prepared consents, so the next try makes its own.
        return writeRows(tx, { vault: db.vault, policy }, locked, {
          ...options,
          prepared: tried === 1 ? prepared : undefined,
        })
      },
      { timeout: BATCH_TIMEOUT_MS, maxWait: BATCH_TIMEOUT_MS },
    ),
  )

/** Rows with the consents and tokens that they may be about, under their locks. */
export interface LockedRows {
  readonly rows: readonly ImportRow[]
  /** Of each row's token. */
  readonly fingerprints: readonly string[]
  readonly known: Known
}

export const lockRows = async (
  tx: Statements,
  rows: readonly ImportRow[],
  fingerprints: readonly string[],
  apart: Apartness,
): Promise<LockedRows> => ({
  rows,
  fingerprints,
  known: await lockForImport(tx, keysOf(rows, fingerprints), apart),
})

/** Writes rows under their locks; returns a result for each, in their order. `by`: the key of the API. */
export const writeRows = async (
  tx: Statements,
  { vault, policy }: { vault: Vault; policy: Policy },
  { rows, fingerprints, known }: LockedRows,
  { prepared, ...options }: Options & { readonly by?: string; readonly prepared?: Given['prepared'] },
): Promise<RowResult[]> => {
  const ledger = openLedger(vault, known)
  const batch = startBatch({ vault, policy, ours: known.ours, ledger, ...options })
  const results = rows.map((row, place) => batch.take(row, fingerprints[place]!, prepared?.[place]))
  const now = options.now.toJSDate()
  const created = batch.created()
  const isCreated = new Set(created.map(({ id }) => id))
  await insertConsents(tx, created)
  await writeConsents(tx, batch.changed())
  const marks = ledger.marks()
  await markFirstTokens(
    tx,
    marks.filter(({ consentId }) => isCreated.has(consentId)),
    now,
  )
  await markTokens(
    tx,
    marks.filter(({ consentId }) => !isCreated.has(consentId)),
    now,
  )
  await closeCycles(tx, batch.repaired(), 'repaired', now)
  await closeCycles(tx, batch.superseded(), 'cancelled', now)
  await clearAccessTokens(tx, batch.superseded())
  for (const [channel, ids] of batch.readdressed()) await reviveUnreached(tx, channel, ids, now)
  await writeEvents(tx, batch.events())
  return results
}

const keysOf = (rows: readonly ImportRow[], fingerprints: readonly string[]): BatchKeys => ({
  credentialsIds: rows.map(({ credentialsId }) => credentialsId),
  superseded: rows.flatMap(({ supersedes }) => supersedes ?? []),
  fingerprints,
})

/** Whether a row has a token that is not on record for its own connection. */
const bringsNewToken = (
  rows: readonly ImportRow[],
  fingerprints: readonly string[],
  { tokens }: Pick<Known, 'tokens'>,
): boolean => {
  const known = new Set(tokens.map(({ fingerprint, credentialsId }) => `${fingerprint} ${credentialsId}`))
  return rows.some((row, index) => !known.has(`${fingerprints[index]} ${row.credentialsId}`))
}
