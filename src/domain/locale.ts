// Which of our languages, which date format and which time zone a user gets. Owns the fallbacks; wording lives with
// pages and mails.
import { DateTime, IANAZone } from 'luxon'

/** The languages everything users read is written in. The first is the fallback. */
export const locales = ['en', 'fr', 'de', 'es', 'it', 'pl'] as const

export type Locale = (typeof locales)[number]

const isLocale = (language: string): language is Locale => (locales as readonly string[]).includes(language)

/** A language tag taken apart, or undefined when it is none. `fr_CA`, as databases write it, counts as `fr-CA`. */
const parseTag = (input: string | null | undefined): Intl.Locale | undefined => {
  try {
    return input ? new Intl.Locale(input.trim().replaceAll('_', '-')) : undefined
  } catch {
    return undefined
  }
}

/**
 * The language we have for a tag: `fr-CA` → `fr`. Undefined when we have none for it, so that a caller can try another
 * tag.
 */
export const knownLocale = (input: string | null | undefined): Locale | undefined => {
  const language = parseTag(input)?.language
  return language !== undefined && isLocale(language) ? language : undefined
}

/** The language to use for whatever was imported: `fr-CA` → `fr`, anything unknown, empty or malformed → `en`. */
export const usableLocale = (input: string | null | undefined): Locale => knownLocale(input) ?? locales[0]

/**
 * The tag dates are formatted by. The region is kept where we write the language (`en-US` puts the month first); plain
 * `en` means `en-GB`, because most consents are British. Calendars and numerals a tag may ask for (`-u-…`) are dropped:
 * the sentence around the date does not have them.
 */
export const dateLocale = (input: string | null | undefined): string => {
  const tag = parseTag(input)
  if (tag === undefined || !isLocale(tag.language)) return 'en-GB'
  if (tag.region !== undefined) return `${tag.language}-${tag.region}`
  return tag.language === 'en' ? 'en-GB' : tag.language
}

/** The IANA zone to use for whatever was imported; anything unknown, empty or malformed is UTC. */
export const usableZone = (input: string | null | undefined): string => {
  const zone = input?.trim()
  return zone && isZone(zone) ? zone : 'UTC'
}

/**
 * Intl takes a hundred microseconds and much native memory to say so; an import or a sweep asks very often about very
 * few.
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
