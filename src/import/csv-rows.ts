// Reads CSV as rows with the names of the header. Skips what spreadsheets add: a line `sep=;`, empty columns at the
// end, rows of separators only.
import { delimiters, type Header, readHeader, separatorOf } from './csv-header.ts'
import { framed, parseRecord } from './csv-record.ts'
import { type Line, MAX_LINE_LENGTH } from './lines.ts'
import type { RawRow } from './raw-row.ts'

export async function* csvRows(lines: AsyncIterable<Line>): AsyncGenerator<RawRow> {
  let separator: string | undefined
  let header: (Header & { readonly text: string }) | undefined
  let isFirst = true
  const possible = (): readonly string[] =>
    header !== undefined ? [header.delimiter] : separator === undefined ? delimiters : [separator]
  for await (const { number, text } of framed(lines, possible)) {
    if (text === undefined) {
      yield { line: number, problem: `is longer than ${MAX_LINE_LENGTH} bytes` }
      continue
    }
    if (isFirst) separator = separatorOf(text)
    const saysSeparator = isFirst && separator !== undefined
    isFirst = false
    if (saysSeparator) continue
    if (header === undefined) {
      header = { ...readHeader(text, separator), text }
      continue
    }
    const row = rowOf(number, text, header)
    if (row !== undefined) yield row
  }
}

/** Undefined for a row without any value. */
const rowOf = (line: number, text: string, header: Header & { readonly text: string }): RawRow | undefined => {
  const values = parseRecord(text, header.delimiter)
  if (values === undefined)
    return { line, problem: 'has a quotation mark in the wrong place or one that is not closed' }
  const last = values.findLastIndex((value) => value.trim() !== '')
  if (last < 0) return undefined
  if (text === header.text) return { line, problem: 'is the header once more' }
  const { names } = header
  // A row with too few columns is never filled up: if a separator is missing further left, the values after it have
  // shifted, and a user's row would get the next column's id.
  const columns = Math.max(last + 1, Math.min(values.length, names.length))
  if (columns !== names.length) return { line, problem: `has ${columns} columns where the header has ${names.length}` }
  return { line, fields: Object.fromEntries(names.map((name, index) => [name, values[index]])) }
}
