import fc from 'fast-check'
import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import { dateLocale, formatDate, knownLocale, locales, usableLocale, usableZone } from '../../src/domain/locale.ts'

test.each([
  ['fr', 'fr', 'fr'],
  ['fr-CA', 'fr', 'fr-CA'],
  ['FR_ca', 'fr', 'fr-CA'],
  [' de-AT ', 'de', 'de-AT'],
  ['pl', 'pl', 'pl'],
  ['en', 'en', 'en-GB'],
  ['en-US', 'en', 'en-US'],
  ['zh-Hans', 'en', 'en-GB'],
  ['xx', 'en', 'en-GB'],
  ['', 'en', 'en-GB'],
  ['not a tag', 'en', 'en-GB'],
  ['fr-u-ca-buddhist-nu-arab', 'fr', 'fr'],
  [undefined, 'en', 'en-GB'],
  [null, 'en', 'en-GB'],
])('%j is written in %s, its dates in %s', (input, language, dates) => {
  expect(usableLocale(input)).toBe(language)
  expect(dateLocale(input)).toBe(dates)
})

test('a language without texts is unknown rather than English, so that another may be tried', () => {
  expect(knownLocale('sv')).toBeUndefined()
  expect(knownLocale('it-CH')).toBe('it')
})

test.each([
  ['Europe/Warsaw', 'Europe/Warsaw'],
  [' Europe/Paris ', 'Europe/Paris'],
  ['Mars/Base', 'UTC'],
  ['', 'UTC'],
  ['Europe/Paris\u0000', 'UTC'],
  [undefined, 'UTC'],
  [null, 'UTC'],
])('the zone %j is %s', (input, zone) => expect(usableZone(input)).toBe(zone))

describe('dates in words', () => {
  test('turn at midnight of the zone', () => {
    const second = DateTime.fromISO('2026-03-28T22:59:59Z')
    expect(formatDate(second, { locale: 'en', timeZone: 'Europe/Paris' })).toBe('28 March 2026')
    expect(formatDate(second.plus({ seconds: 1 + 3600 }), { locale: 'en', timeZone: 'Europe/Paris' })).toBe(
      '29 March 2026',
    )
  })

  test('know the French first of the month', () => {
    expect(formatDate(DateTime.fromISO('2026-11-01T12:00Z'), { locale: 'fr', timeZone: 'UTC' })).toBe(
      '1er novembre 2026',
    )
    expect(formatDate(DateTime.fromISO('2026-11-11T12:00Z'), { locale: 'fr', timeZone: 'UTC' })).toBe(
      '11 novembre 2026',
    )
  })

  test('never fail, whatever was imported', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (locale, timeZone) => {
        expect(locales).toContain(usableLocale(locale))
        expect(formatDate(DateTime.fromISO('2026-11-10T12:00Z'), { locale, timeZone })).toMatch(/2026/)
      }),
    )
  })
})
