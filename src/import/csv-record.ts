// Frames and parses each CSV record on its own, so that an unclosed quote damages only its own record and not the rest
// of the file.
import { parse } from 'csv-parse/sync'
import type { Line } from './lines.ts'

/** A record that spans more lines than this has a quote that was never closed. */
const MAX_LINES = 20

/** Undefined when the text is not one well-formed record. Most records have no quotes and need no parser. */
export const parseRecord = (text: string, delimiter: string): string[] | undefined => {
  if (!text.includes('"')) return text.split(delimiter)
  try {
    const records: string[][] = parse(text, { delimiter, relax_column_count: true, record_delimiter: ['\r\n', '\n'] })
    return records.length === 1 ? records[0] : undefined
  } catch {
    return undefined
  }
}

const quotesIn = (text: string): number => text.split('"').length - 1

/**
 * Joins lines while a quote is open. If the quote does not close within MAX_LINES, the first line is yielded alone and
 * reading goes on at the next line. `delimiters` are the file's possible delimiters: only one once the header is read.
 */
export async function* framed(lines: AsyncIterable<Line>, delimiters: () => readonly string[]): AsyncGenerator<Line> {
  let open: Line[] = []
  const settle = (): Line[] => {
    const whole: Line[] = []
    let index = 0
    while (index < open.length) {
      const end = endOfRecord(open, index, delimiters())
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
    while (open.length >= MAX_LINES || (open.length > 1 && open.at(-1)?.text === undefined)) {
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
const endOfRecord = (lines: readonly Line[], start: number, delimiters: readonly string[]): number | undefined => {
  let quotes = 0
  for (const [offset, line] of lines.slice(start).entries()) {
    if (line.text === undefined) return offset === 0 ? start : undefined
    quotes += quotesIn(line.text)
    if (quotes % 2 !== 0) continue
    // Lines that form a record only by accident (a stray quote in each of two lines) are not joined.
    if (offset === 0) return start
    const text = joined(lines.slice(start, start + offset + 1)).text ?? ''
    return delimiters.some((delimiter) => parseRecord(text, delimiter) !== undefined) ? start + offset : start
  }
  return undefined
}
