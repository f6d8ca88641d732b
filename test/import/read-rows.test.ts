import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { ImportFileError } from '../../src/import/csv-rows.ts'
import { LONGEST_LINE } from '../../src/import/lines.ts'
import { formatByName, readRows, type ImportFormat, type RawRow } from '../../src/import/read-rows.ts'

const read = async (text: string | Buffer, format?: ImportFormat, chunk = 7): Promise<RawRow[]> => {
  const bytes = Buffer.from(text)
  // In small pieces: no boundary may matter, not even inside a character.
  const pieces = Array.from({ length: Math.ceil(bytes.length / chunk) }, (_, index) => bytes.subarray(index * chunk, (index + 1) * chunk))
  const rows: RawRow[] = []
  for await (const row of readRows(Readable.from(pieces), format)) rows.push(row)
  return rows
}

const header = 'credentials_id,refresh_token,provider_id,country,redirect_uri,user_id,expires_at,name'
const record = (id: string, name = 'Ada'): string => `${id},t,uk-ob-monzo,GB,https://app.example.com/cb,u,2027-01-01,${name}`
const idsOf = (rows: readonly RawRow[]): unknown[] => rows.map((row) => ('fields' in row ? row.fields['credentials_id'] : `line ${row.line} ${row.problem}`))

describe('NDJSON', () => {
  test('is read line by line, with LF or CRLF, a BOM, blank lines and no final line break', async () => {
    expect(await read('\uFEFF{"a":1}\r\n\r\n{"a":"ü"}\n   \n{"a":3}')).toEqual([
      { line: 1, fields: { a: 1 } },
      { line: 3, fields: { a: 'ü' } },
      { line: 5, fields: { a: 3 } },
    ])
  })

  test('that is broken on some lines gives those with their number, and no word of what stands there', async () => {
    expect(await read('{"a":1}\n{"refresh_token":"secret\n[1]\n"text"\nnull\n{"a":2}\n')).toEqual([
      { line: 1, fields: { a: 1 } },
      { line: 2, problem: 'is not valid JSON' },
      { line: 3, problem: 'is not a JSON object' },
      { line: 4, problem: 'is not a JSON object' },
      { line: 5, problem: 'is not a JSON object' },
      { line: 6, fields: { a: 2 } },
    ])
  })

  test('with a line that is too long loses that line alone', async () => {
    const long = `{"a":"${'x'.repeat(LONGEST_LINE)}"}`
    expect(await read(`{"a":1}\n${long}\n{"a":2}\n`, undefined, 1000)).toEqual([
      { line: 1, fields: { a: 1 } },
      { line: 2, problem: `is longer than ${LONGEST_LINE} bytes` },
      { line: 3, fields: { a: 2 } },
    ])
  })

  test('that is one JSON array is refused as a whole, with what to do', async () => {
    await expect(read('[{"a":1}]')).rejects.toThrow(/one object per line.*jq -c/)
  })

  test('that is empty has no rows', async () => {
    expect(await read('')).toEqual([])
    expect(await read('\n\n')).toEqual([])
  })
})

describe('CSV', () => {
  test('is read by its header, with commas, semicolons or tabs, quotes, CRLF and a BOM', async () => {
    const rows = await read(`\uFEFF${header}\r\n${record('c1', '"Ada, ""the"" first"')}\r\n\r\n${record('c2')}`)
    expect(rows.map((row) => row.line)).toEqual([2, 4])
    expect(rows[0]).toMatchObject({ fields: { credentials_id: 'c1', name: 'Ada, "the" first' } })
    for (const delimiter of [';', '\t']) {
      const text = `${header}\n${record('c1')}\n`.replaceAll(',', delimiter)
      expect(await read(text)).toMatchObject([{ line: 2, fields: { credentials_id: 'c1', user_id: 'u' } }])
    }
  })

  test('takes a record that goes over lines, and counts on from there', async () => {
    const rows = await read(`${header}\n${record('c1', '"Ada\n\nLovelace"')}\n${record('c2')}\n`)
    expect(rows.map((row) => row.line)).toEqual([2, 5])
    expect(idsOf(rows)).toEqual(['c1', 'c2'])
  })

  test('loses only the record with the broken quote', async () => {
    const text = [header, record('c1'), record('c2', '"open'), record('c3'), record('c4', 'in"side'), record('c5'), record('c6', '"x"y'), record('c7')].join('\n')
    expect(idsOf(await read(text))).toEqual([
      'c1',
      'line 3 has a quotation mark in the wrong place or one that is not closed',
      'c3',
      'line 5 has a quotation mark in the wrong place or one that is not closed',
      'c5',
      'line 7 has a quotation mark in the wrong place or one that is not closed',
      'c7',
    ])
  })

  test('with an open quote in the middle of many rows loses none of the others', async () => {
    const many = Array.from({ length: 100 }, (_, index) => record(`c${index}`, index === 50 ? '"open' : 'Ada'))
    const rows = await read([header, ...many].join('\n'), undefined, 4096)
    expect(rows.filter((row) => 'problem' in row).map((row) => row.line)).toEqual([52])
    expect(rows).toHaveLength(100)
  })

  test('says which row has too few or too many columns', async () => {
    expect(idsOf(await read(`${header}\nc1,t\n${record('c2')},more\n${record('c3')}\n`))).toEqual([
      'line 2 has 2 columns where the header has 8',
      'line 3 has 9 columns where the header has 8',
      'c3',
    ])
  })

  const refused: Record<string, string> = {
    'without a header': `${record('secret-token')}\n`,
    'with a header that lacks columns': 'credentials_id,refresh_token\nc1,t\n',
    'with a column twice': `${header},name\n${record('c1')},x\n`,
    'with a broken header': `"${header}\n`,
  }
  test.each(Object.entries(refused))('%s is refused as a whole, repeating nothing of it', async (_, text) => {
    const error: unknown = await read(text).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(ImportFileError)
    expect(String(error)).not.toContain('secret-token')
  })
})

test('the format is told by the name of a file, else by its first line', async () => {
  expect(['a.csv', 'a.TSV', 'a.ndjson', 'a.jsonl', 'a.dat', '-'].map(formatByName)).toEqual(['csv', 'csv', 'ndjson', 'ndjson', undefined, undefined])
  expect(await read('  {"a":1}\n')).toEqual([{ line: 1, fields: { a: 1 } }])
  expect(idsOf(await read(`${header}\n${record('c1')}\n`))).toEqual(['c1'])
})
