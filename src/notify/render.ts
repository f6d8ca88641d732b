// Makes a finished mail from a template and the facts. Pure; escapes every value that goes into HTML. Sends and reads
// nothing.
import type { DateTime } from 'luxon'
import { formatDate, usableLocale, type Locale } from '../domain/locale.ts'
import type { Secret } from '../secret.ts'
import type { MailName } from '../texts/catalogue.ts'
import type { Texts } from '../texts/load-texts.ts'
import { fill, isButton } from '../texts/text.ts'

export interface MessageFacts {
  readonly template: MailName
  /** As imported; falls back to English. */
  readonly locale: string | null | undefined
  /** As imported; falls back to UTC. */
  readonly timeZone: string | null | undefined
  readonly company: string
  readonly bank: string
  readonly name?: string | null | undefined
  readonly expiresAt: DateTime
  readonly graceEndsAt: DateTime
  /** Our own start page's address. */
  readonly link: Secret
}

export interface RenderedMessage {
  readonly subject: string
  readonly text: string
  readonly html: string
  readonly locale: Locale
}

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (character) => escapes[character] ?? '')

/**
 * The value as one line, without control characters, line separators or marks that change the reading direction; cut at
 * `most` characters.
 */
const oneLine = (value: string, most: number): string => {
  const clean = value
    .replace(/[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069\uFEFF]/g, '')
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
  const characters = [...clean]
  return characters.length <= most ? clean : `${characters.slice(0, most - 1).join('')}…`
}

/**
 * The name for the greeting, or empty. Anything but a plain name (an address, a link, markup) is left out: in many
 * products users choose their name themselves, and mail programs turn anything like `example.org` into a second link.
 */
const greetableName = (name: string | null | undefined): string => {
  const clean = oneLine(name ?? '', 60)
  return /[<>{}[\]@/\\:"|`=]|\p{L}\.\p{L}{2}|…$/u.test(clean) ? '' : clean
}

const paragraphHtml = (paragraph: string, button: string, values: Readonly<Record<string, string>>): string => {
  const href = escapeHtml(values['link'] ?? '')
  if (isButton(paragraph)) return `<p><a class="button" href="${href}">${escapeHtml(fill(button, values))}</a></p>`
  const anchor = `<a class="link" href="${href}">${href}</a>`
  const pieces = paragraph.split(/\{\{\s*link\s*\}\}/)
  return `<p>${pieces.map((piece) => escapeHtml(fill(piece, values))).join(anchor)}</p>`
}

const checkedLink = (link: Secret): string => {
  const url = URL.parse(link.reveal())
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '') {
    throw new Error('the link for a message is not an http(s) address')
  }
  return url.href
}

/**
 * Makes the function that renders messages from loaded texts. That function throws only when the link is not an
 * http(s) address.
 */
export const makeRenderMessage =
  ({ texts }: { texts: Texts }) =>
  (facts: MessageFacts): RenderedMessage => {
    const locale = usableLocale(facts.locale)
    const mail = texts.byLocale[locale].mails[facts.template]
    const link = checkedLink(facts.link)
    const values = {
      company: oneLine(facts.company, 100),
      bank: oneLine(facts.bank, 100),
      name: greetableName(facts.name),
      expiresOn: formatDate(facts.expiresAt, facts),
      graceEndsOn: formatDate(facts.graceEndsAt, facts),
      link,
      button: link,
    }
    const subject = oneLine(fill(mail.subject, values), 250)
    const text = `${mail.text.map((paragraph) => fill(paragraph, values)).join('\n\n')}\n`
    const body = mail.text.map((paragraph) => paragraphHtml(paragraph, mail.button ?? '', values)).join('\n')
    const html = fill(texts.mailLayout, { lang: locale, subject: escapeHtml(subject), body })
    return { subject, text, html, locale }
  }
