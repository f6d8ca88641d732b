// Makes a finished mail from a template and the facts. Pure; escapes every value that goes into HTML. Sends and reads
// nothing.
import { usableLocale, type Locale } from '../../domain/locale.ts'
import type { Texts } from '../../texts/load-texts.ts'
import { fill, isButton } from '../../texts/text.ts'
import { oneLine, placeholderValues } from '../placeholder-values.ts'
import type { Wording } from '../port.ts'

export interface RenderedMail {
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

const paragraphHtml = (paragraph: string, button: string, values: Readonly<Record<string, string>>): string => {
  const href = escapeHtml(values['link'] ?? '')
  if (isButton(paragraph)) return `<p><a class="button" href="${href}">${escapeHtml(fill(button, values))}</a></p>`
  const anchor = `<a class="link" href="${href}">${href}</a>`
  const pieces = paragraph.split(/\{\{\s*link\s*\}\}/)
  return `<p>${pieces.map((piece) => escapeHtml(fill(piece, values))).join(anchor)}</p>`
}

/**
 * Makes the function that renders mails from loaded texts. That function throws only when the link is not an
 * http(s) address.
 */
export const makeRenderMail =
  ({ texts }: { texts: Texts }) =>
  (facts: Wording): RenderedMail => {
    const locale = usableLocale(facts.locale)
    const mail = texts.byLocale[locale].mails[facts.template]
    const values = placeholderValues(facts)
    const subject = oneLine(fill(mail.subject, values), 250)
    const text = `${mail.text.map((paragraph) => fill(paragraph, values)).join('\n\n')}\n`
    const body = mail.text.map((paragraph) => paragraphHtml(paragraph, mail.button ?? '', values)).join('\n')
    const html = fill(texts.mailLayout, { lang: locale, subject: escapeHtml(subject), body })
    return { subject, text, html, locale }
  }
