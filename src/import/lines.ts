// A stream of bytes as numbered lines of text, in flat memory: LF or CRLF, a BOM at the start dropped, over-long lines cut out.
// What is not UTF-8 comes out with U+FFFD in its place; the check of the row says so.

/** Bytes. A refresh token is some hundred; nothing honest comes near. */
export const LONGEST_LINE = 65_536

export interface Line {
  readonly number: number
  /** Undefined when the line is longer than LONGEST_LINE. */
  readonly text: string | undefined
}

const LF = 0x0a

export async function* readLines(input: AsyncIterable<Uint8Array | string>): AsyncGenerator<Line> {
  let parts: Buffer[] = []
  let length = 0
  let number = 0
  const keep = (part: Buffer): void => {
    length += part.length
    // An over-long line is counted to its end, not kept.
    if (length <= LONGEST_LINE + 2) parts.push(part)
    else parts = []
  }
  const take = (): Line => {
    number += 1
    const tooLong = length > LONGEST_LINE + 2
    const raw = tooLong ? undefined : Buffer.concat(parts).toString('utf8').replace(/\r$/, '')
    parts = []
    length = 0
    return { number, text: number === 1 ? raw?.replace(/^\uFEFF/, '') : raw }
  }
  for await (const chunk of input) {
    let rest = typeof chunk === 'string' ? Buffer.from(chunk, 'utf8') : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    for (let end = rest.indexOf(LF); end >= 0; end = rest.indexOf(LF)) {
      keep(rest.subarray(0, end))
      yield take()
      rest = rest.subarray(end + 1)
    }
    // A copy: a slice would keep the whole chunk in memory.
    if (rest.length > 0) keep(Buffer.from(rest))
  }
  if (length > 0) yield take()
}
