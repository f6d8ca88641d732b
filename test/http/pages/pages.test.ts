// Every page in every language: complete, small, accessible, without scripts, and with no place where a value could
// break out of the text.
import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import { locales } from '../../../src/domain/locale.ts'
import { noticePage, noticeStatus, type NoticeViews } from '../../../src/http/pages/notice-page.ts'
import { startPage, type StartView } from '../../../src/http/pages/start-page.ts'
import { stylesheet, stylesheetHref, stylesheetPath } from '../../../src/http/pages/stylesheet.ts'
import { noticeNames, type NoticeName } from '../../../src/texts/catalogue.ts'
import { texts } from '../../../src/texts/own-texts.ts'

const at = (iso: string): DateTime => DateTime.fromISO(iso, { zone: 'utc' })

const aStart = (over: Partial<StartView> = {}): StartView => ({
  locale: 'en',
  timeZone: 'Europe/London',
  company: 'Acme Ltd',
  bank: 'Monzo',
  scopes: [
    'info',
    'accounts',
    'balance',
    'transactions',
    'cards',
    'direct_debits',
    'standing_orders',
    'offline_access',
  ],
  expiresAt: at('2026-11-10T12:00:00Z'),
  graceEndsAt: at('2027-02-08T12:00:00Z'),
  now: at('2026-11-03T12:00:00Z'),
  route: 'reauth',
  validityDays: 90,
  ...over,
})

const views = (locale: string, value = 'Monzo'): NoticeViews => {
  const ofConsent = { locale, company: value, bank: value }
  const renewed = { ...ofConsent, expiresAt: at('2026-11-10T23:30:00Z'), timeZone: 'Europe/Paris' }
  return {
    'unknown-link': { locale },
    'already-renewed': renewed,
    closed: ofConsent,
    suspended: ofConsent,
    'being-checked': { locale, recheckPath: '/done/abc', recheckSeconds: 5 },
    'awaiting-date': { ...ofConsent, recheckPath: '/done/abc' },
    'refused-at-bank': { ...ofConsent, tryAgainPath: '/r/token' },
    'not-completed': { ...ofConsent, tryAgainPath: '/r/token' },
    'other-account': { ...ofConsent, tryAgainPath: '/r/token' },
    renewed,
    busy: { locale, company: value, tryAgainPath: '/r/token' },
    'link-refused': ofConsent,
    'no-answer': { locale, company: value },
    'retry-callback': { locale, request: { method: 'GET', path: '/callback?code=c&state=s' } },
    'not-found': { locale },
    'bad-request': { locale },
    'too-many': { locale },
    internal: { locale },
  }
}

const show = (kind: NoticeName, locale: string, value?: string): string => noticePage(kind, views(locale, value)[kind])

const count = (text: string, part: RegExp): number => text.match(part)?.length ?? 0

const expectSound = (page: string, locale: string): void => {
  expect(page).toMatch(/^<!doctype html>\n/)
  expect(page).toContain(`<html lang="${locale}">`)
  expect(page).toMatch(/<title>[^<]{5,}<\/title>/)
  expect(count(page, /<h1>[^<]{5,}<\/h1>/g)).toBe(1)
  expect(count(page, /<main>/g)).toBe(1)
  expect(page).toContain('<meta name="viewport" content="width=device-width, initial-scale=1">')
  expect(page).toContain(`<link rel="stylesheet" href="${stylesheetHref}">`)
  expect(page).not.toMatch(/<script|<style|\bstyle=|\bon\w+=|javascript:|<img|<iframe|https?:/i)
  expect(page).not.toMatch(/[{}]{2}|\bundefined\b|\bnull\b|Invalid|\[object/)
  expect(Buffer.byteLength(page)).toBeLessThan(15_000)
}

for (const locale of locales) {
  describe(`in ${locale}`, () => {
    test('the start page names company, bank, what is shared and until when, and has one button', () => {
      const page = startPage(aStart({ locale }))
      expectSound(page, locale)
      expect(page).toContain('Acme Ltd')
      expect(page).toContain('Monzo')
      expect(page).toMatch(/10\.? (de )?(November|novembre|noviembre|listopada) (de )?2026/)
      expect(page).toContain('90')
      expect(count(page, /<li>/g)).toBe(8)
      for (const scope of ['accounts', 'offline_access'] as const)
        expect(page).toContain(texts.byLocale[locale].pages.start.scopes[scope].slice(0, 12))
      expect(count(page, /<form method="post">/g)).toBe(1)
      expect(count(page, /<button /g)).toBe(1)
      expect(count(page, /<a /g)).toBe(0)
    })

    for (const kind of noticeNames) {
      test(`the page "${kind}" is whole`, () => expectSound(show(kind, locale), locale))
    }
  })
}

describe('the start page', () => {
  test('says how the permission stands: running, ended, past its time', () => {
    const titles = {
      valid: 'This permission runs until 10 November 2026',
      expired: 'It can be renewed until 8 February 2027',
      ended: 'You can set it up again',
    }
    expect(startPage(aStart({ now: at('2026-11-10T11:59:59Z') }))).toContain(titles.valid)
    expect(startPage(aStart({ now: at('2026-11-10T12:00:00Z') }))).toContain(titles.expired)
    expect(startPage(aStart({ now: at('2027-02-08T11:59:59Z') }))).toContain(titles.expired)
    expect(startPage(aStart({ now: at('2027-02-08T12:00:00Z') }))).toContain(titles.ended)
  })

  test('shows the date of the user’s zone', () => {
    expect(startPage(aStart({ expiresAt: at('2026-11-10T23:30:00Z'), timeZone: 'Europe/Warsaw' }))).toContain(
      '11 November 2026',
    )
    expect(startPage(aStart({ expiresAt: at('2026-11-10T23:30:00Z'), timeZone: 'nonsense' }))).toContain(
      '10 November 2026',
    )
  })

  test('shows an unknown scope once, and never one of its own placeholders', () => {
    const page = startPage(
      aStart({ scopes: ['accounts', 'accounts', 'crypto_wallets', 'other', 'unspecified', 'constructor', '<b>x</b>'] }),
    )
    expect(count(page, /<li>/g)).toBe(6)
    expect(page).toContain('“crypto_wallets”')
    expect(page).toContain('“other”')
    expect(page).toContain('“constructor”')
    expect(page).toContain('“&lt;b&gt;x&lt;/b&gt;”')
  })

  test('without scopes shows what was agreed to, without a validity no number of days', () => {
    const page = startPage(aStart({ scopes: [], validityDays: undefined }))
    expect(page).toContain('<li>the account data you agreed to')
    expect(page).not.toMatch(/days/)
  })

  test('stays small with endless data', () => {
    const page = startPage(
      aStart({ scopes: Array.from({ length: 5_000 }, (_, index) => `scope_${index}${'x'.repeat(500)}`) }),
    )
    expect(Buffer.byteLength(page)).toBeLessThan(15_000)
  })
})

describe('notices', () => {
  test('lead back to the start link where the user can go on', () => {
    for (const kind of ['refused-at-bank', 'other-account', 'busy'] as const) {
      expect(show(kind, 'en')).toContain('<a class="button" href="/r/token">Try again</a>')
    }
    expect(noticePage('busy', { locale: 'en' })).not.toMatch(/<a |<button/)
  })

  test('renewed says until when, in the user’s zone', () => {
    expect(show('renewed', 'de')).toContain('bis zum 11. November 2026')
    expect(show('already-renewed', 'de')).toContain('bis zum 11. November 2026')
  })

  test('being checked reloads by itself only where it should', () => {
    expect(show('being-checked', 'en')).toContain('<meta http-equiv="refresh" content="5; url=/done/abc">')
    expect(show('being-checked', 'en')).toContain('<a class="button" href="/done/abc">Check again</a>')
    const neutral = noticePage('being-checked', { locale: 'en' })
    expect(neutral).not.toMatch(/refresh|<a |Monzo/)
  })

  test('a date that may come late: it names the bank, and is looked at again by a button alone', () => {
    const page = show('awaiting-date', 'en')
    expect(page).toContain('Your answer at Monzo has arrived')
    expect(page).toContain('<a class="button" href="/done/abc">Check again</a>')
    expect(page).not.toContain('http-equiv="refresh"')
  })

  test('a failed callback is sent again: a GET by itself and by its link', () => {
    const page = noticePage('retry-callback', {
      locale: 'en',
      request: { method: 'GET', path: '/callback?code=a%22b&state=s' },
      retrySeconds: 3,
    })
    expect(page).toContain('<meta http-equiv="refresh" content="3; url=/callback?code=a%22b&amp;state=s">')
    expect(page).toContain('<a class="button" href="/callback?code=a%22b&amp;state=s">Send again</a>')
    expect(page).toContain('by itself')
  })

  test('a failed callback is sent again: a POST by its button, with the same fields', () => {
    const fields = { code: '"><script>x</script>', state: "s'&amp;" }
    const page = noticePage('retry-callback', { locale: 'en', request: { method: 'POST', path: '/callback', fields } })
    expect(page).toContain('<form method="post" action="/callback">')
    expect(page).toContain('<input type="hidden" name="code" value="&quot;&gt;&lt;script&gt;x&lt;/script&gt;">')
    expect(page).toContain('<input type="hidden" name="state" value="s&#39;&amp;amp;">')
    expect(page).not.toMatch(/refresh|by itself/)
    expect(count(page, /<button /g)).toBe(1)
  })

  test('never lead to another origin', () => {
    for (const path of ['//evil.test/', 'https://evil.test/', 'javascript:alert(1)', '/x\r\n']) {
      expect(() => noticePage('busy', { locale: 'en', tryAgainPath: path })).toThrow()
      expect(() => noticePage('being-checked', { locale: 'en', recheckPath: path, recheckSeconds: 1 })).toThrow()
      expect(() => noticePage('retry-callback', { locale: 'en', request: { method: 'GET', path } })).toThrow()
      expect(() =>
        noticePage('retry-callback', { locale: 'en', request: { method: 'POST', path, fields: {} } }),
      ).toThrow()
    }
  })

  test('have the status that fits', () => {
    expect(noticeStatus).toMatchObject({
      busy: 503,
      'retry-callback': 503,
      'too-many': 429,
      'unknown-link': 404,
      'bad-request': 400,
      internal: 500,
      renewed: 200,
    })
  })

  test('an unknown locale is English', () => {
    expectSound(noticePage('not-found', { locale: 'xx"><script>' }), 'en')
  })
})

describe('values stay text', () => {
  for (const attack of [
    '<script>alert(1)</script>',
    '"><img src=x onerror=y>',
    "' onfocus='x",
    '</title><script>',
    '$& $1',
  ]) {
    test(attack, () => {
      const escaped = attack
        .replace(/&/g, '&amp;')
        .replace(/</g, '&lt;')
        .replace(/>/g, '&gt;')
        .replace(/"/g, '&quot;')
        .replace(/'/g, '&#39;')
      const pages = [
        startPage(aStart({ company: attack, bank: attack })),
        ...noticeNames.map((kind) => show(kind, 'en', attack)),
      ]
      for (const page of pages) {
        expect(page).not.toMatch(/<script|<img/)
        expect(page.replaceAll(escaped, '')).not.toContain(attack)
        expect(count(page, /<title>/g)).toBe(1)
        expect(count(page, /<\/title>/g)).toBe(1)
      }
      expect(pages[0]).toContain(escaped)
    })
  }

  test('a bank called {{company}} is shown as such', () => {
    expect(startPage(aStart({ bank: '{{company}}' }))).toContain('Continue to {{company}}')
  })
})

describe('the stylesheet', () => {
  test('is small, loads nothing and is addressed by a hash of its content', () => {
    expect(Buffer.byteLength(stylesheet)).toBeLessThan(5_000)
    expect(stylesheet).not.toMatch(/url\(|@import|https?:/)
    expect(stylesheet).toMatch(/:focus-visible/)
    expect(stylesheetHref).toMatch(new RegExp(`^${stylesheetPath}\\?v=[0-9a-f]{12}$`))
  })

  /** Relative luminance and contrast ratio as in WCAG 2.2. */
  const luminance = (hex: string): number => {
    const [r = 0, g = 0, b = 0] = [1, 3, 5].map((from) => {
      const channel = Number.parseInt(hex.slice(from, from + 2), 16) / 255
      return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const contrast = (one: string, other: string): number => {
    const [high = 0, low = 0] = [luminance(one), luminance(other)].sort((a, b) => b - a)
    return (high + 0.05) / (low + 0.05)
  }
  const colours = (block: string | undefined): Record<string, string> =>
    Object.fromEntries(
      [...(block ?? '').matchAll(/--([\w-]+): (#[0-9a-f]{6})/g)].map((match) => [match[1] ?? '', match[2] ?? '']),
    )
  const [light, dark] = stylesheet.split('@media (prefers-color-scheme: dark)').map((part) => colours(part))

  test.each([
    ['light', light],
    ['dark', dark],
  ])('has enough contrast in the %s scheme', (_, scheme = {}) => {
    const colour = (name: string): string => scheme[name] ?? ''
    for (const back of ['card', 'page']) {
      for (const text of ['text', 'quiet', 'action'])
        expect(contrast(colour(text), colour(back))).toBeGreaterThanOrEqual(4.5)
      expect(contrast(colour('focus'), colour(back))).toBeGreaterThanOrEqual(3)
    }
    expect(contrast(colour('on-action'), colour('action'))).toBeGreaterThanOrEqual(4.5)
  })
})
