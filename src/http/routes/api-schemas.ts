// What the API accepts and returns, as JSON Schema. The schemas check requests and become the OpenAPI document.
import type { Consent } from '../../domain/model.ts'
import { MAX_CODE_LENGTH, MAX_STATE_LENGTH } from '../callback-parameters.ts'

/** Printable ASCII, as in RFC 6749 (appendix A): no NUL, which the database would refuse. */
const visible = '^[\\x20-\\x7e]+$'

const text = (description: string) => ({ type: 'string', description })
const textOrNull = (description: string) => ({ type: ['string', 'null'], description })
const instant = (description: string) => ({ type: ['string', 'null'], format: 'date-time', description })

export const MAX_EVENTS = 1000
const USUAL_EVENTS = 100

export const failure = {
  type: 'object',
  required: ['error', 'error_description'],
  properties: { error: text('a stable code'), error_description: text('what is wrong, and where') },
} as const

const failed = (description: string) => ({ description, ...failure })

const unauthorized = failed('no API key, or not one of ours')
const tooMany = failed(
  'too many calls without a valid key from this address: wait as long as Retry-After says (too_many_requests)',
)
const unavailable = failed('the database is away: repeat the same request later (temporarily_unavailable)')

export const callbackSchema = {
  operationId: 'postCallback',
  summary: 'Pass on what the bank sent to your redirect_uri',
  description:
    'For redirect_uris of your own: pass on the state and exactly one of code and error, as they came. ' +
    'Committed before it is answered; safe to repeat. The answer names the connection and the user of the state.',
  body: {
    type: 'object',
    required: ['state'],
    properties: {
      state: { type: 'string', minLength: 1, maxLength: MAX_STATE_LENGTH, pattern: visible },
      code: { type: 'string', minLength: 1, maxLength: MAX_CODE_LENGTH, pattern: visible },
      error: { type: 'string', minLength: 1, maxLength: MAX_CODE_LENGTH, pattern: visible },
    },
  },
  response: {
    202: {
      description: 'taken (accepted), taken before (already), or of a consent that takes no code any more (closed)',
      type: 'object',
      required: ['result', 'credentials_id', 'user_id'],
      properties: {
        result: { type: 'string', enum: ['accepted', 'already', 'closed'] },
        credentials_id: text('the connection that the link was made for'),
        user_id: text('your id of its user'),
      },
    },
    400: failed('not a callback: invalid_request'),
    401: unauthorized,
    404: failed('a state that is not ours: unknown_state'),
    429: tooMany,
    503: failed('nothing was taken: repeat the same request (temporarily_unavailable)'),
  },
}

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
  cycle: { type: 'integer', description: 'which cycle is running, from 1' },
  expires_at: instant('when the consent ends'),
  expires_source: text('where that date comes from: me (the provider), imported or assumed'),
  grace_ends_at: instant('until when it can still be renewed'),
  token_accepted_at: instant('when the provider last accepted the refresh token'),
  token_rejected_at: instant('since when the provider rejects every token of this connection: it waits for one'),
  has_candidate_token: {
    type: 'boolean',
    description: 'whether an import brought another refresh token, which the provider has not judged yet',
  },
  next_action_at: instant('when it is looked at next; null when closed'),
  next_action_reason: textOrNull('why then'),
  has_address: { type: 'boolean', description: 'whether the user has an e-mail address' },
  locale: textOrNull('as it was imported'),
  time_zone: textOrNull('as it was imported'),
  failed_attempts: { type: 'integer', description: 'failures in a row' },
  outages: { type: 'integer', description: 'outages in a row' },
  last_error_code: textOrNull('the code of the last failure'),
  retry_after: instant('until when it backs off'),
  mismatches: { type: 'integer', description: 'how often in a row the user approved another connection' },
  superseded_by: textOrNull('our id of the consent that took the place of this one'),
  created_at: instant('when it was created here'),
} satisfies Record<Shown, object> & Record<string, object>

const list = { type: 'array', items: { type: 'object' } } as const
/** What the history of a consent adds. */
export const historyProperties = { renewals: list, authorisations: list, notifications: list, events: list } as const

export const consentSchema = {
  operationId: 'getConsent',
  summary: 'One consent with its renewals, messages and events',
  params: {
    type: 'object',
    required: ['id'],
    properties: {
      id: {
        type: 'string',
        minLength: 1,
        maxLength: 200,
        pattern: visible,
        description: 'our id or the credentials_id',
      },
    },
  },
  response: {
    200: {
      description: 'the consent',
      type: 'object',
      properties: { ...consentProperties, ...historyProperties },
    },
    401: unauthorized,
    404: failed('no such consent: not_found'),
    429: tooMany,
    503: unavailable,
  },
}

export const eventsSchema = {
  operationId: 'listEvents',
  summary: 'What happened, oldest first',
  description:
    'Start without `after`, then pass the `next_cursor` of the last page. ' +
    'An empty page means nothing new: ask again later with the same cursor. ' +
    'Each event has its place about a second after it happened at the latest; those of one consent are in the ' +
    'order of their `seq`. ' +
    'A cursor stands for everything before it: after a restore from a backup, one that the database no longer ' +
    'knows is refused with 409.',
  querystring: {
    type: 'object',
    properties: {
      after: {
        type: 'string',
        minLength: 1,
        maxLength: 200,
        pattern: visible,
        description: 'the next_cursor of an earlier page',
      },
      limit: { type: 'integer', minimum: 1, maximum: MAX_EVENTS, default: USUAL_EVENTS },
    },
  },
  response: {
    200: {
      description: 'a page of events',
      type: 'object',
      required: ['events', 'next_cursor'],
      properties: {
        events: { type: 'array', items: { type: 'object' } },
        next_cursor: { type: ['string', 'null'], description: 'null while nothing has happened yet' },
      },
    },
    400: failed('a cursor or limit that is none: invalid_request'),
    401: unauthorized,
    409: failed('a cursor that the database does not know, after a restore or a failover: cursor_unknown'),
    429: tooMany,
    503: unavailable,
  },
}

export const openapi = {
  openapi: '3.1.0',
  info: {
    title: 'Reconsent',
    version: '1',
    description:
      'For the company whose consents these are. Every call needs an API key: `Authorization: Bearer <key>`.',
  },
  components: { securitySchemes: { apiKey: { type: 'http', scheme: 'bearer' } } },
  security: [{ apiKey: [] }],
} as const
