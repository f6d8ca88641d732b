import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { ImportFileError } from '../../src/import/file-error.ts'
import { MAX_LINE_LENGTH } from '../../src/import/lines.ts'
import type { RawRow } from '../../src/import/raw-row.ts'
import { formatByName, readRows, type ImportFormat } from '../../src/import/read-rows.ts'

const read = async (text: string | Buffer, format?: ImportFormat, chunk = 7): Promise<RawRow[]> => {
  const bytes = Buffer.from(text)
  // The file arrives in small pieces: a boundary may be anywhere, even inside a character.
  const pieces = Array.from({ length: Math.ceil(bytes.length / chunk) }, (_, index) =>
    bytes.subarray(index * chunk, (index + 1) * chunk),
  )
  const rows: RawRow[] = []
  for await (const row of readRows(Readable.from(pieces), format)) rows.push(row)
  return rows
}

const header = 'credentials_id,refresh_token,provider_id,country,redirect_uri,user_id,expires_at,name'
const record = (id: string, name = 'Ada'): string =>
  `${id},t,uk-ob-monzo,GB,https://app.example.com/cb,u,2027-01-01,${name}`
const idsOf = (rows: readonly RawRow[]): unknown[] =>
  rows.map((row) => ('fields' in row ? row.fields['credentials_id'] : `line ${row.line} ${row.problem}`))

describe('NDJSON', () => {
  test('is read line by line, with LF or CRLF, a BOM, blank lines and no final line break', async () => {
    expect(await read('\uFEFF{"a":1}\r\n\r\n{"a":"ü"}\n   \n{"a":3}')).toEqual([
      { line: 1, fields: { a: 1 } },
      { line: 3, fields: { a: 'ü' } },
      { line: 5, fields: { a: 3 } },
    ])
  })

  test('that is broken on some lines reports those with their number, and repeats none of their text', async () => {
    expect(await read('{"a":1}\n{"refresh_token":"secret\n[1]\n"text"\nnull\n{"a":2}\n')).toEqual([
      { line: 1, fields: { a: 1 } },
      { line: 2, problem: 'is not valid JSON' },
      { line: 3, problem: 'is not a JSON object' },
      { line: 4, problem: 'is not a JSON object' },
      { line: 5, problem: 'is not a JSON object' },
      { line: 6, fields: { a: 2 } },
    ])
  })

  test('with a line that is too long loses only that line', async () => {
    const long = `{"a":"${'x'.repeat(MAX_LINE_LENGTH)}"}`
    expect(await read(`{"a":1}\n${long}\n{"a":2}\n`, undefined, 1000)).toEqual([
      { line: 1, fields: { a: 1 } },
      { line: 2, problem: `is longer than ${MAX_LINE_LENGTH} bytes` },
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

  test('reads a record that spans several lines, and counts on from there', async () => {
    const rows = await read(`${header}\n${record('c1', '"Ada\n\nLovelace"')}\n${record('c2')}\n`)
    expect(rows.map((row) => row.line)).toEqual([2, 5])
    expect(idsOf(rows)).toEqual(['c1', 'c2'])
  })

  test('loses only the record with the broken quote', async () => {
    const text = [
      header,
      record('c1'),
      record('c2', '"open'),
      record('c3'),
      record('c4', 'in"side'),
      record('c5'),
      record('c6', '"x"y'),
      record('c7'),
    ].join('\n')
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

test('the format comes from the name of the file, else from its first line', async () => {
  expect(['a.csv', 'a.TSV', 'a.ndjson', 'a.jsonl', 'a.dat', '-'].map(formatByName)).toEqual([
    'csv',
    'csv',
    'ndjson',
    'ndjson',
    undefined,
    undefined,
  ])
  expect(await read('  {"a":1}\n')).toEqual([{ line: 1, fields: { a: 1 } }])
  expect(idsOf(await read(`${header}\n${record('c1')}\n`))).toEqual(['c1'])
})

/** The same text in the encodings that other programs use. */
const encodings: Record<string, (text: string) => Buffer> = {
  'UTF-8 with a BOM': (text) => Buffer.from(`\uFEFF${text}`),
  'UTF-16 LE with a BOM': (text) => Buffer.from(`\uFEFF${text}`, 'utf16le'),
  'UTF-16 BE with a BOM': (text) => Buffer.from(`\uFEFF${text}`, 'utf16le').swap16(),
}

describe('a file out of a spreadsheet', () => {
  const text = `${header}\r\n${record('c1', 'Zoë 李 💥')}\r\n${record('c2')}\r\n`

  test.each(Object.entries(encodings))('in %s is read, in pieces of any size', async (_, encode) => {
    for (const chunk of [1, 3, 7, 1000]) {
      const rows = await read(encode(text), 'csv', chunk)
      expect(rows).toMatchObject([
        { line: 2, fields: { credentials_id: 'c1', name: 'Zoë 李 💥' } },
        { line: 3, fields: { credentials_id: 'c2' } },
      ])
      expect(await read(encode('{"a":"ü"}\n{"a":2}\n'), undefined, chunk)).toEqual([
        { line: 1, fields: { a: 'ü' } },
        { line: 2, fields: { a: 2 } },
      ])
    }
  })

  test('with CR alone at the end of lines, or all three kinds in one file, is read and its lines counted', async () => {
    for (const end of ['\r', '\n', '\r\n']) {
      for (const chunk of [1, 7, 1000]) {
        const rows = await read([header, record('c1'), record('c2')].join(end), undefined, chunk)
        expect(rows.map((row) => row.line)).toEqual([2, 3])
        expect(idsOf(rows)).toEqual(['c1', 'c2'])
      }
    }
    const mixed = await read(`${header}\r${record('c1')}\n${record('c2')}\r\n\r\n${record('c3')}`)
    expect(mixed.map((row) => row.line)).toEqual([2, 3, 5])
    expect(idsOf(await read('{"credentials_id":"a"}\r{"credentials_id":"b"}\r'))).toEqual(['a', 'b'])
  })

  test.each([';', ',', '\t', '|', '^'])('may state its separator in a first line: sep=%s', async (separator) => {
    for (const line of [`sep=${separator}`, `SEP=${separator}`, `"sep=${separator}"`, `\uFEFFsep=${separator}`]) {
      const rows = await read(`${line}\r\n${text.replaceAll(',', separator)}`)
      expect(rows).toMatchObject([{ line: 3, fields: { credentials_id: 'c1', user_id: 'u' } }, { line: 4 }])
    }
  })

  test.each(['sep= ;', 'Sep = ;', 'sep=\\t', 'sep=tab'])('may state it as some programs do: %s', async (line) => {
    expect(idsOf(await read(`${line}\n${text.replaceAll(',', line.endsWith(';') ? ';' : '\t')}`))).toEqual(['c1', 'c2'])
  })

  test('may have several byte order marks at its beginning, in any encoding and format', async () => {
    for (const marked of [
      `\uFEFF\uFEFF${text}`,
      '\uFEFF\uFEFF\uFEFF{"credentials_id":"c1"}\n{"credentials_id":"c2"}\n',
    ]) {
      for (const bytes of [
        Buffer.from(marked),
        Buffer.from(marked, 'utf16le'),
        Buffer.from(marked, 'utf16le').swap16(),
      ]) {
        for (const chunk of [1, 5000]) expect(idsOf(await read(bytes, undefined, chunk))).toEqual(['c1', 'c2'])
      }
    }
  })

  test('may be separated by pipes, or have the other separators inside of quotes', async () => {
    expect(idsOf(await read(text.replaceAll(',', '|')))).toEqual(['c1', 'c2'])
    const quoted = (cells: string, by: string): string =>
      cells
        .split(',')
        .map((cell) => `"${cell}"`)
        .join(by)
    const rows = await read(
      `${quoted(header, ';')}\n${quoted(record('c1', 'a'), ';').replace('"a"', '"a,b,c,d,e,f,g,h,i,j"')}\n`,
    )
    expect(rows).toMatchObject([{ fields: { credentials_id: 'c1', name: 'a,b,c,d,e,f,g,h,i,j' } }])
  })

  test('may spell the names of the columns in many ways', async () => {
    const names =
      '  "Credentials ID" ,Refresh-Token,PROVIDER_ID,\u200Bcountry,redirect  uri,User_Id\u00A0,"expires_at",Name'
        .replace('  "', '"')
        .replace('" ,', '",')
    expect(await read(`${names}\n${record('c1')}\n`)).toMatchObject([
      {
        fields: {
          credentials_id: 'c1',
          refresh_token: 't',
          redirect_uri: 'https://app.example.com/cb',
          user_id: 'u',
          name: 'Ada',
        },
      },
    ])
  })

  test('may have empty columns at its end, in the header, in rows, or in some of them', async () => {
    const rows = await read(
      `${header},,,\n${record('c1')},,,\n${record('c2')}\n${record('c3')},\n${record('c4')}, ,"",\n${record('c5')},x\n`,
    )
    expect(idsOf(rows)).toEqual(['c1', 'c2', 'c3', 'c4', 'line 6 has 9 columns where the header has 8'])
    expect(rows[0]).toMatchObject({ fields: { name: 'Ada' } })
    expect(Object.keys((rows[0] as { fields: object }).fields)).toHaveLength(8)
    expect(idsOf(await read(`${header}\n${record('c1')},,,,\n`))).toEqual(['c1'])
  })

  test('may have columns without a name or with another’s name in between: they are no fields', async () => {
    const rows = await read(`${header},,notes,notes,email\n${record('c1')},x,a,b,e@example.com\n`)
    expect(rows).toMatchObject([
      { fields: { credentials_id: 'c1', 'column 9 without a name': 'x', email: 'e@example.com' } },
    ])
  })

  test('may have empty rows: they are skipped', async () => {
    const rows = await read(
      `${header}\n,,,,,,,\n${record('c1')}\n"","","","","","","",""\n , ,\n${record('c2')}\n,,,,,,,,,,,,\n`,
    )
    expect(idsOf(rows)).toEqual(['c1', 'c2'])
    expect(rows.map(({ line }) => line)).toEqual([3, 6])
  })

  test('may have no line break at its end', async () => {
    expect(idsOf(await read(`${header}\n${record('c1')}`))).toEqual(['c1'])
  })

  test('with another file appended to it reports the second header', async () => {
    expect(idsOf(await read(`${header}\n${record('c1')}\n${header}\n${record('c2')}\n`))).toEqual([
      'c1',
      'line 3 is the header once more',
      'c2',
    ])
  })

  test('in Windows-1252 keeps its rows: what is no UTF-8 is marked in its own field', async () => {
    const rows = await read(Buffer.from(`${header}\n${record('c1', 'Ren\u00e9')}\n${record('c2')}\n`, 'latin1'))
    expect(rows).toMatchObject([
      { fields: { credentials_id: 'c1', name: 'Ren\uFFFD' } },
      { fields: { credentials_id: 'c2' } },
    ])
  })

  test('whose name does not fit its first line is read as what it is', async () => {
    expect(idsOf(await read(text, 'ndjson'))).toEqual(['c1', 'c2'])
    expect(idsOf(await read('{"credentials_id":"a"}\n', 'csv'))).toEqual(['a'])
  })

  test('without known columns, or with one twice, is refused with what it lacks or meant', async () => {
    await expect(read(`${header.replace('user_id', 'userid')}\n`)).rejects.toThrow(
      'missing user_id (was it misspelt as userid?)',
    )
    await expect(read(`${header},User ID\n`)).rejects.toThrow('the header names the column user_id twice')
    await expect(read(`sep=;\n${text}`)).rejects.toThrow(
      /^the first line must name the columns: missing credentials_id.*sep= says/,
    )
  })
})

describe('a file of another kind is named', () => {
  const others: Record<string, [Buffer | string, RegExp]> = {
    'an empty workbook': ['PK\x05\x06', /zip archive/],
    'an archive in parts': ['PK\x07\x08PK\x03\x04', /zip archive/],
    RAR: ['Rar!\x1a\x07\x01\0', /RAR/],
    lz4: [Buffer.from('04224d18', 'hex'), /lz4/],
    tar: [`${'consents.csv'.padEnd(257, '\0')}ustar\0${header}\n`, /tar archive/],
    encrypted: ['-----BEGIN PGP MESSAGE-----\n', /PGP/],
    zeros: [Buffer.alloc(1000), /no text/],
    'a picture': [Buffer.concat([Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'), Buffer.alloc(50)]), /no text/],
    'UTF-32 LE without a mark': [
      Buffer.concat([...header].map((letter) => Buffer.from([letter.charCodeAt(0), 0, 0, 0]))),
      /UTF-32/,
    ],
    'UTF-32 BE without a mark': [
      Buffer.concat([...header].map((letter) => Buffer.from([0, 0, 0, letter.charCodeAt(0)]))),
      /UTF-32/,
    ],
    'a workbook': ['PK\x03\x04\x14\0rest', /xlsx/],
    'an old workbook': [Buffer.from('d0cf11e0a1b11ae1', 'hex'), /xls/],
    gzip: [Buffer.from('1f8b0800', 'hex'), /gzip: zcat/],
    bzip2: ['BZh91AY', /bzip2/],
    xz: [Buffer.from('fd377a585a00', 'hex'), /xz/],
    zstd: [Buffer.from('28b52ffd', 'hex'), /zstd/],
    'a PDF': ['%PDF-1.7\n', /PDF/],
    'a page': ['\n <!DOCTYPE html><html>', /HTML/],
    XML: ['<?xml version="1.0"?>', /XML/],
    'a page in UTF-16': [encodings['UTF-16 LE with a BOM']?.('<html>') ?? '', /HTML/],
    'a database': ['SQLite format 3\0', /SQLite/],
    'a dump': ['PGDMP\x01', /PostgreSQL/],
    'UTF-16 LE without a BOM': [Buffer.from(`${header}\n`, 'utf16le'), /UTF-16 without a byte order mark/],
    'UTF-16 BE without a BOM': [Buffer.from(`${header}\n`, 'utf16le').swap16(), /UTF-16 without a byte order mark/],
    'UTF-32': [Buffer.from('fffe000041000000', 'hex'), /UTF-32/],
    'one array': [' [\n{"a":1}]', /one JSON array/],
    'one object over lines': ['{\n  "consents": [\n', /several lines/],
    'rich text': ['{\\rtf1\\ansi', /RTF/],
  }
  test.each(Object.entries(others))('%s', async (_, [bytes, words]) => {
    for (const format of ['csv', 'ndjson', undefined] as const) {
      for (const chunk of [1, 4096]) {
        const error: unknown = await read(bytes, format, chunk).catch((caught: unknown) => caught)
        expect(error).toBeInstanceOf(ImportFileError)
        expect(String(error)).toMatch(words)
      }
    }
  })
})
