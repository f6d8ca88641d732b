// The values of the placeholders in a message's texts, made safe for text that a user reads. Pure. Does not escape for
// HTML: a channel that writes HTML does.
import { formatDate } from '../domain/locale.ts'
import type { Secret } from '../secret.ts'
import type { Wording } from './port.ts'

/**
 * The value as one line, without control characters, line separators or marks that change the reading direction; cut at
 * `most` characters.
 */
export const oneLine = (value: string, most: number): string => {
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

const checkedLink = (link: Secret): string => {
  const url = URL.parse(link.reveal())
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '') {
    throw new Error('the link for a message is not an http(s) address')
  }
  return url.href
}

/** Throws only when the link is not an http(s) address. */
export const placeholderValues = (facts: Wording) => {
  const link = checkedLink(facts.link)
  return {
    company: oneLine(facts.company, 100),
    bank: oneLine(facts.bank, 100),
    name: greetableName(facts.name),
    expiresOn: formatDate(facts.expiresAt, facts),
    graceEndsOn: formatDate(facts.graceEndsAt, facts),
    link,
    button: link,
  }
}
