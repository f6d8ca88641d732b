// Converts the bytes of an import to UTF-8, depending on how they begin: drops byte order marks, decodes UTF-16 as it
// streams, and names the format of a file that is not text. Never holds more than the beginning.
import { ImportFileError } from './file-error.ts'

/** How many bytes at the beginning are examined to recognise the file. */
const HEAD = 512

const ZIP =
  'an Excel workbook (.xlsx), one of another program (.ods) or a zip archive: open it and save the sheet as "CSV UTF-8"'
/** The first bytes of a file, one character each, and the format that begins with them. */
const signatures: readonly (readonly [string, string])[] = [
  ['PK\x03\x04', ZIP],
  ['PK\x05\x06', ZIP],
  ['PK\x07\x08', ZIP],
  ['\xD0\xCF\x11\xE0', 'an Excel workbook (.xls): open it and save the sheet as "CSV UTF-8"'],
  ['\x1F\x8B', 'compressed with gzip: zcat FILE | reconsent import -'],
  ['BZh', 'compressed with bzip2: bzcat FILE | reconsent import -'],
  ['\xFD7zXZ', 'compressed with xz: xzcat FILE | reconsent import -'],
  ['\x28\xB5\x2F\xFD', 'compressed with zstd: zstdcat FILE | reconsent import -'],
  ['\x04\x22\x4D\x18', 'compressed with lz4: lz4cat FILE | reconsent import -'],
  ['\x1F\x9D', 'compressed with compress: zcat FILE | reconsent import -'],
  ['7z\xBC\xAF', 'a 7z archive: unpack it first'],
  ['Rar!\x1A\x07', 'a RAR archive: unpack it first'],
  ['-----BEGIN PGP', 'encrypted with PGP: gpg --decrypt FILE | reconsent import -'],
  ['age-encryption.org/', 'encrypted with age: age --decrypt FILE | reconsent import -'],
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
  yield withoutMarks(decode(head))
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield decode(next.value)
}

const decoderFor = (head: Buffer): ((bytes: Buffer) => Buffer) => {
  const known = signatures.find(([bytes]) => head.subarray(0, bytes.length).equals(Buffer.from(bytes, 'latin1')))
  if (known !== undefined) throw new ImportFileError(`the file is ${known[1]}`)
  if (head.length >= 2 && (head.readUInt16BE() === 0xfffe || head.readUInt16BE() === 0xfeff)) {
    // The decoder drops the mark itself, and keeps half a character until the next chunk.
    const decoder = new TextDecoder(head.readUInt16BE() === 0xfffe ? 'utf-16le' : 'utf-16be')
    return (bytes) => Buffer.from(decoder.decode(bytes, { stream: true }), 'utf8')
  }
  if (isUtf16(head)) throw new ImportFileError('the file is UTF-16 without a byte order mark: save it as UTF-8')
  if (isUtf32(head)) throw new ImportFileError('the file is UTF-32: save it as UTF-8')
  if (head.toString('latin1', 257, 262) === 'ustar') {
    throw new ImportFileError('the file is a tar archive: tar -xOf FILE NAME | reconsent import -')
  }
  if (isBinary(head)) throw new ImportFileError('the file is no text: export the data as CSV UTF-8 or NDJSON')
  return (bytes) => bytes
}

const UTF8_MARK = Buffer.from('\uFEFF', 'utf8')
/** Some programs write a byte order mark in front of an existing one. */
const withoutMarks = (bytes: Buffer): Buffer =>
  bytes.subarray(0, 3).equals(UTF8_MARK) ? withoutMarks(bytes.subarray(3)) : bytes

/** The share of zero bytes (0 to 1) at each byte position within units of `width` bytes. */
const zerosByPlace = (head: Buffer, width: number): number[] =>
  Array.from({ length: width }, (_, place) => {
    const there = head.filter((_byte, index) => index % width === place)
    return there.filter((byte) => byte === 0).length / Math.max(1, there.length)
  })

/** Recognises Latin letters in UTF-16: at one of the two positions most bytes are zero, at the other hardly any. */
const isUtf16 = (head: Buffer): boolean => {
  const zeros = zerosByPlace(head, 2)
  return head.length >= 8 && Math.max(...zeros) > 0.7 && Math.min(...zeros) < 0.1
}

/** Recognises the same in UTF-32: most bytes are zero at three of four positions. */
const isUtf32 = (head: Buffer): boolean => {
  const zeros = zerosByPlace(head, 4)
  return head.length >= 16 && zeros.filter((share) => share > 0.7).length === 3 && Math.min(...zeros) < 0.1
}

/**
 * Counts control characters that no text contains. One or two may have slipped into a field, whose row is then refused.
 */
const isBinary = (head: Buffer): boolean => {
  const isControl = (byte: number): boolean => byte < 0x09 || (byte > 0x0d && byte < 0x1a)
  const controls = head.filter(isControl).length
  return controls > 2 && controls > head.length * 0.02
}

async function* buffers(input: AsyncIterable<Uint8Array | string>): AsyncGenerator<Buffer> {
  for await (const chunk of input) {
    yield typeof chunk === 'string'
      ? Buffer.from(chunk, 'utf8')
      : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  }
}
