// Reads the file of an import as rows of named values, one at a time: NDJSON or CSV. Does not know what the values
// should be, and puts none of them into a message, because they are tokens and addresses.
import { isHeader } from './csv-header.ts'
import { csvRows } from './csv-rows.ts'
import { utf8Of } from './decode.ts'
import { ImportFileError } from './file-error.ts'
import { MAX_LINE_LENGTH, readLines, type Line } from './lines.ts'
import type { RawRow } from './raw-row.ts'

export type ImportFormat = 'ndjson' | 'csv'

/**
 * The format that a file's name implies. Undefined when the name does not tell (`-`, no ending): then the first line
 * decides.
 */
export const formatByName = (name: string): ImportFormat | undefined => {
  if (/\.(?:csv|tsv|txt)$/i.test(name)) return 'csv'
  return /\.(?:ndjson|jsonl|json)$/i.test(name) ? 'ndjson' : undefined
}

/** Skips empty lines. Throws ImportFileError when the file as a whole cannot be imported. */
export async function* readRows(
  input: AsyncIterable<Uint8Array | string>,
  format: ImportFormat | undefined,
): AsyncGenerator<RawRow> {
  const lines = filled(readLines(utf8Of(input)))
  const first = await lines.next()
  if (first.done === true) return
  const all = again(first.value, lines)
  yield* formatOf(first.value.text?.trim() ?? '', format) === 'csv' ? csvRows(all) : jsonRows(all)
}

/** If the first line can only be of one format, that counts for more than the file's name. */
const formatOf = (start: string, format: ImportFormat | undefined): ImportFormat => {
  if (/^<[!?a-z]/i.test(start))
    throw new ImportFileError(
      'the file is HTML or XML, perhaps a page of an error or of a login: fetch or export it again, as CSV or NDJSON',
    )
  if (start.startsWith('['))
    throw new ImportFileError(
      "the file is one JSON array; write one object per line (NDJSON), for example with: jq -c '.[]'",
    )
  if (start === '{')
    throw new ImportFileError(
      'the file is JSON over several lines; write one object per line (NDJSON), for example with: jq -c .',
    )
  if (start.startsWith('{')) return 'ndjson'
  return isHeader(start) ? 'csv' : (format ?? 'csv')
}

async function* filled(lines: AsyncIterable<Line>): AsyncGenerator<Line> {
  for await (const line of lines) if (line.text === undefined || line.text.trim() !== '') yield line
}

async function* again(first: Line, rest: AsyncIterable<Line>): AsyncGenerator<Line> {
  yield first
  yield* rest
}

async function* jsonRows(lines: AsyncIterable<Line>): AsyncGenerator<RawRow> {
  for await (const { number, text } of lines) {
    if (text === undefined) yield { line: number, problem: `is longer than ${MAX_LINE_LENGTH} bytes` }
    else yield jsonRow(number, text)
  }
}

const jsonRow = (line: number, text: string): RawRow => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? { line, fields: value as Record<string, unknown> }
      : { line, problem: 'is not a JSON object' }
  } catch {
    // The parser's own message is not used, because it quotes the text.
    return { line, problem: 'is not valid JSON' }
  }
}
