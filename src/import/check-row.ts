// Checks one row of an import and converts its values to their types. Reports every problem at once, each with its
// field and none with a value.
import { DateTime, IANAZone } from 'luxon'
import { z } from 'zod'
import { nearest } from '../config/suggest.ts'
import { knownLocale } from '../domain/locale.ts'
import { countryCode } from '../domain/rules.ts'
import { losesCodes } from '../http/served-address.ts'
import { Secret } from '../secret.ts'
import { mailboxProblem } from '../notify/email/mailbox.ts'
import type { ImportRow } from '../store/administration-port.ts'
import {
  brokenText,
  damageOf,
  damageOfToken,
  hiding,
  invisible,
  sheetError,
  unmarked,
  unreadable,
  unwrapped,
} from './damage.ts'
import { type FieldThatIs, importFieldNames } from './fields.ts'

export interface CheckedRow {
  /** Undefined when there are problems. */
  readonly row: ImportRow | undefined
  /** For example `refresh_token: is missing`. */
  readonly problems: readonly string[]
  /** What was left out, and why. The row is imported all the same. */
  readonly warnings: readonly string[]
  /** Names that are not fields of an import. They are ignored. */
  readonly unknown: readonly string[]
}

export interface RowRules {
  readonly now: DateTime
  /** Whether every redirect_uri must be https. */
  readonly httpsOnly: boolean
  /** PUBLIC_URL, if known: a redirect_uri on that host must lead to our callback. */
  readonly publicUrl?: string | undefined
}

/** No consent is valid for so many years: an expiry beyond that is a mistake. */
const MAX_YEARS_AHEAD = 10
const EARLIEST = DateTime.utc(2010)
const INSTANT = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(Z|[+-]\d{2}(?::?\d{2})?)?)?$/i
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]{1,100}$/

const textThat = (most: number, read: (value: string) => string, problemOf: (value: string) => string | undefined) =>
  z
    .string({ error: ({ input }) => (input === undefined ? 'is missing' : 'must be text') })
    .transform(read)
    .superRefine((value, context) => {
      const problem = value.length > most ? `is longer than ${most} characters` : problemOf(value)
      if (problem !== undefined) context.addIssue({ code: 'custom', message: problem, continue: false })
    })
/** Text that identifies a user, a connection or a bank. */
const identity = (most: number) => textThat(most, unmarked, damageOf)
/** Text whose format is checked afterwards. Text that a spreadsheet shows in place of a value is reported first. */
const formal = (most: number) =>
  textThat(
    most,
    (value) => unmarked(value).trim(),
    (value) => unreadable(value) ?? sheetError(value) ?? invisible(value),
  )
const plainText = (most: number) =>
  textThat(
    most,
    (value) => unmarked(value).trim(),
    (value) => brokenText(value) ?? invisible(value),
  )
/** Names from forms and spreadsheets may contain line breaks: that is no reason to leave them out. */
const nameText = (most: number) =>
  textThat(
    most,
    (value) =>
      unwrapped(value)
        .replaceAll(/\p{White_Space}+/gu, ' ')
        .trim(),
    (value) => brokenText(value) ?? hiding(value),
  )

const readInstant = (value: string): DateTime | string => {
  const match = INSTANT.exec(value)
  if (match === null) return 'is not a date: write 2026-11-23T09:00:00Z'
  if (value.length > 10 && match[1] === undefined) return 'has a time without an offset: add Z or +01:00'
  const nonexistent = 'is a date that does not exist'
  try {
    const read = DateTime.fromISO(value.replace(' ', 'T'), { zone: 'utc' })
    // luxon throws only if clock.ts has configured it to.
    return (read.isValid as boolean) ? read : nonexistent
  } catch {
    return nonexistent
  }
}

const instant = (latest: (now: DateTime) => DateTime, tooLate: string, now: DateTime) =>
  formal(40)
    .transform((value, context) => {
      const read = readInstant(value)
      const problem =
        typeof read === 'string' ? read : read < EARLIEST ? 'is before 2010' : read > latest(now) ? tooLate : undefined
      if (problem === undefined && typeof read !== 'string') return read
      context.addIssue(problem ?? 'is not a date')
      return z.NEVER
    })
    .optional()

/**
 * Each question to Intl costs microseconds and tens of kilobytes of native memory, and a million rows ask the same few.
 */
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

const redirectProblem = (value: string, { httpsOnly, publicUrl }: RowRules): string | undefined => {
  if (!URL.canParse(value)) return 'is not an address such as https://app.example.com/callback'
  const url = new URL(value)
  if (url.protocol !== 'https:' && (httpsOnly || url.protocol !== 'http:')) return 'must begin with https://'
  if (url.username !== '' || url.password !== '') return 'must not hold a user or password'
  if (value.includes('#')) return 'must not hold a #'
  if (publicUrl === undefined || !losesCodes(value, publicUrl)) return undefined
  const taken = '/callback alone, without a code, state or error of its own,'
  return `is on our own host (PUBLIC_URL), where ${taken} takes what the bank sends: every code would be lost`
}

const schemaFor = (rules: RowRules, { now } = rules) =>
  z.object({
    credentials_id: identity(200),
    refresh_token: textThat(8192, unmarked, damageOfToken),
    provider_id: identity(200),
    country: formal(10).transform(countryCode).refine(isCountry, { error: 'is not a country code such as GB' }),
    redirect_uri: formal(2000).superRefine((value, context) => {
      const problem = redirectProblem(value, rules)
      if (problem !== undefined) context.addIssue(problem)
    }),
    user_id: identity(200),
    expires_at: instant(
      (at) => at.plus({ years: MAX_YEARS_AHEAD }),
      `is more than ${MAX_YEARS_AHEAD} years ahead`,
      now,
    ),
    consented_at: instant((at) => at.plus({ days: 1 }), 'is in the future', now),
  } satisfies Record<FieldThatIs<'required' | 'date'>, z.ZodType>)

const scopeList = z
  .union(
    [
      z.array(z.string()).max(100),
      plainText(2000).transform((value) => value.split(/[\s,]+/).filter((scope) => scope !== '')),
    ],
    {
      error: ({ input }) =>
        typeof input === 'string' ? 'is no list of scopes' : 'must be a list of texts, or one text with spaces between',
    },
  )
  .refine((scopes) => scopes.every((scope) => SCOPE.test(scope)), { error: 'holds something that is no scope' })

/**
 * Each of these fields is checked on its own. An invalid value is left out with a warning, because it must not keep a
 * consent from being renewed.
 */
const optional = {
  provider_name: nameText(200),
  email: plainText(400).superRefine((value, context) => {
    const problem = mailboxProblem(value)
    if (problem !== undefined) context.addIssue(`is not a usable address (it ${problem})`)
  }),
  phone: plainText(50),
  name: nameText(200),
  locale: plainText(100).refine(isLocale, { error: 'is not one we have' }),
  time_zone: plainText(100).refine(isZone, { error: 'is not a known zone' }),
  scopes: scopeList,
  supersedes: identity(200),
} satisfies Record<FieldThatIs<'optional'>, z.ZodType>

/** What follows when a field was left out. A consent that already exists keeps its value. */
const without: Partial<Record<keyof typeof optional, string>> = {
  email: 'without one the consent has no channel',
  locale: 'without one messages are in English',
  time_zone: 'without one times are in UTC',
  supersedes: 'no other consent is closed',
}

/** Makes the check for one import. `now` is the same for all rows, so that a long import judges all its rows alike. */
export const makeRowCheck = (rules: RowRules): ((fields: Readonly<Record<string, unknown>>) => CheckedRow) => {
  const schema = schemaFor(rules)
  const known = new Set<string>(importFieldNames)

  return (fields) => {
    // An absent field, null and blank text are the same, because CSV has no other way to leave a value out.
    const said = Object.entries(fields).filter(
      ([, value]) => value !== null && value !== undefined && !(typeof value === 'string' && value.trim() === ''),
    )
    const unknown = said.map(([name]) => name).filter((name) => !known.has(name))
    const values = Object.fromEntries(said.filter(([name]) => known.has(name)))
    const whole = schema.safeParse(values)
    const surplus = whole.success ? undefined : surplusDateProblem(whole.error.issues, values)
    const parsed = surplus === undefined ? whole : schema.safeParse({ ...values, consented_at: undefined })
    const problems = parsed.success
      ? []
      : parsed.error.issues.map((issue) => problemOf(String(issue.path[0]), issue.message, unknown))
    const all = [...new Set([...problems, ...datesMissing(said)])]
    if (!parsed.success || all.length > 0) return { row: undefined, problems: all, warnings: [], unknown }
    const { row, warnings } = toRow(parsed.data, values)
    const ofDate = surplus === undefined ? [] : [`consented_at: ${surplus}, left out; expires_at is there`]
    return { row, warnings: [...ofDate, ...warnings], problems: [], unknown }
  }
}

/**
 * What is wrong with `consented_at` when `expires_at` is valid and therefore used. `consented_at` is then not needed,
 * and like any such field it must not cause the row to be refused.
 */
const surplusDateProblem = (
  issues: readonly z.core.$ZodIssue[],
  { expires_at }: Readonly<Record<string, unknown>>,
): string | undefined => {
  const isGood = expires_at !== undefined && !issues.some(({ path }) => path[0] === 'expires_at')
  return isGood ? issues.find(({ path }) => path[0] === 'consented_at')?.message : undefined
}

const problemOf = (field: string, what: string, unknown: readonly string[]): string => {
  const meant = what === 'is missing' ? nearest(field, unknown) : undefined
  return `${field}: ${what}${meant === undefined ? '' : ` (was it misspelt as ${meant}?)`}`
}

const datesMissing = (said: readonly (readonly [string, unknown])[]): string[] =>
  said.some(([name]) => name === 'expires_at' || name === 'consented_at')
    ? []
    : ['expires_at, consented_at: one of the two is needed']

type Optional = { readonly [Field in keyof typeof optional]: z.output<(typeof optional)[Field]> | undefined }

const toRow = (
  data: z.output<ReturnType<typeof schemaFor>>,
  values: Readonly<Record<string, unknown>>,
): { row: ImportRow; warnings: string[] } => {
  const warnings: string[] = []
  const leaveOut = (name: string, why: string): void => {
    const consequence = without[name as keyof typeof optional]
    warnings.push(`${name}: ${why}, left out${consequence === undefined ? '' : `; ${consequence}`}`)
  }
  const read = Object.fromEntries(
    Object.entries(optional).map(([name, schema]): [string, unknown] => {
      if (!Object.hasOwn(values, name)) return [name, undefined]
      const parsed = schema.safeParse(values[name])
      if (parsed.success) return [name, parsed.data]
      leaveOut(name, parsed.error.issues[0]?.message ?? 'cannot be read')
      return [name, undefined]
    }),
  ) as Optional
  const namesItself = read.supersedes === data.credentials_id
  if (namesItself) leaveOut('supersedes', 'names the row itself')
  const row = {
    credentialsId: data.credentials_id,
    refreshToken: new Secret(data.refresh_token),
    providerId: data.provider_id,
    country: data.country,
    redirectUri: data.redirect_uri,
    userId: data.user_id,
    expiresAt: data.expires_at,
    consentedAt: data.consented_at,
    providerName: read.provider_name,
    email: read.email,
    phone: read.phone,
    name: read.name,
    locale: read.locale,
    timeZone: read.time_zone,
    scopes: read.scopes,
    supersedes: namesItself ? undefined : read.supersedes,
  } satisfies ImportRow & Record<keyof ImportRow, unknown>
  return { row, warnings }
}
