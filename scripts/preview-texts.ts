// Writes every mail and page in every language as files to look at: node scripts/preview-texts.ts [DIR]. For editors of
// the texts.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DateTime } from 'luxon'
import { locales } from '../src/domain/locale.ts'
import { routeNames } from '../src/domain/routes.ts'
import { noticePage, type NoticeViews } from '../src/http/pages/notice-page.ts'
import { startPage } from '../src/http/pages/start-page.ts'
import { stylesheet, stylesheetHref } from '../src/http/pages/stylesheet.ts'
import { makeRenderMail } from '../src/notify/email/render.ts'
import { Secret } from '../src/secret.ts'
import { noticeNames } from '../src/texts/catalogue.ts'
import { texts } from '../src/texts/own-texts.ts'
import { templateNames } from '../src/texts/template-names.ts'

const dir = process.argv[2] ?? 'preview'
const company = 'Example Ltd'
const bank = 'Sample Bank'
const link = new Secret('https://example.org/r/preview')
const now = DateTime.utc()
const timeZone = 'Europe/London'
const written: { locale: string; what: string; file: string }[] = []

const write = (locale: string, what: string, file: string, content: string): void => {
  writeFileSync(join(dir, file), content)
  written.push({ locale, what, file })
}

mkdirSync(dir, { recursive: true })
writeFileSync(join(dir, 'style.css'), stylesheet)
const renderMail = makeRenderMail({ texts })

for (const locale of locales) {
  const facts = {
    locale,
    timeZone,
    company,
    bank,
    expiresAt: now.plus({ days: 7 }),
    graceEndsAt: now.plus({ days: 97 }),
  }
  for (const template of templateNames) {
    const { subject, text, html } = renderMail({ ...facts, template, name: 'Alex Example', link })
    write(locale, `mail ${template}`, `${locale}-mail-${template}.html`, html)
    write(locale, `mail ${template}, as text`, `${locale}-mail-${template}.txt`, `${subject}\n\n${text}`)
  }
  const ofConsent = { locale, company, bank, timeZone, expiresAt: facts.expiresAt, tryAgainPath: '/r/preview' }
  const views: NoticeViews = {
    'unknown-link': { locale },
    'already-renewed': ofConsent,
    closed: ofConsent,
    suspended: ofConsent,
    'being-checked': { locale, company, recheckPath: '/done/preview' },
    'awaiting-date': { ...ofConsent, recheckPath: '/done/preview' },
    'refused-at-bank': ofConsent,
    'not-completed': ofConsent,
    'other-account': ofConsent,
    renewed: ofConsent,
    busy: ofConsent,
    'link-refused': ofConsent,
    'no-answer': ofConsent,
    'retry-callback': { locale, request: { method: 'POST', path: '/callback', fields: {} } },
    'not-found': { locale },
    'bad-request': { locale },
    'too-many': { locale },
    internal: { locale },
  }
  const local = (page: string): string => page.replace(stylesheetHref, 'style.css')
  const scopes = [
    'info',
    'accounts',
    'balance',
    'transactions',
    'cards',
    'direct_debits',
    'standing_orders',
    'offline_access',
  ]
  for (const route of routeNames) {
    const start = startPage({ ...facts, route, scopes, now, validityDays: 90 })
    write(locale, `page start, route ${route}`, `${locale}-page-start-${route}.html`, local(start))
  }
  for (const name of noticeNames)
    write(locale, `page ${name}`, `${locale}-page-${name}.html`, local(noticePage(name, views[name])))
}

const list = locales.map(
  (locale) =>
    `<h2>${locale}</h2>\n<ul>\n${written
      .filter((entry) => entry.locale === locale)
      .map(({ what, file }) => `<li><a href="${file}">${what}</a></li>`)
      .join('\n')}\n</ul>`,
)
const head = '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Texts</title>\n<h1>Mails and pages</h1>'
writeFileSync(join(dir, 'index.html'), `${head}\n${list.join('\n')}\n</html>\n`)
process.stdout.write(`${written.length} files; open ${join(dir, 'index.html')}\n`)
