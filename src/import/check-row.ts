// Checks one row of an import and converts its values to their types. Reports every problem at once, each with its
// field and none with a value. Rows that come by the API are checked by the same readers: check-body.ts.
import { DateTime, IANAZone } from 'luxon'
import { nearest } from '../config/suggest.ts'
import { type ChannelName, channelNames, channelsNamed } from '../domain/channels.ts'
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
import { type FieldThatIs, type ImportField, importFieldNames, importFields } from './fields.ts'

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
const IN_UTC = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?Z$/
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]{1,100}$/

/** What a field's value is, or what is wrong with it. */
export type Read<Value> = { readonly value: Value; readonly problem?: undefined } | { readonly problem: string }
/** Reads one field; undefined stands for a field that the row does not have. */
export type Field<Value> = (given: unknown) => Read<Value>

const readOr = <Value>(value: Value, problem: string | undefined): Read<Value> =>
  problem === undefined ? { value } : { problem }

/** The most characters of a text, or entries of a list. */
export const mostOf = (field: ImportField): number => importFields[field].most

const textThat =
  (most: number, read: (value: string) => string, problemOf: (value: string) => string | undefined): Field<string> =>
  (given) => {
    if (typeof given !== 'string') return { problem: given === undefined ? 'is missing' : 'must be text' }
    const value = read(given)
    return readOr(value, value.length > most ? `is longer than ${most} characters` : problemOf(value))
  }
/** The field, with a further step for a value in which nothing is wrong so far. */
const further =
  <From, To>(field: Field<From>, step: (value: From) => Read<To>): Field<To> =>
  (given) => {
    const read = field(given)
    return read.problem === undefined ? step(read.value) : read
  }
const checked = (field: Field<string>, problemOf: (value: string) => string | undefined): Field<string> =>
  further(field, (value) => readOr(value, problemOf(value)))
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

/** Luxon takes several times as long for the same, and nearly every row has an instant like this. */
const readUtc = (value: string): DateTime | undefined => {
  if (!IN_UTC.test(value)) return undefined
  const at = new Date(value)
  // JavaScript takes 30 February for 2 March.
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(value.slice(0, 19))
    ? DateTime.fromMillis(at.getTime(), { zone: 'utc' })
    : undefined
}

const readInstant = (value: string): DateTime | string => {
  const utc = readUtc(value)
  if (utc !== undefined) return utc
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

const instant = (latest: DateTime, tooLate: string): Field<DateTime> =>
  further(formal(mostOf('expires_at')), (value) => {
    const read = readInstant(value)
    if (typeof read === 'string') return { problem: read }
    return readOr(read, read < EARLIEST ? 'is before 2010' : read > latest ? tooLate : undefined)
  })

/**
 * Each question to Intl costs microseconds and tens of kilobytes of native memory, and a million rows ask the same few.
 */
const remembered = <Verdict>(judge: (value: string) => Verdict): ((value: string) => Verdict) => {
  const verdicts = new Map<string, { readonly verdict: Verdict }>()
  return (value) => {
    const known = verdicts.get(value)
    if (known !== undefined) return known.verdict
    const verdict = judge(value)
    if (verdicts.size < 1000) verdicts.set(value, { verdict })
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

/** A file, which has nothing but texts, says `none`: an empty cell says nothing. */
export const channelList: Field<readonly ChannelName[]> = (given) => {
  const names = typeof given === 'string' ? given.split(/[\s,]+/).filter((name) => name !== '') : given
  if (!isListOfTexts(names)) return { problem: 'must be a list of channels' }
  if (typeof given === 'string' && names.length === 1 && names[0] === 'none') return { value: [] }
  const known = channelsNamed(names)
  return known === undefined
    ? { problem: `names a channel that there is not; there is ${channelNames().join(', ')}` }
    : { value: known }
}

/**
 * Every field that a row must have; of the two dates, a row may have either. And the fields that must be right if a row
 * has them: somebody who is never to be messaged must not be, because of a slip.
 */
export const neededFor = (rules: RowRules) =>
  ({
    credentials_id: identity(mostOf('credentials_id')),
    refresh_token: textThat(mostOf('refresh_token'), unmarked, damageOfToken),
    provider_id: identity(mostOf('provider_id')),
    country: further(formal(mostOf('country')), (value) => {
      const code = countryCode(value)
      return readOr(code, isCountry(code) ? undefined : 'is not a country code such as GB')
    }),
    redirect_uri: checked(
      formal(mostOf('redirect_uri')),
      remembered((value) => redirectProblem(value, rules)),
    ),
    user_id: identity(mostOf('user_id')),
    expires_at: instant(rules.now.plus({ years: MAX_YEARS_AHEAD }), `is more than ${MAX_YEARS_AHEAD} years ahead`),
    consented_at: instant(rules.now.plus({ days: 1 }), 'is in the future'),
    channels: channelList,
  }) satisfies Record<FieldThatIs<'required' | 'date' | 'exact'>, Field<unknown>>

export type Needed = ReturnType<typeof neededFor>

const scopesText = plainText(2000)
const scopeList: Field<readonly string[]> = (given) => {
  if (isListOfTexts(given)) return scopesIn(given)
  if (typeof given !== 'string') return { problem: 'must be a list of texts, or one text with spaces between' }
  const text = scopesText(given)
  if (text.problem !== undefined) return { problem: 'is no list of scopes' }
  return scopesIn(text.value.split(/[\s,]+/).filter((scope) => scope !== ''))
}
const scopesIn = (scopes: readonly string[]): Read<readonly string[]> =>
  readOr(scopes, scopes.every((scope) => SCOPE.test(scope)) ? undefined : 'holds something that is no scope')
export const isListOfTexts = (given: unknown): given is string[] =>
  Array.isArray(given) && given.length <= mostOf('scopes') && given.every((element) => typeof element === 'string')

/**
 * Each of these fields is checked on its own. An invalid value is left out with a warning, because it must not keep a
 * consent from being renewed.
 */
export const optionalFor = (now: DateTime) =>
  ({
    provider_name: nameText(mostOf('provider_name')),
    email: checked(plainText(mostOf('email')), (value) => {
      const problem = mailboxProblem(value)
      return problem === undefined ? undefined : `is not a usable address (it ${problem})`
    }),
    phone: plainText(mostOf('phone')),
    name: nameText(mostOf('name')),
    locale: checked(plainText(mostOf('locale')), (value) => (isLocale(value) ? undefined : 'is not one we have')),
    time_zone: checked(plainText(mostOf('time_zone')), (value) => (isZone(value) ? undefined : 'is not a known zone')),
    scopes: scopeList,
    supersedes: identity(mostOf('supersedes')),
    token_issued_at: instant(now, 'is in the future'),
  }) satisfies Record<FieldThatIs<'optional'>, Field<unknown>>

export type Optionals = ReturnType<typeof optionalFor>
/** The values of these fields, as far as the row has them and nothing is wrong with them. */
export type ValuesOf<Fields extends Readonly<Record<string, Field<unknown>>>> = {
  [Name in keyof Fields]?: Fields[Name] extends Field<infer Value> ? Value : never
}

/** What follows when a field was left out. A consent that already exists keeps its value. */
const without: Partial<Record<keyof Optionals, string>> = {
  email: 'without one the consent has no channel',
  locale: 'without one messages are in English',
  time_zone: 'without one times are in UTC',
  supersedes: 'no other consent is closed',
  token_issued_at: 'the order in which tokens arrive counts',
}

/** Makes the check for one import. `now` is the same for all rows, so that a long import judges all its rows alike. */
export const makeRowCheck = (rules: RowRules): ((fields: Readonly<Record<string, unknown>>) => CheckedRow) => {
  const needed = neededFor(rules)
  const optional = optionalFor(rules.now)
  const known = new Set<string>(importFieldNames)

  return (fields) => {
    const values: Record<string, unknown> = {}
    const unknown: string[] = []
    for (const name of Object.keys(fields)) {
      if (isAbsent(fields[name])) continue
      if (known.has(name)) values[name] = fields[name]
      else unknown.push(name)
    }
    const { read, problems: found } = readNeeded(needed, values)
    const surplus = surplusDateProblem(found, values)
    if (surplus !== undefined) found.delete('consented_at')
    const problems = [...found].map(([name, what]) => problemOf(name, what, unknown))
    if (values['expires_at'] === undefined && values['consented_at'] === undefined)
      problems.push('expires_at, consented_at: one of the two is needed')
    if (problems.length > 0) return { row: undefined, problems, warnings: [], unknown }
    const warnings = surplus === undefined ? [] : [`consented_at: ${surplus}, left out; expires_at is there`]
    return { row: toRow(read as NeededValues, values, optional, warnings), warnings, problems: [], unknown }
  }
}

/** An absent field, null and blank text are the same, because CSV has no other way to leave a value out. */
const isAbsent = (value: unknown): boolean =>
  value === null || value === undefined || (typeof value === 'string' && value.trim() === '')

const readNeeded = (
  needed: Needed,
  values: Readonly<Record<string, unknown>>,
): { readonly read: ValuesOf<Needed>; readonly problems: Map<string, string> } => {
  const read: Record<string, unknown> = {}
  const problems = new Map<string, string>()
  for (const name of Object.keys(needed) as (keyof Needed)[]) {
    const given = values[name]
    if (given === undefined && importFields[name].need !== 'required') continue
    const { problem, value } = needed[name](given) as { problem?: string; value?: unknown }
    if (problem === undefined) read[name] = value
    else problems.set(name, problem)
  }
  return { read, problems }
}

/**
 * What is wrong with `consented_at` when `expires_at` is valid and therefore used. `consented_at` is then not needed,
 * and like any such field it must not cause the row to be refused.
 */
const surplusDateProblem = (
  problems: ReadonlyMap<string, string>,
  { expires_at }: Readonly<Record<string, unknown>>,
): string | undefined =>
  expires_at !== undefined && !problems.has('expires_at') ? problems.get('consented_at') : undefined

const problemOf = (field: string, what: string, unknown: readonly string[]): string => {
  const meant = what === 'is missing' ? nearest(field, unknown) : undefined
  return `${field}: ${what}${meant === undefined ? '' : ` (was it misspelt as ${meant}?)`}`
}

/** What a row has in which nothing is wrong: all but one of the dates. */
export type NeededValues = ValuesOf<Needed> & Required<Pick<ValuesOf<Needed>, FieldThatIs<'required'>>>

const toRow = (
  data: NeededValues,
  values: Readonly<Record<string, unknown>>,
  optional: Optionals,
  warnings: string[],
): ImportRow => {
  const leaveOut = (name: keyof Optionals, why: string): void => {
    const consequence = without[name]
    warnings.push(`${name}: ${why}, left out${consequence === undefined ? '' : `; ${consequence}`}`)
  }
  const kept: Record<string, unknown> = {}
  for (const name of Object.keys(optional) as (keyof Optionals)[]) {
    if (values[name] === undefined) continue
    const { problem, value } = optional[name](values[name]) as { problem?: string; value?: unknown }
    if (problem === undefined) kept[name] = value
    else leaveOut(name, problem)
  }
  const read = kept as ValuesOf<Optionals>
  const { supersedes, ...others } = read
  if (supersedes !== data.credentials_id) return rowOf(data, read)
  leaveOut('supersedes', NAMES_ITSELF)
  return rowOf(data, others)
}

export const NAMES_ITSELF = 'names the row itself'

/** The row of values in which nothing is wrong. */
export const rowOf = (data: NeededValues, read: ValuesOf<Optionals>): ImportRow =>
  ({
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
    channels: data.channels,
    scopes: read.scopes,
    supersedes: read.supersedes,
    tokenIssuedAt: read.token_issued_at,
  }) satisfies ImportRow & Record<keyof ImportRow, unknown>
