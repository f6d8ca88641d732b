// Checks one row of an import and gives it its types: every problem at once, each with its field, none with a value.
import { DateTime, IANAZone } from 'luxon'
import { z } from 'zod'
import { nearest } from '../config/suggest.ts'
import { knownLocale } from '../domain/locale.ts'
import { countryCode } from '../domain/rules.ts'
import { Secret } from '../secret.ts'
import { mailboxProblem } from '../notify/mailbox.ts'
import type { ImportRow } from '../store/administration-port.ts'
import { importFieldNames } from './fields.ts'

export interface CheckedRow {
  /** Undefined when there are problems. */
  readonly row: ImportRow | undefined
  /** `refresh_token: is missing` */
  readonly problems: readonly string[]
  /** What was left out, and why. The row is good all the same. */
  readonly warnings: readonly string[]
  /** Names that are no fields of an import: they are ignored. */
  readonly unknown: readonly string[]
}

export interface RowRules {
  readonly now: DateTime
  /** Whether every redirect_uri must be https. */
  readonly httpsOnly: boolean
}

/** Years from now that no consent reaches: an expiry beyond is a mistake. */
const FURTHEST_YEARS = 10
const EARLIEST = DateTime.utc(2010)
const INSTANT = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(Z|[+-]\d{2}(?::?\d{2})?)?)?$/i
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]{1,100}$/

const usable = (value: string): boolean => value.isWellFormed() && !/\p{Cc}/u.test(value)
const text = (most: number) =>
  z
    .string({ error: ({ input }) => (input === undefined ? 'is missing' : 'must be text') })
    .trim()
    .max(most, { error: `is longer than ${most} characters` })
    // Before the check for control characters: that is what bytes of another encoding come out as.
    .refine((value) => !value.includes('\uFFFD'), { error: 'is not UTF-8 text', abort: true })
    .refine(usable, { error: 'holds control characters' })
const optional = (most: number) => text(most).optional()
/** Names come with line breaks out of forms and spreadsheets: no reason to refuse a consent. */
const oneLine = (most: number) => z.preprocess((value) => (typeof value === 'string' ? value.replaceAll(/\s+/g, ' ') : value), optional(most))

const readInstant = (value: string): DateTime | string => {
  const match = INSTANT.exec(value)
  if (match === null) return 'is not a date: write 2026-11-23T09:00:00Z'
  if (value.length > 10 && match[1] === undefined) return 'has a time without an offset: add Z or +01:00'
  const nonexistent = 'is a date that does not exist'
  try {
    const read = DateTime.fromISO(value.replace(' ', 'T'), { zone: 'utc' })
    // luxon throws only where clock.ts has told it to.
    return (read.isValid as boolean) ? read : nonexistent
  } catch {
    return nonexistent
  }
}

const instant = (latest: (now: DateTime) => DateTime, tooLate: string, now: DateTime) =>
  text(40)
    .transform((value, context) => {
      const read = readInstant(value)
      const problem = typeof read === 'string' ? read : read < EARLIEST ? 'is before 2010' : read > latest(now) ? tooLate : undefined
      if (problem === undefined && typeof read !== 'string') return read
      context.addIssue(problem ?? 'is not a date')
      return z.NEVER
    })
    .optional()

/** What Intl is asked costs microseconds and, natively, tens of kilobytes a question; a million rows ask the same few. */
const remembered = (judge: (value: string) => boolean): ((value: string) => boolean) => {
  const verdicts = new Map<string, boolean>()
  return (value) => {
    const verdict = verdicts.get(value) ?? judge(value)
    if (verdicts.size < 1000) verdicts.set(value, verdict)
    return verdict
  }
}
const regions = new Intl.DisplayNames(['en'], { type: 'region', fallback: 'none' })
const isCountry = remembered((code) => /^[A-Z]{2}$/.test(code) && regions.of(code) !== undefined)
const isLocale = remembered((tag) => knownLocale(tag) !== undefined)
const isZone = remembered((name) => IANAZone.isValidZone(name))

const redirectProblem = (value: string, httpsOnly: boolean): string | undefined => {
  if (!URL.canParse(value)) return 'is not an address such as https://app.example.com/callback'
  const url = new URL(value)
  if (url.protocol !== 'https:' && (httpsOnly || url.protocol !== 'http:')) return 'must begin with https://'
  if (url.username !== '' || url.password !== '') return 'must not hold a user or password'
  return value.includes('#') ? 'must not hold a #' : undefined
}

const schemaFor = ({ now, httpsOnly }: RowRules) =>
  z.object({
    credentials_id: text(200),
    refresh_token: text(8192),
    provider_id: text(200),
    country: text(10)
      .transform(countryCode)
      .refine(isCountry, { error: 'is not a country code such as GB' }),
    redirect_uri: text(2000).superRefine((value, context) => {
      const problem = redirectProblem(value, httpsOnly)
      if (problem !== undefined) context.addIssue(problem)
    }),
    user_id: text(200),
    expires_at: instant((at) => at.plus({ years: FURTHEST_YEARS }), `is more than ${FURTHEST_YEARS} years ahead`, now),
    consented_at: instant((at) => at.plus({ days: 1 }), 'is in the future', now),
    provider_name: oneLine(200),
    email: optional(400),
    phone: optional(50),
    name: oneLine(200),
    locale: optional(100),
    time_zone: optional(100),
    scopes: z
      .union([z.array(z.string()).max(100), optional(2000).transform((value) => value?.split(/[\s,]+/).filter((scope) => scope !== ''))], {
        error: 'must be a list of texts, or one text with spaces between',
      })
      .refine((scopes) => scopes === undefined || scopes.every((scope) => SCOPE.test(scope)), { error: 'holds something that is no scope' })
      .optional(),
  })

/** Makes the check of one import; `now` is taken once, so that a long import judges all its rows alike. */
export const makeRowCheck = (rules: RowRules): ((fields: Readonly<Record<string, unknown>>) => CheckedRow) => {
  const schema = schemaFor(rules)
  const known = new Set<string>(importFieldNames)

  return (fields) => {
    // Nothing, null and blank are the same: CSV has no other way to leave a value out.
    const said = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && !(typeof value === 'string' && value.trim() === ''))
    const unknown = said.map(([name]) => name).filter((name) => !known.has(name))
    const parsed = schema.safeParse(Object.fromEntries(said.filter(([name]) => known.has(name))))
    if (!parsed.success) {
      const problems = parsed.error.issues.map((issue) => problemOf(String(issue.path[0]), issue.message, unknown))
      return { row: undefined, problems: [...new Set([...problems, ...datesMissing(said)])], warnings: [], unknown }
    }
    const missing = datesMissing(said)
    if (missing.length > 0) return { row: undefined, problems: missing, warnings: [], unknown }
    return { ...toRow(parsed.data), problems: [], unknown }
  }
}

const problemOf = (field: string, what: string, unknown: readonly string[]): string => {
  const meant = what === 'is missing' ? nearest(field, unknown) : undefined
  return `${field}: ${what}${meant === undefined ? '' : ` (did you mean it by ${meant}?)`}`
}

const datesMissing = (said: readonly (readonly [string, unknown])[]): string[] =>
  said.some(([name]) => name === 'expires_at' || name === 'consented_at') ? [] : ['expires_at, consented_at: one of the two is needed']

/** What is unusable but not needed is left out with a warning: it must not keep a consent from being renewed. */
const toRow = (data: z.output<ReturnType<typeof schemaFor>>): Pick<CheckedRow, 'row' | 'warnings'> => {
  const warnings: string[] = []
  const unless = (isUsable: (value: string) => boolean, value: string | undefined, warning: string): string | undefined => {
    if (value === undefined || isUsable(value)) return value
    warnings.push(warning)
    return undefined
  }
  const row: ImportRow = {
    credentialsId: data.credentials_id,
    refreshToken: new Secret(data.refresh_token),
    providerId: data.provider_id,
    country: data.country,
    redirectUri: data.redirect_uri,
    userId: data.user_id,
    expiresAt: data.expires_at,
    consentedAt: data.consented_at,
    providerName: data.provider_name,
    email: usableEmail(data.email, warnings),
    phone: data.phone,
    name: data.name,
    locale: unless(isLocale, data.locale, 'locale: is not one we have, left out; messages are in English'),
    timeZone: unless(isZone, data.time_zone, 'time_zone: is not a known zone, left out; times are in UTC'),
    scopes: data.scopes,
  }
  return { row, warnings }
}

const usableEmail = (email: string | undefined, warnings: string[]): string | undefined => {
  const problem = email === undefined ? undefined : mailboxProblem(email)
  if (problem === undefined) return email
  warnings.push(`email: is not a usable address (it ${problem}), left out; without one the consent has no channel`)
  return undefined
}
