// What every message must say in every language, and what no value may make it say.
import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import { locales } from '../../../src/domain/locale.ts'
import { makeRenderMail } from '../../../src/notify/email/render.ts'
import type { Wording } from '../../../src/notify/port.ts'
import { Secret } from '../../../src/secret.ts'
import { texts } from '../../../src/texts/own-texts.ts'
import { templateNames } from '../../../src/texts/template-names.ts'

const renderMail = makeRenderMail({ texts })

const LINK = 'https://consents.acme.test/r/AbC-123_xyz'

const facts = (over: Partial<Wording> = {}): Wording => ({
  template: 'before-expiry',
  locale: 'en',
  timeZone: 'Europe/London',
  company: 'Acme Ltd',
  bank: 'Monzo',
  name: 'Zoë',
  expiresAt: DateTime.fromISO('2026-11-10T12:00:00Z'),
  graceEndsAt: DateTime.fromISO('2027-02-08T12:00:00Z'),
  link: new Secret(LINK),
  ...over,
})

const expiryIn = {
  en: '10 November 2026',
  fr: '10 novembre 2026',
  de: '10. November 2026',
  es: '10 de noviembre de 2026',
  it: '10 novembre 2026',
  pl: '10 listopada 2026',
}

const urging =
  /!|urgent|immediat|sofort|dringend|inmediat|subito|natychmiast|pilne|warning|attention|achtung|suspend|block/i

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => escapes[character] ?? '')

const count = (text: string, part: RegExp): number => text.match(part)?.length ?? 0

for (const locale of locales) {
  describe(`in ${locale}`, () => {
    for (const template of templateNames) {
      test(`${template} says who, which bank and until when, with one link`, () => {
        const { subject, text, html, locale: used } = renderMail(facts({ locale, template }))
        expect(used).toBe(locale)
        for (const version of [text, html]) {
          expect(version).not.toMatch(/[{}]{2}|\bundefined\b|\bnull\b|Invalid/)
          expect(version).toContain('Acme Ltd')
          expect(version).toContain('Monzo')
          expect(version).toContain(expiryIn[locale])
          expect(count(version, /https?:/g)).toBe(1)
        }
        expect(subject).toMatch(/^Acme Ltd ?: .*Monzo/)
        expect(subject).not.toMatch(/[\r\n{}]/)
        expect(text).toMatch(new RegExp(`^${LINK}$`, 'm'))
        expect(count(html, /<a /g)).toBe(1)
        expect(html).toContain(`<a class="button" href="${LINK}">`)
        expect(html).toContain(`<html lang="${locale}">`)
        expect(html).not.toMatch(/<img|<script|url\(|\bsrc=|@import/)
        expect(count(html, /<table/g)).toBe(count(html, /<table role="presentation"/g))
        expect(html.length).toBeLessThan(15_000)
      })

      test(`${template} reads well without a name`, () => {
        for (const name of [undefined, null, '', '  ']) {
          const { text } = renderMail(facts({ locale, template, name }))
          expect(text).toMatch(/^(Hello|Bonjour|Guten Tag|Hola|Buongiorno|Dzień dobry)[,:]\n\n/)
        }
      })
    }

    test('neither frightens nor urges', () => {
      for (const template of templateNames) {
        const { subject, text } = renderMail(facts({ locale, template }))
        expect(`${subject}\n${text}`).not.toMatch(urging)
      }
    })
  })
}

describe('dates', () => {
  test('are on the calendar of the user', () => {
    const late = { expiresAt: DateTime.fromISO('2026-11-10T23:30:00Z') }
    expect(renderMail(facts({ ...late, timeZone: 'Europe/London' })).text).toContain('10 November 2026')
    expect(renderMail(facts({ ...late, timeZone: 'Europe/Paris' })).text).toContain('11 November 2026')
    expect(renderMail(facts({ ...late, timeZone: 'America/New_York' })).text).toContain('10 November 2026')
  })

  test('an unknown zone counts as UTC, an unknown language as English', () => {
    for (const [locale, timeZone] of [
      ['xx', 'Mars/Base'],
      ['', ''],
      [null, null],
      [undefined, undefined],
      ['de\r\nBcc: x', 'Europe/Berlin\u0000'],
    ]) {
      const message = renderMail(facts({ locale, timeZone, expiresAt: DateTime.fromISO('2026-11-10T23:30:00Z') }))
      expect(message.locale).toBe('en')
      expect(message.text).toContain('10 November 2026')
    }
  })

  test('a region keeps its own order: fr-CA is French, en-US puts the month first', () => {
    expect(renderMail(facts({ locale: 'fr-CA' }))).toMatchObject({
      locale: 'fr',
      text: expect.stringContaining('10 novembre 2026'),
    })
    expect(renderMail(facts({ locale: 'en-US' })).text).toContain('November 10, 2026')
  })
})

describe('values can become nothing but text', () => {
  const attacks = [
    '<script>alert(1)</script>',
    '"><img src=x onerror=y>',
    "'--><a href='https://evil.test'>",
    '&lt;b&gt;',
    '{{link}}',
    '{{name}}',
    '$& $1 $`',
  ]

  for (const attack of attacks) {
    test(`${attack} as company and bank shows as it is`, () => {
      const { html, text, subject } = renderMail(facts({ company: attack, bank: attack, name: attack }))
      expect(count(html, /<a /g)).toBe(1)
      expect(html).not.toMatch(/<script|<img|<b>/)
      expect(html).toContain(escaped(attack))
      expect(text).toContain(attack)
      expect(text.split(LINK)).toHaveLength(2)
      expect(subject).toContain(attack)
    })
  }

  test('a value that looks like a placeholder stays as it is: the link is not written twice', () => {
    const { text, html } = renderMail(facts({ bank: '{{link}}{{button}}' }))
    expect(text.split(LINK)).toHaveLength(2)
    expect(html.split(LINK)).toHaveLength(2)
  })

  test('line breaks, control characters and direction marks reach neither the subject nor a line of the text', () => {
    const { subject, text } = renderMail(
      facts({ company: 'Acme\r\nBcc: all@x.test', bank: 'Mon\u2028zo\u0000\u202Etxt.exe\u2029' }),
    )
    expect(subject).toMatch(/^Acme Bcc: all@x\.test: .*Mon zo txt\.exe/)
    expect(text).not.toMatch(/^Bcc|[\p{Cf}\p{Zl}\p{Zp}]|[^\P{Cc}\n]/mu)
  })

  test('a name that is not plain is left out of the greeting', () => {
    const addresses = ['https://evil.test/', 'evil.test', 'www.evil.test', 'a@evil.test']
    for (const name of [...addresses, '<b>Zoe</b>', '{{link}}', 'Zoe\r\n\r\nPay: now', 'x'.repeat(200)]) {
      expect(renderMail(facts({ name })).text).toMatch(/^Hello,\n\n/)
    }
    for (const name of ["Siobhán O'Brien", 'J. R. Müller-Lüdenscheidt', '李小龍', 'Anna Maria']) {
      expect(renderMail(facts({ name })).text).toMatch(new RegExp(`^Hello ${name},\n`))
    }
  })

  test('very long values are cut', () => {
    const { subject, html } = renderMail(facts({ company: 'C'.repeat(10_000), bank: '😀'.repeat(10_000) }))
    expect(subject.length).toBeLessThan(520)
    expect(html.length).toBeLessThan(15_000)
  })

  test('a link that is no web address is refused without being shown', () => {
    for (const link of ['javascript:alert(1)', 'not a link', 'https://user:word@acme.test/', '']) {
      expect(() => renderMail(facts({ link: new Secret(link) }))).toThrow(
        /^the link for a message is not an http\(s\) address$/,
      )
    }
    const local = renderMail(facts({ link: new Secret('http://127.0.0.1:8080/r/x?a=1&b="2"') }))
    expect(local.html).toContain('href="http://127.0.0.1:8080/r/x?a=1&amp;b=%222%22"')
  })
})
