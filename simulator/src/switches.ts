// Every detail of TrueLayer's behaviour that is not documented (the "?" of its protocol notes), as a named setting with
// a default.
import { DateTime } from 'luxon'
import { z } from 'zod'
import { BadInput, readInput } from './bad-input.ts'
import { readInstant } from './clock.ts'

const aSwitch = <S extends z.ZodType>(schema: S, initial: z.output<S>, help: string) => ({ schema, initial, help })
const seconds = z.int().min(0).max(31_536_000)
const days = z.int().min(0).max(3_650)
// RFC 6749 4.1.2.1 allows only these characters in an error code.
const oauthError = z
  .string()
  .regex(/^[\x20-\x21\x23-\x5b\x5d-\x7e]{1,100}$/, 'expected printable ASCII without quotes and backslashes')
const instantOrNull = z
  .string()
  .refine((text) => readInstant(text) !== undefined, 'expected an ISO 8601 instant with an offset, or null')
  .nullable()

const table = {
  unknown_token: aSwitch(
    z.enum(['unauthorized', 'invalid_grant']),
    'unauthorized',
    '/v1/reauthuri with an unknown, revoked, idle or past-grace refresh token: 401 unauthorized, or 400 invalid_grant',
  ),
  non_uk: aSwitch(
    z.literal([401, 400]),
    401,
    '/v1/reauthuri for a bank outside the UK: 401 unauthorized, or 400 invalid_request',
  ),
  redirect_mismatch: aSwitch(
    z.enum(['strict', 'lenient']),
    'strict',
    '/v1/reauthuri with a registered redirect_uri that is not the original one: 401, or a link all the same',
  ),
  link_success: aSwitch(z.boolean(), true, 'the `success` field of a /v1/reauthuri answer; with false no link is made'),
  link_result: aSwitch(
    z.enum(['bank', 'not-https', 'not-a-url', 'missing']),
    'bank',
    'the `result` of a /v1/reauthuri answer: the bank page, an http address elsewhere, no URL at all, or no such field',
  ),
  link_life_seconds: aSwitch(seconds, 600, 'how long a link opens, and how long an opened page takes a decision'),
  link_use: aSwitch(
    z.enum(['opening', 'decision', 'unlimited']),
    'opening',
    'what uses a link up: opening it once, deciding once, or nothing within its life',
  ),
  code_life_seconds: aSwitch(seconds, 300, 'how long a code can be exchanged'),
  code_reuse: aSwitch(
    z.enum(['revoke', 'refuse']),
    'revoke',
    'a second use of a code: revokes the tokens of the first, or is only refused',
  ),
  validity_days: aSwitch(days, 90, 'life of a consent from authentication'),
  grace_days: aSwitch(days, 90, 'how long after expiry /v1/reauthuri still works'),
  renews_at: aSwitch(
    z.enum(['exchange', 'approval']),
    'exchange',
    'whether the consent is renewed by the exchange of the code or already by the approval',
  ),
  created_at: aSwitch(z.enum(['kept', 'moved']), 'kept', 'whether a renewal also moves consent_created_at'),
  rotate_refresh_tokens: aSwitch(
    z.enum(['never', 'on-reauth', 'on-refresh', 'always']),
    'never',
    'when the refresh token is replaced; the old one is dead at once',
  ),
  replaced_token: aSwitch(
    z.enum(['refused', 'accepted']),
    'refused',
    '/v1/reauthuri with a refresh token that a rotation has replaced: refused as unknown, or a link all the same',
  ),
  return_refresh_token: aSwitch(z.boolean(), true, 'whether /connect/token answers carry the refresh token'),
  return_scope: aSwitch(z.boolean(), true, 'whether /connect/token answers carry the scope'),
  idle_token_days: aSwitch(
    days.min(1).nullable(),
    null,
    'a refresh token unused for this many days is dead; null: never',
  ),
  unknown_refresh: aSwitch(
    z.enum(['invalid_grant', 'invalid_client']),
    'invalid_grant',
    'refresh with a token the simulator does not know: invalid_grant, or invalid_client as has been measured',
  ),
  invalid_client_until: aSwitch(
    instantOrNull,
    null,
    'until this instant (simulator clock) /connect/token answers invalid_client to everyone, as after a secret ' +
      'rotation; null: off',
  ),
  access_token: aSwitch(z.enum(['jwt', 'jwt-without-sub', 'opaque']), 'jwt', 'what an access token is'),
  access_token_life_seconds: aSwitch(seconds.min(1), 3600, 'expires_in of access tokens'),
  me_dates: aSwitch(
    z.enum(['all', 'no-expiry', 'none']),
    'all',
    'the dates in /data/v1/me: all, all but consent_expires_at, or none',
  ),
  me_lag_seconds: aSwitch(seconds, 0, 'for this long after a renewal /data/v1/me still shows the dates from before'),
  somebody_else: aSwitch(
    z.enum(['same-provider', 'other-provider']),
    'same-provider',
    'whose account is approved by "approve as somebody else"',
  ),
  deny_error: aSwitch(oauthError, 'access_denied', 'the error of the callback when the user denies'),
  bank_error: aSwitch(oauthError, 'server_error', 'the error of the callback when the bank fails'),
  error_description: aSwitch(z.boolean(), true, 'whether error callbacks carry an error_description'),
} as const

export type SwitchName = keyof typeof table
export type SwitchValues = { [Name in SwitchName]: z.output<(typeof table)[Name]['schema']> }

/** The switches that a single connection may set for itself. */
export const ownSwitchNames = ['rotate_refresh_tokens', 'me_lag_seconds'] as const satisfies readonly SwitchName[]
export type OwnSwitchName = (typeof ownSwitchNames)[number]
/** What a connection has set for itself; the value for all applies to the rest. */
export type OwnSwitches = Readonly<Partial<Pick<SwitchValues, OwnSwitchName>>>
/** Null gives a switch up: the value for all applies again. */
export type OwnSwitchChanges = { readonly [Name in OwnSwitchName]?: SwitchValues[Name] | null | undefined }

export interface Switches {
  get<Name extends SwitchName>(name: Name): SwitchValues[Name]
  /** The value for one connection: what it has set for itself, or else the value for all. */
  getFor<Name extends OwnSwitchName>(name: Name, own: OwnSwitches): SwitchValues[Name]
  all(): Readonly<SwitchValues>
  /** Changes the named switches, all or none of them. Throws BadInput on an unknown name or a wrong value. */
  set(changes: Partial<SwitchValues>): void
  /** Restores the values with which the simulator started; what connections have set for themselves stays. */
  reset(): void
  /** Whether `invalid_client_until` is after `now`. */
  isClientRejectedAt(now: DateTime): boolean
}

export const switchNames = Object.keys(table) as readonly SwitchName[]
export const switchHelp = (name: SwitchName): string => table[name].help

const defaults = Object.fromEntries(Object.entries(table).map(([name, { initial }]) => [name, initial])) as SwitchValues
const schema = z.strictObject(
  Object.fromEntries(Object.entries(table).map(([name, entry]) => [name, entry.schema.optional()])),
)

const ownSchema = z.strictObject(
  Object.fromEntries(ownSwitchNames.map((name) => [name, table[name].schema.nullable().optional()])),
)

/** A connection's own switches after these changes. Throws BadInput on an unknown name or a wrong value. */
export const changeOwn = (own: OwnSwitches, changes: unknown): OwnSwitches => {
  if (changes === null || typeof changes !== 'object' || Array.isArray(changes)) {
    throw new BadInput(['switches: expected an object of switches'], ownSwitchNames)
  }
  const read = readInput(ownSchema, changes, 'switch of a connection')
  const given = Object.entries(read).filter(([, value]) => value !== undefined)
  return Object.fromEntries(
    Object.entries({ ...own, ...Object.fromEntries(given) }).filter(([, value]) => value !== null),
  )
}

const readChanges = (input: unknown): Partial<SwitchValues> => {
  if (input === null || typeof input !== 'object' || Array.isArray(input)) {
    throw new BadInput(['body: expected an object of switches'], switchNames)
  }
  // JSON cannot contain undefined, but a TypeScript caller may pass it: such a switch must keep its value.
  return Object.fromEntries(
    Object.entries(readInput(schema, input, 'switch')).filter(([, value]) => value !== undefined),
  )
}

/** Throws BadInput when `initial` has an unknown switch or a wrong value. */
export const makeSwitches = (initial: Partial<SwitchValues> = {}): Switches => {
  const start: SwitchValues = { ...defaults, ...readChanges(initial) }
  let values = start
  return {
    get: (name) => values[name],
    getFor: (name, own) => own[name] ?? values[name],
    all: () => values,
    set: (changes) => {
      values = { ...values, ...readChanges(changes) }
    },
    reset: () => {
      values = start
    },
    isClientRejectedAt: (now) =>
      values.invalid_client_until !== null && now < DateTime.fromISO(values.invalid_client_until),
  }
}
