// Splits UTF-8 bytes into numbered lines of text, with constant memory. LF, CRLF or CR ends a line, even mixed in one
// file; the text of an over-long line is dropped. Bytes that are not UTF-8 become U+FFFD, which the check of the row
// reports.

/** In bytes. A refresh token has some hundred, and no genuine line comes near this length. */
export const MAX_LINE_LENGTH = 65_536

export interface Line {
  readonly number: number
  /** Undefined when the line is longer than MAX_LINE_LENGTH. */
  readonly text: string | undefined
}

const LF = 0x0a
const CR = 0x0d

export async function* readLines(input: AsyncIterable<Buffer>): AsyncGenerator<Line> {
  let parts: Buffer[] = []
  let length = 0
  let number = 0
  /** A CR was the last byte of the previous chunk: an LF at the beginning of the next chunk belongs to it. */
  let afterCr = false
  const keep = (part: Buffer): void => {
    length += part.length
    // The bytes of an over-long line are counted to its end, but not kept.
    if (length <= MAX_LINE_LENGTH) parts.push(part)
    else parts = []
  }
  const take = (): Line => {
    number += 1
    const text = length > MAX_LINE_LENGTH ? undefined : Buffer.concat(parts).toString('utf8')
    parts = []
    length = 0
    return { number, text }
  }
  for await (const chunk of input) {
    if (chunk.length === 0) continue
    let start = afterCr && chunk[0] === LF ? 1 : 0
    afterCr = false
    let cr = chunk.indexOf(CR, start)
    let lf = chunk.indexOf(LF, start)
    while (cr >= 0 || lf >= 0) {
      const end = cr < 0 || (lf >= 0 && lf < cr) ? lf : cr
      keep(chunk.subarray(start, end))
      yield take()
      start = end + 1
      if (end === cr && start === chunk.length) afterCr = true
      if (end === cr && chunk[start] === LF) start += 1
      // CR and LF are each searched for again only once `start` has passed the last find, so that a chunk of many lines
      // is not scanned over and over.
      if (cr >= 0 && cr < start) cr = chunk.indexOf(CR, start)
      if (lf >= 0 && lf < start) lf = chunk.indexOf(LF, start)
    }
    // Must be a copy, because a slice would keep the whole chunk in memory.
    if (start < chunk.length) keep(Buffer.from(chunk.subarray(start)))
  }
  if (length > 0) yield take()
}
