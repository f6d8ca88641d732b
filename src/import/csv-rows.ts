// CSV as rows by the names of its header. Each record is framed here and parsed on its own, so that one broken quote costs its own
// record and not the rest of the file.
import { parse } from 'csv-parse/sync'
import { type Line, LONGEST_LINE } from './lines.ts'
import type { RawRow } from './read-rows.ts'

/** A record that spans more lines than this is a quote that was never closed. */
const MOST_LINES = 20
const delimiters = [',', ';', '\t'] as const

/** The file as a whole cannot be read as what it should be. `message` says what to do; it repeats nothing of the file. */
export class ImportFileError extends Error {
  override readonly name = 'ImportFileError'
}

export async function* csvRows(lines: AsyncIterable<Line>, required: (names: readonly string[]) => string | undefined): AsyncGenerator<RawRow> {
  let header: readonly string[] | undefined
  let delimiter: string = ','
  for await (const record of framed(lines)) {
    if (record.text === undefined) {
      yield { line: record.number, problem: `is longer than ${LONGEST_LINE} bytes` }
      continue
    }
    if (header === undefined) {
      const text = record.text
      delimiter = delimiters.toSorted((a, b) => text.split(b).length - text.split(a).length)[0] ?? ','
      header = readHeader(text, delimiter, required)
      continue
    }
    const values = parseRecord(record.text, delimiter)
    if (values === undefined) yield { line: record.number, problem: 'has a quotation mark in the wrong place or one that is not closed' }
    else if (values.length !== header.length) yield { line: record.number, problem: `has ${values.length} columns where the header has ${header.length}` }
    else yield { line: record.number, fields: Object.fromEntries(header.map((name, index) => [name, values[index]])) }
  }
}

const readHeader = (text: string, delimiter: string, required: (names: readonly string[]) => string | undefined): readonly string[] => {
  const names = parseRecord(text, delimiter)?.map((name) => name.trim().toLowerCase())
  if (names === undefined) throw new ImportFileError('the first line is not a CSV header: a quotation mark is not closed')
  const problem = required(names)
  if (problem !== undefined) throw new ImportFileError(`the first line must name the columns: ${problem}`)
  if (new Set(names).size < names.length) throw new ImportFileError('the header names a column twice')
  return names
}

/** Undefined when it is not one well-formed record. Most have no quotes: those need no parser. */
const parseRecord = (text: string, delimiter: string): string[] | undefined => {
  if (!text.includes('"')) return text.split(delimiter)
  try {
    const records: string[][] = parse(text, { delimiter, relax_column_count: true, record_delimiter: ['\r\n', '\n'] })
    return records.length === 1 ? records[0] : undefined
  } catch {
    return undefined
  }
}

const quotesIn = (text: string): number => text.split('"').length - 1

/** Lines joined while a quote is open. What does not close within MOST_LINES is given out as its first line, and reading goes on at the next. */
async function* framed(lines: AsyncIterable<Line>): AsyncGenerator<Line> {
  let open: Line[] = []
  const settle = (): Line[] => {
    const whole: Line[] = []
    let index = 0
    while (index < open.length) {
      const end = endOfRecord(open, index)
      if (end === undefined) break
      whole.push(joined(open.slice(index, end + 1)))
      index = end + 1
    }
    open = open.slice(index)
    return whole
  }
  for await (const line of lines) {
    open.push(line)
    yield* settle()
    while (open.length >= MOST_LINES || (open.length > 1 && open.at(-1)?.text === undefined)) {
      yield* open.splice(0, 1)
      yield* settle()
    }
  }
  while (open.length > 0) {
    yield* open.splice(0, 1)
    yield* settle()
  }
}

const joined = (lines: readonly Line[]): Line => {
  const first = lines[0]
  if (first === undefined) throw new Error('a record has at least one line')
  return lines.length === 1 ? first : { number: first.number, text: lines.map((line) => line.text ?? '').join('\n') }
}

/** The index of the line on which the record that begins at `start` ends; undefined while a quote is open. */
const endOfRecord = (lines: readonly Line[], start: number): number | undefined => {
  let quotes = 0
  for (const [offset, line] of lines.slice(start).entries()) {
    if (line.text === undefined) return offset === 0 ? start : undefined
    quotes += quotesIn(line.text)
    if (quotes % 2 !== 0) continue
    // Lines that only make a record by accident (a stray quote here, another there) are not joined.
    if (offset === 0 || parses(lines.slice(start, start + offset + 1))) return start + offset
    return start
  }
  return undefined
}

const parses = (lines: readonly Line[]): boolean => delimiters.some((delimiter) => parseRecord(joined(lines).text ?? '', delimiter) !== undefined)
