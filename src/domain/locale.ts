// Which of our languages, which date format and which time zone a user gets. The fallbacks are here; the wording is
// in src/texts/.
import { DateTime, IANAZone } from 'luxon'

/** The languages in which everything that users read is written. The first is the fallback. */
export const locales = ['en', 'fr', 'de', 'es', 'it', 'pl'] as const

export type Locale = (typeof locales)[number]

const isLocale = (language: string): language is Locale => (locales as readonly string[]).includes(language)

/**
 * The parts of a language tag; undefined when the text is no tag. `fr_CA`, as databases write it, counts as `fr-CA`. A
 * page and a mail ask several times for the same few tags: the results are cached.
 */
const parseTag = (input: string | null | undefined): Intl.Locale | undefined => {
  if (!input) return undefined
  if (tags.has(input)) return tags.get(input)
  const tag = readTag(input)
  if (tags.size < 1000) tags.set(input, tag)
  return tag
}
const tags = new Map<string, Intl.Locale | undefined>()

const readTag = (input: string): Intl.Locale | undefined => {
  try {
    return new Intl.Locale(input.trim().replaceAll('_', '-'))
  } catch {
    return undefined
  }
}

/**
 * The language of ours for a tag: `fr-CA` → `fr`. Undefined when we have none for the tag, so that a caller can try
 * another tag.
 */
export const knownLocale = (input: string | null | undefined): Locale | undefined => {
  const language = parseTag(input)?.language
  return language !== undefined && isLocale(language) ? language : undefined
}

/** The language to use for an imported value: `fr-CA` → `fr`; anything unknown, empty or malformed → `en`. */
export const usableLocale = (input: string | null | undefined): Locale => knownLocale(input) ?? locales[0]

/**
 * The tag by which dates are formatted. The region is kept if we have the language (`en-US` puts the month first);
 * plain `en` means `en-GB`, because most consents are British. Calendars and numerals that a tag may ask for (`-u-…`)
 * are dropped, because the sentence around the date does not use them.
 */
export const dateLocale = (input: string | null | undefined): string => {
  const tag = parseTag(input)
  if (tag === undefined || !isLocale(tag.language)) return 'en-GB'
  if (tag.region !== undefined) return `${tag.language}-${tag.region}`
  return tag.language === 'en' ? 'en-GB' : tag.language
}

/** The IANA zone to use for an imported value; anything unknown, empty or malformed → UTC. */
export const usableZone = (input: string | null | undefined): string => {
  const zone = input?.trim()
  return zone && isZone(zone) ? zone : 'UTC'
}

/**
 * Intl takes a hundred microseconds and much native memory to check a name, and an import or a sweep checks very few
 * names very often: the results are cached.
 */
const isZone = (name: string): boolean => {
  const known = zoneVerdicts.get(name) ?? IANAZone.isValidZone(name)
  if (zoneVerdicts.size < 1000) zoneVerdicts.set(name, known)
  return known
}
const zoneVerdicts = new Map<string, boolean>()

/** A date in words, on the user's calendar: `10 November 2026`. Unusable locales and zones fall back as above. */
export const formatDate = (
  at: DateTime,
  { locale, timeZone }: { locale?: string | null | undefined; timeZone?: string | null | undefined },
): string => {
  const local = at.setZone(usableZone(timeZone))
  const text = local.toLocaleString(DateTime.DATE_FULL, { locale: dateLocale(locale) })
  // Unicode's data has no French ordinal: it writes `1 novembre` where French writes `1er novembre`.
  return usableLocale(locale) === 'fr' && local.day === 1 ? text.replace(/^1(?=\s)/, '1er') : text
}
