import { describe, expect, test } from 'vitest'
import { makeRowCheck } from '../../src/import/check-row.ts'
import { aLine, NOW } from './rows.ts'

const check = makeRowCheck({ now: NOW, httpsOnly: true })
const checkOnLoopback = makeRowCheck({ now: NOW, httpsOnly: false })

describe('a good row', () => {
  test('comes out typed, trimmed, and with its secret wrapped', () => {
    const { row, problems, warnings, unknown } = check(
      aLine({ credentials_id: ' c1 ', refresh_token: 'the-token', country: 'uk', scopes: 'info accounts,balance', name: 'Ada\n Lovelace', email: '' }),
    )
    expect({ problems, warnings, unknown }).toEqual({ problems: [], warnings: [], unknown: [] })
    expect(row).toMatchObject({ credentialsId: 'c1', country: 'GB', scopes: ['info', 'accounts', 'balance'], name: 'Ada Lovelace', email: undefined })
    expect(row?.refreshToken.reveal()).toBe('the-token')
    expect(JSON.stringify(row)).not.toContain('the-token')
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
    expect(check(aLine({ expires_at: undefined, consented_at: '2026-11-01T00:00:00Z' })).row).toMatchObject({ expiresAt: undefined })
    expect(check(aLine({ consented_at: '2026-11-01T00:00:00Z' })).problems).toEqual([])
  })

  test('keeps a consent whose address, locale or zone is of no use, and says so', () => {
    const { row, warnings } = check(aLine({ email: 'ada at example', locale: 'tlh', time_zone: 'Mars/Olympus' }))
    expect(row).toMatchObject({ email: undefined, locale: undefined, timeZone: undefined })
    expect(warnings.map((warning) => warning.split(':')[0])).toEqual(['email', 'locale', 'time_zone'])
    expect(warnings.join()).not.toContain('ada at')
  })

  test('may come back to plain http only where https is not asked for', () => {
    const line = aLine({ redirect_uri: 'http://127.0.0.1:3000/callback' })
    expect(checkOnLoopback(line).problems).toEqual([])
    expect(check(line).problems).toEqual(['redirect_uri: must begin with https://'])
  })
})

describe('a bad row', () => {
  test('tells every problem at once, each with its field', () => {
    expect(check({ credentials_id: 12, country: 'XQ', redirect_uri: 'nowhere', provider_id: 'a\u0000b', refresh_token: 'x'.repeat(9000) }).problems).toEqual([
      'credentials_id: must be text',
      'refresh_token: is longer than 8192 characters',
      'provider_id: holds control characters',
      'country: is not a country code such as GB',
      'redirect_uri: is not an address such as https://app.example.com/callback',
      'user_id: is missing',
      'expires_at, consented_at: one of the two is needed',
    ])
  })

  const bad: Record<string, [Record<string, unknown>, string]> = {
    'a date without an offset': [{ expires_at: '2027-01-05T09:30:00' }, 'expires_at: has a time without an offset: add Z or +01:00'],
    'a date that does not exist': [{ expires_at: '2027-02-30' }, 'expires_at: is a date that does not exist'],
    'a date in words': [{ expires_at: 'next year' }, 'expires_at: is not a date: write 2026-11-23T09:00:00Z'],
    'a date as a number': [{ expires_at: 1_800_000_000 }, 'expires_at: must be text'],
    'a date long past': [{ expires_at: '1970-01-01' }, 'expires_at: is before 2010'],
    'a date in the far future': [{ expires_at: '2099-01-01' }, 'expires_at: is more than 10 years ahead'],
    'a consent in the future': [{ consented_at: '2026-12-24' }, 'consented_at: is in the future'],
    'bytes of another encoding': [{ name: 'Ren\uFFFD' }, 'name: is not UTF-8 text'],
    'half a surrogate pair': [{ refresh_token: 'a\uD800' }, 'refresh_token: holds control characters'],
    'an address with a password': [{ redirect_uri: 'https://u:p@example.com/' }, 'redirect_uri: must not hold a user or password'],
    'an address with a fragment': [{ redirect_uri: 'https://example.com/#x' }, 'redirect_uri: must not hold a #'],
    'an address of another scheme': [{ redirect_uri: 'javascript:alert(1)' }, 'redirect_uri: must begin with https://'],
    'scopes that are none': [{ scopes: ['info', 'a"b'] }, 'scopes: holds something that is no scope'],
    'scopes as a number': [{ scopes: 3 }, 'scopes: must be a list of texts, or one text with spaces between'],
    'an object for text': [{ user_id: { id: 1 } }, 'user_id: must be text'],
  }
  test.each(Object.entries(bad))('with %s is refused', (_, [over, problem]) => {
    expect(check(aLine(over)).problems).toEqual([problem])
  })

  test('whose field is misspelt is told which one was meant', () => {
    const { user_id, ...rest } = aLine()
    expect(check({ ...rest, userId: user_id })).toMatchObject({ problems: ['user_id: is missing (did you mean it by userId?)'], unknown: ['userId'] })
  })

  test('never shows a value', () => {
    const line = aLine({ credentials_id: 'a\u0000secret', refresh_token: 'tok\u0007secret', redirect_uri: 'secret', user_id: 'secret\u0001', expires_at: 'secret', country: 'secret' })
    expect(check(line).problems.join()).not.toContain('secret')
  })
})
