// The bytes of an import as UTF-8, told by how they begin: byte order marks are dropped, UTF-16 is decoded as it streams, and what is
// no text at all is named. Never holds more than the beginning.
import { ImportFileError } from './file-error.ts'

/** Bytes that tell what a file is. */
const HEAD = 512

/** The first bytes, one character each, and what has them. */
const signatures: readonly (readonly [string, string])[] = [
  ['PK\x03\x04', 'an Excel workbook (.xlsx) or another zip archive: open it and save the sheet as "CSV UTF-8"'],
  ['\xD0\xCF\x11\xE0', 'an Excel workbook (.xls): open it and save the sheet as "CSV UTF-8"'],
  ['\x1F\x8B', 'compressed with gzip: zcat FILE | reconsent import -'],
  ['BZh', 'compressed with bzip2: bzcat FILE | reconsent import -'],
  ['\xFD7zXZ', 'compressed with xz: xzcat FILE | reconsent import -'],
  ['\x28\xB5\x2F\xFD', 'compressed with zstd: zstdcat FILE | reconsent import -'],
  ['7z\xBC\xAF', 'a 7z archive: unpack it first'],
  ['%PDF-', 'a PDF: export the data as CSV UTF-8'],
  ['{\\rtf', 'an RTF document: save it as plain text in UTF-8'],
  ['SQLite format 3', 'an SQLite database: export the table as CSV'],
  ['PGDMP', 'a dump of PostgreSQL: export the table with \\copy … TO … WITH (FORMAT csv, HEADER)'],
  ['PAR1', 'a Parquet file: export it as CSV or NDJSON'],
  ['\xFF\xFE\x00\x00', 'UTF-32: save it as UTF-8'],
  ['\x00\x00\xFE\xFF', 'UTF-32: save it as UTF-8'],
]

export async function* utf8Of(input: AsyncIterable<Uint8Array | string>): AsyncGenerator<Buffer> {
  const chunks = buffers(input)[Symbol.asyncIterator]()
  let head: Buffer = Buffer.alloc(0)
  while (head.length < HEAD) {
    const next = await chunks.next()
    if (next.done === true) break
    head = Buffer.concat([head, next.value])
  }
  const decode = decoderFor(head)
  yield decode(head, true)
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield decode(next.value, false)
  yield decode(Buffer.alloc(0), false)
}

type Decode = (bytes: Buffer, isFirst: boolean) => Buffer

const decoderFor = (head: Buffer): Decode => {
  const known = signatures.find(([bytes]) => head.subarray(0, bytes.length).equals(Buffer.from(bytes, 'latin1')))
  if (known !== undefined) throw new ImportFileError(`the file is ${known[1]}`)
  if (head.length >= 2 && (head.readUInt16BE() === 0xfffe || head.readUInt16BE() === 0xfeff)) {
    // Drops the mark itself, and keeps half a character for the next chunk.
    const decoder = new TextDecoder(head.readUInt16BE() === 0xfffe ? 'utf-16le' : 'utf-16be')
    return (bytes) => Buffer.from(decoder.decode(bytes, { stream: true }), 'utf8')
  }
  if (isUtf16(head)) throw new ImportFileError('the file is UTF-16 without a byte order mark: save it as UTF-8')
  return (bytes, isFirst) => (isFirst && bytes.subarray(0, 3).equals(UTF8_MARK) ? bytes.subarray(3) : bytes)
}

const UTF8_MARK = Buffer.from('\uFEFF', 'utf8')

/** Latin letters in UTF-16: every other byte is zero, and hardly any of the others. */
const isUtf16 = (head: Buffer): boolean => {
  const zeros = [0, 0]
  for (const [index, byte] of head.entries()) if (byte === 0) zeros[index % 2] = (zeros[index % 2] ?? 0) + 1
  const half = head.length / 2
  return half >= 4 && Math.max(...zeros) > half * 0.7 && Math.min(...zeros) < half * 0.1
}

async function* buffers(input: AsyncIterable<Uint8Array | string>): AsyncGenerator<Buffer> {
  for await (const chunk of input) {
    yield typeof chunk === 'string' ? Buffer.from(chunk, 'utf8') : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  }
}
