// What the API accepts and returns, as zod schemas: they check requests, and become the OpenAPI document.
import { DateTime } from 'luxon'
import { z } from 'zod'
import type { Consent } from '../../domain/model.ts'

/** Printable ASCII, as in RFC 6749 (appendix A): no NUL, which the database would refuse. */
export const visible = (maxLength: number) =>
  z
    .string()
    .min(1)
    .max(maxLength)
    // Also of an empty text, which breaks the first rule alone.
    .regex(/^[\x20-\x7e]*$/, 'must hold printable ASCII characters alone')

const text = (description: string) => z.string().describe(description)
const textOrNull = (description: string) => z.string().nullable().describe(description)
const whole = (description: string) => z.int().min(0).describe(description)
const yesOrNo = (description: string) => z.boolean().describe(description)
/** Instants in answers are UTC with milliseconds; they were made by us, so nothing checks them. */
const instant = (description: string) => z.string().meta({ format: 'date-time', description })
const instantOrNull = (description: string) => z.string().nullable().meta({ format: 'date-time', description })

/** Fields that are not shown as they are: the user's data, and what only the program needs. Any other is shown. */
type NotShown =
  | 'redirectUri'
  | 'scopes'
  | 'email'
  | 'phone'
  | 'name'
  | 'tokenVersion'
  | 'tokenIssuedAt'
  | 'candidate'
  | 'supersededById'
type SnakeCase<Name extends string> = Name extends `${infer First}${infer Rest}`
  ? `${First extends Uppercase<First> ? `_${Lowercase<First>}` : First}${SnakeCase<Rest>}`
  : ''
type Shown = SnakeCase<Exclude<keyof Consent, NotShown>>

/** The fields of a consent in the API's answers and in the JSON of the command line. */
export const consentProperties = {
  id: text('our id'),
  credentials_id: text("the provider's id of the connection"),
  user_id: text('your id of the user'),
  provider_id: text('the bank'),
  provider_name: textOrNull("the bank's name"),
  country: text('two letters'),
  status: text('active, paused, quarantined, lapsed, revoked, opted_out, superseded or unsupported'),
  phase: text('healthy, due, in-grace or lapsed'),
  cycle: whole('which cycle is running, from 1'),
  expires_at: instant('when the consent ends'),
  expires_source: text('where that date comes from: me (the provider), imported or assumed'),
  grace_ends_at: instant('until when it can still be renewed'),
  token_accepted_at: instantOrNull('when the provider last accepted the refresh token'),
  token_rejected_at: instantOrNull('since when the provider rejects every token of this connection: it waits for one'),
  has_candidate_token: yesOrNo(
    'whether an import brought another refresh token, which the provider has not judged yet',
  ),
  next_action_at: instantOrNull('when it is looked at next; null when closed'),
  next_action_reason: textOrNull('why then'),
  has_address: yesOrNo('whether the user has an e-mail address'),
  channels: z
    .array(z.string())
    .nullable()
    .describe('by which the user may be written to; none: never messaged; null: by all that the policy has'),
  locale: textOrNull('as it was imported'),
  time_zone: textOrNull('as it was imported'),
  failed_attempts: whole('failures in a row'),
  outages: whole('outages in a row'),
  last_error_code: textOrNull('the code of the last failure'),
  retry_after: instantOrNull('until when it backs off'),
  mismatches: whole('how often in a row the user approved another connection'),
  superseded_by: textOrNull('our id of the consent that took the place of this one'),
  created_at: instant('when it was created here'),
} satisfies Record<Shown, z.ZodType> & Record<string, z.ZodType>

const eventProperties = {
  seq: whole("the event's number in its consent, from 1, without a gap"),
  type: text('what happened, such as consent.renewed'),
  at: instant('when'),
  actor: text('who did it: system, user, operator or company'),
  reason: textOrNull('why'),
  data: z.looseObject({}).describe('more about it, by type'),
}

// Answers may get more fields in a later release: a client ignores those that it does not know.
export const eventAnswer = z
  .looseObject(eventProperties)
  .meta({ id: 'Event', description: 'what happened to a consent' })

/** What the history of a consent adds. */
export const historyProperties = {
  renewals: z.array(z.looseObject({})).describe('one for each cycle'),
  authorisations: z.array(z.looseObject({})).describe('attempts at the bank'),
  notifications: z.array(z.looseObject({})).describe('messages'),
  earlier_events: whole('how many events came before those that are shown; the list of its events has all'),
  events: z.array(eventAnswer).describe('what happened last, oldest first'),
}

export const consentSummary = z
  .looseObject(consentProperties)
  .meta({ id: 'Consent', description: 'a consent as it is now' })

export const consentAnswer = z
  .looseObject({ ...consentProperties, ...historyProperties })
  .meta({ id: 'ConsentWithHistory', description: 'a consent with its history' })

export const feedEventAnswer = z
  .looseObject({
    cursor: text("the event's place in the feed"),
    consent_id: text('our id of its consent'),
    credentials_id: text("the provider's id of the connection"),
    ...eventProperties,
  })
  .meta({ id: 'FeedEvent', description: 'an event of the feed' })

export const problemAnswer = z
  .looseObject({
    type: text('what kind of problem it is: stable, for programs'),
    title: text('the kind in words'),
    status: whole('the status of the answer'),
    detail: text('what is wrong here, for people'),
    errors: z
      .array(
        z.looseObject({
          pointer: text('where in the body: a JSON pointer as a URI fragment (RFC 6901)').optional(),
          parameter: text('which parameter of the path or the query').optional(),
          detail: text('which rule it breaks'),
        }),
      )
      .optional()
      .describe('every problem of the request'),
    consent_status: text('the status of the consent, where that is why').optional(),
  })
  .meta({ id: 'Problem', description: 'why a request was refused or failed (RFC 9457)' })

export const consentId = z.strictObject({ id: visible(200).describe('our id or the credentials_id') })

export const explanationAnswer = z
  .looseObject({
    consent: consentSummary,
    phase: text('healthy, due, in-grace or lapsed'),
    window_opens_at: instant('when the first message may go out'),
    expires_at: instant('when the consent ends'),
    grace_ends_at: instant('until when it can still be renewed'),
    rule: text('which keys of the policy apply to the bank'),
    routes: z.array(z.string()).describe('by which a link would be made now'),
    trail: z.array(z.looseObject({})).describe('every rule that was evaluated, in order'),
    next: z.looseObject({}).describe('what is next'),
    rungs: z.array(z.looseObject({})).describe('every message of the cycle'),
    attempts: z.array(z.looseObject({})).describe('codes whose outcome is not known yet'),
    suppressed: z.array(z.string()).describe('messages that were due and are not sent, and why'),
  })
  .meta({ id: 'Explanation', description: 'why a consent is as it is, and what is next' })

/** Anything that people write into an event, but no control characters. */
export const reasonText = z
  .string()
  .trim()
  .min(1, { abort: true })
  .max(500)
  .regex(/^[^\p{Cc}\p{Cs}]+$/u, 'must not hold control characters')

const instantOf = (value: string): DateTime | undefined => {
  const at = DateTime.fromISO(value, { zone: 'utc' })
  return at.year >= 2000 && at.year < 2200 ? at : undefined
}

const INSTANT = 'must be an instant such as 2026-12-31T09:00:00Z, with its offset, from the year 2000 on'

/** An optional instant of a query. */
export const instantParameter = (description: string) =>
  z.iso
    .datetime({ offset: true, error: INSTANT, abort: true })
    .transform((value, context): DateTime => {
      const at = instantOf(value)
      if (at !== undefined) return at
      context.addIssue(INSTANT)
      return z.NEVER
    })
    .optional()
    .describe(description)

const MAX_PAGE = 1000
const USUAL_PAGE = 100
export const pageLimit = z.int().min(1).max(MAX_PAGE).default(USUAL_PAGE).describe('at most so many')

export const nextCursor = (description: string) => z.string().nullable().describe(description)
