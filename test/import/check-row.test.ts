import { describe, expect, test } from 'vitest'
import { makeRowCheck } from '../../src/import/check-row.ts'
import { importFieldNames } from '../../src/import/fields.ts'
import { aLine, NOW } from './rows.ts'

const check = makeRowCheck({ now: NOW, httpsOnly: true })
const checkOnLoopback = makeRowCheck({ now: NOW, httpsOnly: false })

describe('a good row', () => {
  test('comes out typed, trimmed, and with its secret wrapped', () => {
    const { row, problems, warnings, unknown } = check(
      aLine({
        credentials_id: ' c1 ',
        refresh_token: 'the-token',
        country: 'uk',
        scopes: 'info accounts,balance',
        name: 'Ada\n Lovelace',
        email: '',
      }),
    )
    expect({ problems, warnings, unknown }).toEqual({ problems: [], warnings: [], unknown: [] })
    expect(row).toMatchObject({
      credentialsId: 'c1',
      country: 'GB',
      scopes: ['info', 'accounts', 'balance'],
      name: 'Ada Lovelace',
      email: undefined,
    })
    expect(row?.refreshToken.reveal()).toBe('the-token')
    expect(JSON.stringify(row)).not.toContain('the-token')
  })

  test('comes out with every field of an import, under the same name in camel case', () => {
    const { row } = check(aLine())
    const camelCase = (name: string): string => name.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase())
    expect(Object.keys(row ?? {}).toSorted()).toEqual(importFieldNames.map(camelCase).toSorted())
  })

  const dates: Record<string, [string, string]> = {
    'in UTC': ['2027-01-05T09:30:00Z', '2027-01-05T09:30:00.000Z'],
    'with an offset': ['2027-01-05T09:30:00.25+01:00', '2027-01-05T08:30:00.250Z'],
    'as PostgreSQL writes it': ['2027-01-05 09:30:00.123456+00', '2027-01-05T09:30:00.123Z'],
    'as a day, which begins in UTC': ['2027-01-05', '2027-01-05T00:00:00.000Z'],
  }
  test.each(Object.entries(dates))('may write a date %s', (_, [written, read]) => {
    expect(check(aLine({ expires_at: written })).row?.expiresAt?.toISO()).toBe(read)
  })

  test('may give consented_at instead of expires_at, or both', () => {
    expect(check(aLine({ expires_at: undefined, consented_at: '2026-11-01T00:00:00Z' })).row).toMatchObject({
      expiresAt: undefined,
    })
    expect(check(aLine({ consented_at: '2026-11-01T00:00:00Z' })).problems).toEqual([])
  })

  test('keeps a consent whose address, locale or zone is invalid, and says so', () => {
    const { row, warnings } = check(aLine({ email: 'ada at example', locale: 'tlh', time_zone: 'Mars/Olympus' }))
    expect(row).toMatchObject({ email: undefined, locale: undefined, timeZone: undefined })
    expect(warnings.map((warning) => warning.split(':')[0])).toEqual(['email', 'locale', 'time_zone'])
    expect(warnings.join()).not.toContain('ada at')
  })

  test('may have a redirect_uri with http only where https is not demanded', () => {
    const line = aLine({ redirect_uri: 'http://127.0.0.1:3000/callback' })
    expect(checkOnLoopback(line).problems).toEqual([])
    expect(check(line).problems).toEqual(['redirect_uri: must begin with https://'])
  })
})

describe('a bad row', () => {
  test('reports every problem at once, each with its field', () => {
    expect(
      check({
        credentials_id: 12,
        country: 'XQ',
        redirect_uri: 'nowhere',
        provider_id: 'a\u0000b',
        refresh_token: 'x'.repeat(9000),
      }).problems,
    ).toEqual([
      'credentials_id: must be text',
      'refresh_token: is longer than 8192 characters',
      'provider_id: holds a control character (U+0000, at position 2): remove it',
      'country: is not a country code such as GB',
      'redirect_uri: is not an address such as https://app.example.com/callback',
      'user_id: is missing',
      'expires_at, consented_at: one of the two is needed',
    ])
  })

  const bad: Record<string, [Record<string, unknown>, string]> = {
    'a date without an offset': [
      { expires_at: '2027-01-05T09:30:00' },
      'expires_at: has a time without an offset: add Z or +01:00',
    ],
    'a date that does not exist': [{ expires_at: '2027-02-30' }, 'expires_at: is a date that does not exist'],
    'a date in words': [{ expires_at: 'next year' }, 'expires_at: is not a date: write 2026-11-23T09:00:00Z'],
    'a date as a number': [{ expires_at: 1_800_000_000 }, 'expires_at: must be text'],
    'a date long past': [{ expires_at: '1970-01-01' }, 'expires_at: is before 2010'],
    'a date in the far future': [{ expires_at: '2099-01-01' }, 'expires_at: is more than 10 years ahead'],
    'a consent in the future': [
      { expires_at: undefined, consented_at: '2026-12-24' },
      'consented_at: is in the future',
    ],
    'bytes of another encoding': [
      { user_id: 'Ren\uFFFD' },
      'user_id: is not UTF-8 text (perhaps Windows-1252): save the file as UTF-8, in Excel as "CSV UTF-8"',
    ],
    'half a surrogate pair': [{ refresh_token: 'a\uD800' }, 'refresh_token: holds half a character'],
    'a redirect_uri with something invisible in it': [
      { redirect_uri: 'https://app.example.com/call\u200Bback' },
      'redirect_uri: holds an invisible character (U+200B, a zero-width space, at position 29): remove it',
    ],
    'a date that did not fit its column': [
      { expires_at: '########' },
      'expires_at: is what a spreadsheet shows in place of a value (such as #REF! or ####): widen the column ' +
        'or mend the formula, and export it again',
    ],
    'an address with a password': [
      { redirect_uri: 'https://u:p@example.com/' },
      'redirect_uri: must not hold a user or password',
    ],
    'an address with a fragment': [{ redirect_uri: 'https://example.com/#x' }, 'redirect_uri: must not hold a #'],
    'an address of another scheme': [{ redirect_uri: 'javascript:alert(1)' }, 'redirect_uri: must begin with https://'],
    'an object for text': [{ user_id: { id: 1 } }, 'user_id: must be text'],
  }
  test.each(Object.entries(bad))('with %s is refused', (_, [over, problem]) => {
    expect(check(aLine(over)).problems).toEqual([problem])
  })

  test('is refused where its redirect_uri is on our own host and is not the callback, however it is spelled', () => {
    const own = makeRowCheck({ now: NOW, httpsOnly: true, publicUrl: 'https://consents.example.com' })
    for (const path of ['/callback', '/callback/', '//CALLBACK', '/callback?tenant=7'])
      expect(own(aLine({ redirect_uri: `https://Consents.Example.com${path}` })).problems).toEqual([])
    for (const path of ['', '/', '/cb', '/callback/x', '/oauth/callback', '/v1/callbacks']) {
      const line = aLine({ redirect_uri: `https://CONSENTS.example.com:443${path}` })
      expect(own(line)).toMatchObject({
        row: undefined,
        problems: [expect.stringMatching(/^redirect_uri: is on our own host \(PUBLIC_URL\)/)],
      })
      expect(check(line).problems).toEqual([])
    }
    expect(own(aLine({ redirect_uri: 'https://app.example.com/cb' })).problems).toEqual([])
  })

  test('needs a valid expiry, where it gives one, and reports both dates if both are broken', () => {
    expect(check(aLine({ expires_at: '########', consented_at: '2026-11-01' })).problems).toEqual([
      expect.stringMatching(/^expires_at: /),
    ])
    expect(check(aLine({ expires_at: 'soon', consented_at: 'lately' })).problems).toEqual([
      'expires_at: is not a date: write 2026-11-23T09:00:00Z',
      'consented_at: is not a date: write 2026-11-23T09:00:00Z',
    ])
  })

  test('whose field is misspelt gets the field that was meant', () => {
    const { user_id, ...rest } = aLine()
    expect(check({ ...rest, userId: user_id })).toMatchObject({
      problems: ['user_id: is missing (was it misspelt as userId?)'],
      unknown: ['userId'],
    })
  })

  test('never shows a value', () => {
    const line = aLine({
      credentials_id: 'a\u0000secret',
      refresh_token: 'tok\u0007secret',
      redirect_uri: 'secret',
      user_id: 'secret\u0001',
      expires_at: 'secret',
      country: 'secret',
    })
    expect(check(line).problems.join()).not.toContain('secret')
  })
})

describe('a broken field that is not needed is left out with a warning, never the row', () => {
  const broken: Record<string, [Record<string, unknown>, string]> = {
    'a name in another encoding': [{ name: 'Ren\uFFFD' }, 'name: is not UTF-8 text (perhaps Windows-1252)'],
    'a name as a number': [{ name: 12 }, 'name: must be text, left out'],
    'a name that is too long': [{ name: 'x'.repeat(201) }, 'name: is longer than 200 characters, left out'],
    'a name with a bell in it': [{ name: 'Ada\u0007' }, 'name: holds a control character (U+0007, at position 4)'],
    'a name that reverses what follows it': [
      { name: 'Ada\u202Egnp.' },
      'name: holds an invisible character (U+202E, at position 4)',
    ],
    'a name with a mark of bytes in it': [
      { name: '\u200BA\uFEFFda' },
      'name: holds an invisible character (U+200B, a zero-width space, at position 1)',
    ],
    'a name that is a formula': [{ name: '=HYPERLINK("https://x.test")' }, 'name: is a formula of a spreadsheet'],
    'a name that is a number, shortened': [
      { name: '1.23E+15' },
      'name: looks like a number that a spreadsheet shortened',
    ],
    'the name of a bank that is a formula': [
      { provider_name: '=A1&B1' },
      'provider_name: is a formula of a spreadsheet',
    ],
    'a phone that is a formula': [{ phone: '=44+7700900123' }, 'phone: is a formula of a spreadsheet'],
    'a name that is an error of a spreadsheet': [
      { name: '#REF!' },
      'name: is what a spreadsheet shows in place of a value',
    ],
    'a name for nobody': [{ name: 'NULL' }, 'name: is a placeholder for nothing'],
    'the name of a bank as an object': [{ provider_name: {} }, 'provider_name: must be text, left out'],
    'a phone that a spreadsheet shortened': [
      { phone: '4.47701E+11' },
      'phone: looks like a number that a spreadsheet shortened',
    ],
    'a phone as a number': [{ phone: 447700900123 }, 'phone: must be text, left out'],
    'an email for nobody': [
      { email: '\\N' },
      'email: is a placeholder for nothing, such as NULL or N/A, left out; without one the consent has no channel',
    ],
    'an email with something invisible in it': [
      { email: 'ada@example.com\u200B' },
      'email: holds an invisible character (U+200B',
    ],
    'two emails': [{ email: 'a@example.com; b@example.com' }, 'email: is not a usable address (it '],
    'a locale that is none': [{ locale: 'tlh' }, 'locale: is not one we have, left out'],
    'a locale as a list': [{ locale: ['en'] }, 'locale: must be text, left out'],
    'a zone that is none': [{ time_zone: '#N/A' }, 'time_zone: is what a spreadsheet shows in place of a value'],
    'scopes that are none': [{ scopes: ['info', 'a"b'] }, 'scopes: holds something that is no scope, left out'],
    'scopes as a number': [{ scopes: 3 }, 'scopes: must be a list of texts, or one text with spaces between, left out'],
    'scopes for nothing': [{ scopes: 'NULL' }, 'scopes: is'],
    'too many scopes': [{ scopes: Array.from({ length: 101 }, () => 'info') }, 'scopes: '],
    'a consent date in the future beside a good expiry': [
      { consented_at: '2026-12-24' },
      'consented_at: is in the future, left out; expires_at is there',
    ],
    'a consent date that did not fit its column': [
      { consented_at: '########' },
      'consented_at: is what a spreadsheet shows in place of a value',
    ],
    'a consent date as a number': [{ consented_at: 46_000 }, 'consented_at: must be text, left out'],
    'a shortened supersedes': [
      { supersedes: '1.23457E+15' },
      'supersedes: looks like a number that a spreadsheet shortened',
    ],
  }
  test.each(Object.entries(broken))('%s', (_, [over, warning]) => {
    const { row, problems, warnings } = check(aLine(over))
    expect(problems).toEqual([])
    expect(warnings).toEqual([expect.stringContaining(warning)])
    expect(warnings[0]).toContain('left out')
    expect(row).toBeDefined()
    expect(Object.values({ ...row, refreshToken: undefined })).not.toContain(Object.values(over)[0])
  })

  test('the statement that a row supersedes itself', () => {
    const { row, warnings } = check(aLine({ credentials_id: 'c1', supersedes: '="c1"' }))
    expect(row).toMatchObject({ credentialsId: 'c1', supersedes: undefined })
    expect(warnings).toEqual(['supersedes: names the row itself, left out; no other consent is closed'])
  })

  test("people may be called Null, Nan and 't Hooft", () => {
    for (const name of [
      'Null',
      'Nan',
      "'t Hooft",
      'O’Brien',
      'Zoë',
      '李',
      'NA',
      'میترا\u200Cسادات',
      'دانا\u200F',
      '👩\u200D🚀',
    ])
      expect(check(aLine({ name }))).toMatchObject({ row: { name }, warnings: [] })
  })
})

describe('an identifier or a token', () => {
  const damaged = [
    '1.23457E+15',
    '1,23457E+15',
    '1.23E+05',
    '1E+15',
    '1e+21',
    '1.23456789012346e+18',
    '1.23457E15',
    '-1.2E+10',
    '123.457E+12',
    '1.2E-05',
    '12345.0',
    '12345,00',
    '1,234,567',
    '1,234,567.00',
    '########',
    '#',
    '#REF!',
    '#N/A',
    '#NAME?',
    '#VALUE!',
    '#DIV/0!',
    '#NUM!',
    '#NULL!',
    '#SPILL!',
    '#BEZUG!',
    '#¡REF!',
    '#NV',
    'Err:508',
    'NULL',
    'null',
    'Null',
    '\\N',
    'None',
    'NONE',
    'nil',
    'undefined',
    'NaN',
    'N/A',
    'n/a',
    'NA',
    '-',
    '--',
    '—',
    '.',
    '?',
    '(null)',
    '<null>',
    '[object Object]',
    '""',
    '[REDACTED]',
    '1.E+15',
    ',5E+3',
    '1.23457 E+15',
    "1'234'567",
    'Fehler:502',
    '<NA>',
    'NaT',
    'n.a.',
    'Infinity',
    '-nan',
    '1.#QNAN',
    'WAHR',
    'FAUX',
    'VERDADERO',
    'FAŁSZ',
    '10. Nov',
    '10-nov',
    '01. Mrz',
    '1-août',
    '12.maj',
    '3-ene-26',
    'Mrz 30',
    'Nov 10',
    'Mai. 26',
    '23/11/2026 00:00',
    '11/23/26 9:30 PM',
    '2026/11/23',
    '23-11-2026',
    '“abc”',
    '„abc“',
    '«abc»',
    'abc"',
    '‘abc’',
    'TRUE',
    'false',
    '12-May',
    '5-Mar-26',
    'Mar-30',
    '23/11/2026',
    '1/2/26',
    '23.11.2026',
    '2026-11-23',
    '2026-11-23 00:00:00',
    '2026-11-23T00:00:00Z',
    'a\u200Bb',
    'a\uFEFFb',
    '\uFEFFab',
    'a\u00ADb',
    '\u202Eab',
    'ab\u200F',
    'a\u2060b',
    'ab\u00A0',
    '\u00A0ab',
    'a\u00A0b',
    'a\u202Fb',
    'a\u3000b',
    'a\tb',
    'ab\t',
    'a\nb',
    'ab\n',
    'a\u0000b',
    'a\u0085b',
    'a\u007Fb',
    'a\u2028b',
    'a\uFE0Fb',
    'a\u3164b',
    'Ren\uFFFD',
    'a\uD800',
    '=A1',
    '=1+2',
    '=HYPERLINK("x")',
    '"abc"',
    "'abc'",
    '"abc',
    'abc...',
    'abc…',
    '****abcd',
    '••••',
  ]
  const fields = ['user_id', 'credentials_id', 'provider_id', 'refresh_token'] as const
  test.each(damaged)('%j is refused in each field, with the reason and without the value', (value) => {
    for (const field of fields) {
      const { row, problems } = check(aLine({ [field]: value }))
      expect(row).toBeUndefined()
      expect(problems).toEqual([expect.stringMatching(new RegExp(`^${field}: .{10}`))])
      if (value.length > 8 && !/^[-\d.,E+#]+$|^\W*N/.test(value)) expect(problems.join()).not.toContain(value)
    }
  })

  const real = [
    '123',
    '0',
    '007',
    '1234567890123450000',
    '1E5',
    '12e4567',
    '1e10',
    'e+1',
    '12E-4',
    'E+15',
    '1.2.3',
    '12.345.678-5',
    '12.345.678',
    '1.5',
    'v1.0',
    '10-11',
    '99/88/7777',
    'may-12',
    'jan-21',
    'mai-26',
    '10-novak',
    '32-nov',
    "Travis'",
    'trues',
    'Vero',
    'na-1',
    '12345678901234500000',
    '1e5a1234-0000-4000-8000-000000000000',
    'A-12',
    'null-island',
    'nonesuch',
    'trueblue',
    'NAN1',
    'na',
    'nancy',
    'user 1',
    'ada@example.com',
    '@ada',
    '+447700900123',
    '-5',
    'a=b',
    'abc==',
    'a/b+c=',
    "O'Brien",
    'Zoë',
    'ユーザー1',
    '#1234',
    '#ada',
    '550e8400-e29b-41d4-a716-446655440000',
    'a..b',
    '*1',
    '{"id":1}',
    'x'.repeat(200),
  ]
  test.each(real)('%j is an id', (value) => {
    for (const field of ['user_id', 'credentials_id', 'provider_id'] as const)
      expect(check(aLine({ [field]: value })).problems).toEqual([])
    expect(check(aLine({ user_id: value })).row?.userId).toBe(value)
  })

  test('is read without a spreadsheet’s marks for text', () => {
    for (const [written, read] of [
      ['="00123"', '00123'],
      ["'00123", '00123'],
      [' 00123 ', '00123'],
      ['="a""b"', 'a"b'],
      ["'-abc", '-abc'],
    ]) {
      expect(check(aLine({ user_id: written, credentials_id: written })).row).toMatchObject({
        userId: read,
        credentialsId: read,
      })
      expect(check(aLine({ refresh_token: written })).row?.refreshToken.reveal()).toBe(read)
    }
    expect(
      check(aLine({ expires_at: '="2027-01-05"', country: "'GB", phone: "'+447700900123", name: '="Ada"' })).row,
    ).toMatchObject({ country: 'GB', phone: '+447700900123', name: 'Ada' })
  })

  test('is no token with a space or an auto-corrected character', () => {
    for (const value of ['abc def', 'abc–def', 'abc“d', 'tokén'])
      expect(check(aLine({ refresh_token: value })).problems).toEqual([expect.stringMatching(/^refresh_token: holds/)])
  })

  test('must be text: a JSON number may have lost its last digits already', () => {
    expect(check(aLine({ user_id: 2 ** 64, credentials_id: 7, provider_id: true })).problems).toEqual([
      'credentials_id: must be text',
      'provider_id: must be text',
      'user_id: must be text',
    ])
  })
})

describe('channels', () => {
  const table: Record<string, [unknown, readonly string[] | undefined]> = {
    'none at all': [[], []],
    'none, as a file says it': ['none', []],
    'a list': [['email'], ['email']],
    'one text': ['email', ['email']],
    'an empty cell, which says nothing': ['', undefined],
  }
  test.each(Object.entries(table))('%s', (_, [channels, read]) => {
    const { row, problems } = check(aLine({ channels }))
    expect([problems, row?.channels]).toEqual([[], read])
  })

  test.each([['pigeon'], [['email', 'none']], [7], [[7]]])(
    '%j makes the row bad: nobody is messaged by a slip',
    (channels) => {
      const { row, problems } = check(aLine({ channels }))
      expect([row, problems]).toEqual([undefined, [expect.stringMatching(/^channels: /)]])
    },
  )
})
