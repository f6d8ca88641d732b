// The import: reads and checks rows and passes them to the store in batches, in the order of the file and with constant
// memory. Good rows are imported even when others are refused; each refusal is reported with its line.
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
  /** `--correct`: dates and tokens are taken from the file even where they are not later than the stored ones. */
  readonly correct?: boolean | undefined
  /** Rows per transaction. */
  readonly batchSize?: number | undefined
  readonly onBad: (complaint: Complaint) => void
  readonly onWarning: (complaint: Complaint) => void
  /** Called after every batch. */
  readonly onProgress?: ((counts: ImportCounts) => void) | undefined
}

const BATCH = 500
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
    const write = async (batch: readonly Waiting[]): Promise<void> => {
      const results = await store.importBatch(
        batch.map(({ row }) => row),
        { now: clock.now(), correct },
      )
      for (const [index, waiting] of batch.entries()) {
        const result = results[index]
        if (result !== undefined) settle(waiting, result)
      }
      onProgress?.({ ...counts })
    }

    let batch: Waiting[] = []
    for await (const raw of rows) {
      const waiting = take(raw)
      if (waiting !== undefined) batch.push(waiting)
      if (batch.length < batchSize) continue
      await write(batch)
      batch = []
    }
    if (batch.length > 0) await write(batch)
    return { ...counts }
  }
