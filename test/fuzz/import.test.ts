// Broken and hostile files for the import: each line becomes a row or a problem of that line, or the import refuses the
// whole file; nothing else throws, no message repeats a value of the file, and no file takes long.
import { Readable } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeRowCheck } from '../../src/import/check-row.ts'
import { ImportFileError } from '../../src/import/file-error.ts'
import { importFieldNames } from '../../src/import/fields.ts'
import { MAX_LINE_LENGTH } from '../../src/import/lines.ts'
import type { RawRow } from '../../src/import/raw-row.ts'
import { readRows, type ImportFormat } from '../../src/import/read-rows.ts'
import { aLine, NOW } from '../import/rows.ts'

const RUNS = Number(process.env['FUZZ_FILES'] ?? 2_000)
/** The limit for one file, however it is made; most files take a millisecond. */
const MAX_MS = 3_000
const PLANTED = 'pl4nted'

const check = makeRowCheck({ now: NOW, httpsOnly: true })

interface Read {
  readonly good: number
  readonly said: readonly string[]
}

/** The whole import except the database. */
const importBytes = async (bytes: Buffer, format: ImportFormat | undefined, chunk = 4_096): Promise<Read> => {
  const pieces = Array.from({ length: Math.ceil(bytes.length / chunk) }, (_, index) =>
    bytes.subarray(index * chunk, (index + 1) * chunk),
  )
  const said: string[] = []
  let good = 0
  let last = 0
  const take = (raw: RawRow): void => {
    if (!Number.isSafeInteger(raw.line) || raw.line < last) throw new Error(`line ${raw.line} after line ${last}`)
    last = raw.line
    if ('problem' in raw) return void said.push(raw.problem)
    const { row, problems, warnings } = check(raw.fields)
    if ((row === undefined) !== problems.length > 0) throw new Error('a row is either good or has problems')
    said.push(...problems, ...warnings)
    if (row !== undefined) good += 1
  }
  try {
    for await (const raw of readRows(Readable.from(pieces), format)) take(raw)
  } catch (error) {
    if (!(error instanceof ImportFileError)) throw error
    said.push(error.message)
  }
  if (said.some((text) => text.trim() === '')) throw new Error('a problem without words')
  return { good, said }
}

const hostile = fc.constantFrom(
  '"',
  '""',
  '"""',
  ',',
  ';',
  '\t',
  '\r',
  '\n',
  '\r\n',
  '\n\n',
  '\u0000',
  '\uFEFF',
  '{',
  '}',
  '[',
  ']',
  ':',
  '\\',
  '\\u',
  '\\ud800',
  '__proto__',
  'null',
  'é',
  '💥',
  '1e999',
  '-',
  '0',
)
const value = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  hostile,
  fc.constantFrom(
    '2027-01-01',
    '2027-13-01',
    '2027-02-29T00:00:00Z',
    '+275760-09-13T00:00:00Z',
    '2027-01-01T25:00:00Z',
    '0000-00-00',
    'https://x',
    'https://a:b@x/',
    'javascript:1',
    'GB',
    'uk',
    'xx',
    'a@b',
    'a@b\r\nbcc: c@d',
    PLANTED,
  ),
)
const jsonLine = fc.oneof(
  fc
    .dictionary(
      fc.constantFrom(...importFieldNames, '__proto__', 'Refresh_Token', PLANTED),
      fc.oneof(value, fc.jsonValue({ maxDepth: 2 })),
      { maxKeys: 16 },
    )
    .map((line) => JSON.stringify({ ...aLine({ refresh_token: PLANTED }), ...line })),
  fc.json(),
  fc.string({ maxLength: 60 }),
)
const csvLine = fc
  .array(
    fc.oneof(
      value,
      value.map((text) => `"${text.replaceAll('"', '""')}"`),
      hostile,
    ),
    { maxLength: 12 },
  )
  .map((cells) => cells.join(','))
const names = [...importFieldNames].join(',')
const anyLine = fc.oneof(jsonLine, csvLine, fc.constant(names), fc.constant(Object.values(aLine()).join(',')))
const aText = fc.oneof(
  fc.array(jsonLine, { maxLength: 12 }).map((lines) => lines.join('\n')),
  fc.array(csvLine, { maxLength: 25 }).map((lines) => [names, ...lines].join('\n')),
  fc.array(anyLine, { maxLength: 12 }).map((lines) => lines.join('\r\n')),
)

/** Bytes replaced, cut out and inserted: this breaks encodings and leaves quotes open. */
const bent = (text: string, changes: readonly (readonly [number, number])[]): Buffer => {
  const bytes = Buffer.from(text)
  for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte
  return bytes
}
const aFile = fc
  .tuple(aText, fc.array(fc.tuple(fc.nat(5_000), fc.nat(255)), { maxLength: 6 }))
  .map(([text, changes]) => bent(text, changes))
const aFormat = fc.constantFrom<(ImportFormat | undefined)[]>('csv', 'ndjson', undefined)

describe('an import', () => {
  test(
    `of ${RUNS} broken or hostile files never throws, and repeats no value of them`,
    { timeout: 120_000 },
    async () => {
      const anyBytes = fc.uint8Array({ maxLength: 500 }).map((bytes) => Buffer.from(bytes))
      const anyFile = fc.oneof({ weight: 6, arbitrary: aFile }, { weight: 1, arbitrary: anyBytes })
      const property = fc.asyncProperty(anyFile, aFormat, fc.constantFrom(1, 7, 4_096), async (file, format, chunk) => {
        const { said } = await importBytes(file, format, chunk)
        // Messages may name fields (the company must find its unknown ones), but never values.
        expect(said.filter((text) => text.includes(PLANTED) && !text.includes(`by ${PLANTED}`))).toEqual([])
      })
      await fc.assert(property, { numRuns: RUNS })
    },
  )

  const line = `${JSON.stringify(aLine())}\n`
  const record = `${Object.values(aLine()).join(',')}\n`
  const header = `${Object.keys(aLine()).join(',')}\n`
  const manyColumns = Array.from({ length: 10_000 }, (_, index) => `c${index}`).join(',')
  const longAddress = `${'a'.repeat(30_000)}@${'b'.repeat(30_000)}`
  const shapes: Record<string, string> = {
    'a megabyte of quotation marks': '"'.repeat(1_000_000),
    'fifty thousand quotation marks, one a line': '"\n'.repeat(50_000),
    'a quotation mark at the beginning of each record': header + `"${record}`.repeat(1_000),
    'two quotation marks in every third line': header + `${record}"a\nb"c\n`.repeat(1_000),
    'a hundred thousand empty lines': '\n'.repeat(100_000),
    'a million commas': `${header}${','.repeat(1_000_000)}\n`,
    'a header of ten thousand columns': `${manyColumns}\n${record.repeat(10)}`,
    'a line of a megabyte': `${line}{"a":"${'x'.repeat(1_000_000)}"}\n${line}`,
    'lines that just fit, full of quotation marks': header + `${'a"'.repeat(MAX_LINE_LENGTH / 2 - 1)}\n`.repeat(20),
    'lines that just fit, with one quotation mark each': header + `"${'a'.repeat(MAX_LINE_LENGTH - 2)}\n`.repeat(40),
    'brackets sixty thousand deep': `${'['.repeat(60_000)}\n${'{"a":'.repeat(12_000)}\n`,
    'a date of sixty thousand digits': `${JSON.stringify(aLine({ expires_at: '9'.repeat(60_000) }))}\n`,
    'an address of sixty thousand letters': `${JSON.stringify(aLine({ email: longAddress }))}\n`,
    'a thousand scopes': `${JSON.stringify(aLine({ scopes: 'a '.repeat(1_000) }))}\n`,
  }

  test.each(Object.entries(shapes))('of %s ends soon, with a message', { timeout: 60_000 }, async (_name, text) => {
    const started = process.cpuUsage()
    for (const format of ['csv', 'ndjson', undefined] as const) await importBytes(Buffer.from(text), format, 65_536)
    // This process's own CPU time, so a busy machine does not slow the result.
    expect(process.cpuUsage(started).user / 1_000).toBeLessThan(3 * MAX_MS)
  })

  test('of good rows between broken ones finds the good ones', async () => {
    const good = Array.from({ length: 50 }, () => JSON.stringify(aLine()))
    const read = await importBytes(
      Buffer.from(good.flatMap((row) => [row, '{"a":', '\u0000', '"']).join('\n')),
      'ndjson',
    )
    expect(read.good).toBe(50)
  })
})
