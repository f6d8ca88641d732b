// The import: reads and checks rows and passes them to the store in batches, in the order of the file and with constant
// memory. Good rows are imported even when others are refused; each refusal is reported with its line.
import { setImmediate } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import { nearest } from '../config/suggest.ts'
import type { Imports, ImportRow, RowResult } from '../store/administration-port.ts'
import { type CheckedRow, makeRowCheck } from './check-row.ts'
import { importFieldNames } from './fields.ts'
import type { RawRow } from './raw-row.ts'

export interface ImportCounts {
  readonly rows: number
  readonly created: number
  readonly unchanged: number
  readonly updated: number
  readonly repaired: number
  /** Consents that were closed because a row says that its connection replaces them. */
  readonly superseded: number
  readonly bad: number
  readonly warnings: number
}

export interface Complaint {
  readonly line: number
  readonly what: string
}

export interface ImportConsentsDeps {
  readonly store: Imports
  readonly clock: Clock
  readonly httpsOnly: boolean
  /** PUBLIC_URL, if known. */
  readonly publicUrl?: string | undefined
  /** `--correct`: dates are taken from the file even where they are not later than the stored ones. */
  readonly correct?: boolean | undefined
  /** Rows per transaction. */
  readonly batchSize?: number | undefined
  readonly onBad: (complaint: Complaint) => void
  readonly onWarning: (complaint: Complaint) => void
  /** Called after every batch, with the rows read up to its end. */
  readonly onProgress?: ((counts: ImportCounts) => void) | undefined
}

const BATCH = 1000
const ROWS_BETWEEN_PAUSES = 25
/** Each unknown name is reported once. Beyond this number, further names add nothing. */
const MAX_UNKNOWN = 100

interface Waiting {
  readonly line: number
  readonly row: ImportRow
}

export const importConsents =
  ({
    store,
    clock,
    httpsOnly,
    publicUrl,
    correct = false,
    batchSize = BATCH,
    onBad,
    onWarning,
    onProgress,
  }: ImportConsentsDeps) =>
  async (rows: AsyncIterable<RawRow>): Promise<ImportCounts> => {
    const counts = { rows: 0, created: 0, unchanged: 0, updated: 0, repaired: 0, superseded: 0, bad: 0, warnings: 0 }
    const check = makeRowCheck({ now: clock.now(), httpsOnly, publicUrl })
    const reportedNames = new Set<string>()

    const refuse = (line: number, what: string): void => {
      counts.bad += 1
      onBad({ line, what })
    }
    const warn = (line: number, what: string): void => {
      counts.warnings += 1
      onWarning({ line, what })
    }
    const warnOfUnknown = (line: number, { unknown }: CheckedRow): void => {
      for (const name of unknown) {
        if (reportedNames.has(name) || reportedNames.size >= MAX_UNKNOWN) continue
        reportedNames.add(name)
        const meant = nearest(name, importFieldNames)
        warn(
          line,
          `${name.slice(0, 40)}: is not a field of an import, ` +
            `ignored${meant === undefined ? '' : `; did you mean ${meant}?`}`,
        )
      }
    }
    const take = (raw: RawRow): Waiting | undefined => {
      counts.rows += 1
      if ('problem' in raw) {
        refuse(raw.line, raw.problem)
        return undefined
      }
      const checked = check(raw.fields)
      warnOfUnknown(raw.line, checked)
      for (const warning of checked.warnings) warn(raw.line, warning)
      if (checked.row === undefined) {
        refuse(raw.line, checked.problems.join('; '))
        return undefined
      }
      return { line: raw.line, row: checked.row }
    }
    const settle = ({ line }: Waiting, result: RowResult): void => {
      counts.superseded += result.superseded
      if (result.kind === 'refused') return refuse(line, result.detail ?? 'refused')
      counts[result.kind] += 1
      if (result.detail !== undefined) warn(line, result.detail)
    }
    /** `read`: the rows that were read up to the end of this batch. */
    const write = async (batch: readonly Waiting[], read: number): Promise<void> => {
      const results = await store.importBatch(
        batch.map(({ row }) => row),
        { now: clock.now(), correct },
      )
      for (const [index, waiting] of batch.entries()) {
        const result = results[index]
        if (result !== undefined) settle(waiting, result)
      }
      onProgress?.({ ...counts, rows: read })
    }

    // While the database writes one batch, the store makes the next one ready, and the one after that is read and
    // checked. They are written in the order of the file.
    let writing: Promise<void> = Promise.resolve()
    const writeNext = async (batch: readonly Waiting[]): Promise<void> => {
      const next = write(batch, counts.rows)
      // A failure is thrown where the batch is awaited; until then it must not count as unhandled.
      next.catch(() => undefined)
      const before = writing
      writing = next
      await before
    }

    let batch: Waiting[] = []
    let readOn = 0
    try {
      for await (const raw of rows) {
        const waiting = take(raw)
        if (waiting !== undefined) batch.push(waiting)
        if (batch.length >= batchSize) {
          await writeNext(batch)
          batch = []
        }
        // Without a pause, the database's answers would wait until a whole batch is read.
        readOn = (readOn + 1) % ROWS_BETWEEN_PAUSES
        if (readOn === 0) await setImmediate()
      }
    } finally {
      // Also if the file cannot be read to its end: no batch is left behind.
      await writing
    }
    if (batch.length > 0) await write(batch, counts.rows)
    return { ...counts }
  }
