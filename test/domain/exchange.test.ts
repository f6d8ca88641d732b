// Every step of an exchange, from what is stored about an attempt, what was just heard, and the time: at the second
// before, at and after each boundary. The code comes ten days before the expiry.
import type { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import { nextExchangeStep } from '../../src/domain/exchange.ts'
import type { ExchangeStep, Heard, RefreshBy, Tried } from '../../src/domain/exchange-step.ts'
import type { Authorisation, Consent, Renewal } from '../../src/domain/model.ts'
import type { Policy } from '../../src/domain/policy.ts'
import type { MeSeen } from '../../src/domain/reading.ts'
import { aPolicy } from '../builders.ts'
import { aLink, aRenewal, at, consentAt, offsetOf } from './a-cycle.ts'

interface Row {
  attempt?: Partial<Authorisation>
  consent?: Partial<Consent>
  renewal?: Partial<Renewal>
  others?: Partial<Authorisation>[]
  heard?: Heard
  now: string
  manual?: boolean
  policy?: Partial<Policy>
  is: string
}

const CODE = '-10d'
const OURS = consentAt().credentialsId
const BANK = consentAt().providerId

const stepOf = ({ attempt, consent, renewal, others = [], heard, now, manual = false, policy }: Row): string =>
  inWords(
    nextExchangeStep(
      {
        attempt: aLink('-10d -5m', { codeReceivedAt: at(CODE), exchangeStartedAt: at(CODE), ...attempt }),
        consent: consentAt({ expiresSource: 'me', ...consent }),
        renewal: aRenewal(renewal),
        others: others.map((other) => aLink('-10d -5m', { codeReceivedAt: at(CODE), ...other })),
      },
      { heard, now: at(now), policy: aPolicy(policy), manual },
    ),
    at(now),
  )

const inWords = (step: ExchangeStep, now: DateTime): string => {
  switch (step.do) {
    case 'not-due':
      return `not due before ${offsetOf(step.until)}`
    case 'requeue':
      return `requeue at ${offsetOf(step.until)}, ${step.code}`
    case 'wait':
      return `wait until ${offsetOf(step.until)}`
    case 'await-date':
      return `await the date, polled at ${offsetOf(step.until)}, ${step.code}`
    case 'poll-again': {
      // After an outage, the polls of many attempts are spread: the date depends on the attempt's id.
      const minutes = step.until.diff(now).as('minutes')
      const isSpread = step.until.millisecond !== 0 && minutes >= 54 && minutes <= 66
      return `poll again ${isSpread ? 'in about an hour' : `at ${offsetOf(step.until)}`}, ${step.code}`
    }
    case 'close':
      return `close as ${step.as}, ${step.code}${step.notify ? ', the user is told' : ''}`
    case 'doubt':
      return `doubt, ${step.code}${step.settle === 'now' ? '' : ', settled in the next run'}`
    case 'store-tokens':
      return `store tokens, ${step.owner}`
    case 'read-me':
    case 'refresh':
      return `${step.do} by ${step.by}`
    case 'commit-renewed':
      return `commit ${step.proof.basis}, ${step.owner === 'ours' ? 'ours' : step.owner.credentialsId}`
    case 'nothing':
    case 'exchange':
    case 'adopt':
      return step.do
  }
}

const exchanged = (answer: Extract<Heard, { from: 'exchange' }>['answer']): Heard => ({ from: 'exchange', answer })
const tokens = (credentialsId: string | undefined, isStoredToken = false): Heard =>
  exchanged({ kind: 'tokens', credentialsId, isStoredToken })
const refreshed = (
  answer: Extract<Heard, { from: 'refresh' }>['answer'],
  when: string,
  by: RefreshBy = 'stored',
  before: readonly Tried[] = [],
): Heard => {
  const version = by === 'pending' ? undefined : 1
  return { from: 'refresh', by, version, at: at(when), answer, tried: [...before, { by, version }] }
}
/** A token that an import has brought after the provider accepted the stored one. */
const candidate: Partial<Consent> = {
  tokenAcceptedAt: at('-20d'),
  candidate: { version: 1, arrivedAt: at('-10d'), issuedAt: undefined },
}
/** The same, and the provider has accepted the stored one since. */
const earlierCandidate: Partial<Consent> = { ...candidate, tokenAcceptedAt: at('-10d') }
const triedStored: Tried = { by: 'stored', version: 1 }
const triedCandidate: Tried = { by: 'candidate', version: 1 }
const nothingSeen: MeSeen = {
  credentialsId: OURS,
  providerId: BANK,
  providerName: undefined,
  consentExpiresAt: undefined,
  consentCreatedAt: undefined,
  consentStatusUpdatedAt: undefined,
}
const oldDate: Partial<MeSeen> = { consentExpiresAt: at('0d') }
const newDate: Partial<MeSeen> = { consentExpiresAt: at('+80d') }
const me = (seen: Partial<MeSeen>, when: string, by: 'exchange' | 'stored' | 'pending' = 'exchange'): Heard => ({
  from: 'me',
  by,
  at: at(when),
  answer: { kind: 'me', me: { ...nothingSeen, ...seen } },
})
const meFailed = (
  answer: Exclude<Extract<Heard, { from: 'me' }>['answer'], { kind: 'me' }>,
  when: string,
  by: 'exchange' | 'stored' | 'pending' = 'exchange',
): Heard => ({ from: 'me', by, at: at(when), answer })
const away = { kind: 'unavailable', code: 'provider-failed' } as const

const code: Partial<Authorisation> = { status: 'code_received' }
const sending: Partial<Authorisation> = { status: 'exchanging' }
const verifying: Partial<Authorisation> = { status: 'verifying', answeredAt: at(CODE), tokenOwner: 'ours' }
const inDoubt: Partial<Authorisation> = { status: 'in_doubt' }
const awaiting: Partial<Authorisation> = { status: 'awaiting_date' }
/** With an id by which a poll after an outage falls between two seconds. */
const spread: Partial<Authorisation> = { ...awaiting, id: '6ba7b810-9dad-41d1-80b4-00c04fd430c8' }
/** Its code was sent an hour after the attempt's own. */
const awaitingLater: Partial<Authorisation> = {
  ...awaiting,
  codeReceivedAt: at('-10d +1h'),
  exchangeStartedAt: at('-10d +1h'),
  nextActionAt: at('-10d +7h'),
}
const pending: Partial<Authorisation> = { tokenOwner: 'pending', hasPendingToken: true }
const full: Partial<Authorisation> = { route: 'full' }

const tables: Record<string, Record<string, Row>> = {
  'a code that came': {
    'is sent': { attempt: code, now: CODE, is: 'exchange' },
    'is sent while it is valid': { attempt: code, now: '-10d +289s', is: 'exchange' },
    'is too old at the end of its time': {
      attempt: code,
      now: '-10d +290s',
      is: 'close as refused, code-too-old, the user is told',
    },
    'rests until its date': {
      attempt: { ...code, nextActionAt: at('-10d +8s') },
      now: '-10d +7s',
      is: 'not due before -10d +8s',
    },
    'is sent at its date': { attempt: { ...code, nextActionAt: at('-10d +8s') }, now: '-10d +8s', is: 'exchange' },
    'is looked at before its date by an operator': {
      attempt: { ...code, nextActionAt: at('-10d +8s') },
      now: '-10d +7s',
      manual: true,
      is: 'exchange',
    },
    'waits for another code that is being sent': {
      attempt: code,
      others: [sending],
      now: CODE,
      is: 'wait until -10d +2s',
    },
    'waits for another code that is being proven': {
      attempt: code,
      others: [verifying],
      now: CODE,
      is: 'wait until -10d +2s',
    },
    'waits a second before two minutes for another code to be proven': {
      attempt: code,
      others: [verifying],
      now: '-10d +119s',
      is: 'wait until -10d +121s',
    },
    'waits no longer: it would die while the other one’s date comes late': {
      attempt: code,
      others: [verifying],
      now: '-10d +2m',
      is: 'exchange',
    },
    'does not wait for another one in doubt': { attempt: code, others: [inDoubt], now: CODE, is: 'exchange' },
    'does not wait for another one whose date may still come': {
      attempt: code,
      others: [awaiting],
      now: CODE,
      is: 'exchange',
    },
    'is sent although the cycle lapsed': { attempt: code, renewal: { status: 'lapsed' }, now: CODE, is: 'exchange' },
    'is sent although the consent is paused': {
      attempt: code,
      consent: { status: 'paused' },
      now: CODE,
      is: 'exchange',
    },
    'stays unsent once the cycle was renewed': {
      attempt: code,
      renewal: { status: 'renewed' },
      now: CODE,
      is: 'close as superseded, cycle-closed',
    },
    'stays unsent once the user has opted out': {
      attempt: code,
      consent: { status: 'opted_out' },
      now: CODE,
      is: 'close as superseded, cycle-closed',
    },
  },
  'a code that was sent': {
    'by a process that stopped': { attempt: sending, now: '-10d +1m', is: 'doubt, exchange-interrupted' },
    'brings tokens of this connection': { attempt: sending, heard: tokens(OURS), now: CODE, is: 'store tokens, ours' },
    'brings the stored token, without a name': {
      attempt: sending,
      heard: tokens(undefined, true),
      now: CODE,
      is: 'store tokens, ours',
    },
    'brings another token, without a name': {
      attempt: sending,
      heard: tokens(undefined),
      now: CODE,
      is: 'store tokens, pending',
    },
    'brings tokens of another connection': {
      attempt: sending,
      heard: tokens('another'),
      now: CODE,
      is: 'close as mismatched, other-connection, the user is told',
    },
    'brings tokens of another connection, as a full authentication does': {
      attempt: { ...sending, ...full },
      heard: tokens('another'),
      now: CODE,
      is: 'store tokens, pending',
    },
    'is refused': {
      attempt: sending,
      heard: exchanged({ kind: 'refused', code: 'grant-refused' }),
      now: CODE,
      is: 'close as refused, grant-refused, the user is told',
    },
    'brings no answer': {
      attempt: sending,
      heard: exchanged({ kind: 'in-doubt', code: 'provider-timeout' }),
      now: CODE,
      is: 'doubt, exchange-in-doubt',
    },
    'was not processed': {
      attempt: sending,
      heard: exchanged({ kind: 'not-processed', code: 'provider-unreachable' }),
      now: '-10d +10s',
      is: 'requeue at -10d +12s, provider-unreachable',
    },
    'was not processed for the fourth time': {
      attempt: { ...sending, pollCount: 3 },
      heard: exchanged({ kind: 'not-processed', code: 'provider-unreachable' }),
      now: '-10d +10s',
      is: 'requeue at -10d +26s, provider-unreachable',
    },
    'was not processed for the ninth time': {
      attempt: { ...sending, pollCount: 8 },
      heard: exchanged({ kind: 'not-processed', code: 'provider-unreachable' }),
      now: '-10d +10s',
      is: 'requeue at -10d +40s, provider-unreachable',
    },
    'is asked to wait longer': {
      attempt: sending,
      heard: exchanged({ kind: 'not-processed', code: 'provider-rate-limited', retryAfterMs: 60_000 }),
      now: '-10d +10s',
      is: 'requeue at -10d +70s, provider-rate-limited',
    },
    'is asked to wait longer than it is valid': {
      attempt: sending,
      heard: exchanged({ kind: 'not-processed', code: 'provider-rate-limited', retryAfterMs: 3_600_000 }),
      now: '-10d +10s',
      is: 'requeue at -10d +290s, provider-rate-limited',
    },
    'did not leave, for the circuit is open': {
      attempt: sending,
      heard: exchanged({ kind: 'circuit-open', code: 'provider-circuit-open', until: at('-10d +1m') }),
      now: '-10d +10s',
      is: 'requeue at -10d +1m, provider-circuit-open',
    },
    'brings tokens while another answer replaces the stored one': {
      attempt: sending,
      heard: { from: 'storing' },
      now: CODE,
      is: 'doubt, token-changed',
    },
    'brings tokens to an attempt that another worker has called in doubt': {
      attempt: inDoubt,
      heard: tokens(OURS),
      now: CODE,
      is: 'store tokens, ours',
    },
    'brings tokens to an attempt that another worker has found without a new date': {
      attempt: awaiting,
      heard: tokens(OURS),
      now: CODE,
      is: 'store tokens, ours',
    },
    'brings tokens to an attempt that is stored as not sent yet': {
      attempt: code,
      heard: tokens(OURS),
      now: CODE,
      is: 'store tokens, ours',
    },
    'brings tokens to an attempt that is superseded': {
      attempt: { status: 'superseded' },
      renewal: { status: 'renewed' },
      heard: tokens(OURS),
      now: CODE,
      is: 'store tokens, ours',
    },
    'brings tokens of a user who has opted out': {
      attempt: sending,
      consent: { status: 'opted_out' },
      heard: tokens(OURS),
      now: CODE,
      is: 'store tokens, ours',
    },
  },
  'a clean exchange': {
    'is proven by /me': { attempt: verifying, now: CODE, is: 'read-me by exchange' },
    'shows a new date': {
      attempt: verifying,
      heard: me(newDate, CODE),
      now: CODE,
      is: 'commit later-than-known, ours',
    },
    'shows the old date: after 10 s': {
      attempt: verifying,
      heard: me(oldDate, CODE),
      now: CODE,
      is: 'poll again at -10d +10s, not-proven',
    },
    'shows the old date: a second before the last time': {
      attempt: verifying,
      heard: me(oldDate, '-10d +9m +59s'),
      now: '-10d +9m +59s',
      is: 'poll again at -10d +10m, not-proven',
    },
    'shows the old date at the last time: the new one may come late': {
      attempt: verifying,
      heard: me(oldDate, '-10d +10m'),
      now: '-10d +10m',
      is: 'await the date, polled at -10d +6h, not-proven',
    },
    'shows the old date when no worker ran for seven hours': {
      attempt: verifying,
      heard: me(oldDate, '-10d +7h'),
      now: '-10d +7h',
      is: 'await the date, polled at -9d +1h, not-proven',
    },
    'shows the old date when no worker ran, a second before 25 hours': {
      attempt: verifying,
      heard: me(oldDate, '-9d +3599s'),
      now: '-9d +3599s',
      is: 'await the date, polled at -9d +1h, not-proven',
    },
    'shows the old date when no worker ran for 25 hours': {
      attempt: verifying,
      heard: me(oldDate, '-9d +1h'),
      now: '-9d +1h',
      is: 'close as refused, not-renewed, the user is told',
    },
    'was asked in time, and is judged late': {
      attempt: verifying,
      heard: me(oldDate, '-10d +1m'),
      now: '-9d',
      is: 'poll again at -10d +10m, not-proven',
    },
    'gives no date: the clean answer decides': {
      attempt: verifying,
      heard: me({}, CODE),
      now: CODE,
      is: 'commit clean-exchange-without-dates, ours',
    },
    'is denied': {
      attempt: verifying,
      heard: meFailed({ kind: 'denied' }, CODE),
      now: CODE,
      is: 'poll again at -10d +10s, not-proven',
    },
    'is denied at the last time': {
      attempt: verifying,
      heard: meFailed({ kind: 'denied' }, '-10d +10m'),
      now: '-10d +10m',
      is: 'await the date, polled at -10d +6h, not-proven',
    },
    'meets an outage': {
      attempt: verifying,
      heard: meFailed(away, '-10d +1m'),
      now: '-10d +1m',
      is: 'poll again at -10d +10m, provider-failed',
    },
    'meets an outage for ten minutes': {
      attempt: verifying,
      heard: meFailed(away, '-10d +10m'),
      now: '-10d +10m',
      is: 'doubt, provider-failed',
    },
    'has an access token that is no longer accepted': {
      attempt: verifying,
      heard: meFailed({ kind: 'token-rejected' }, CODE),
      now: CODE,
      is: 'doubt, not-proven',
    },
    'is of another connection': {
      attempt: verifying,
      heard: me({ ...newDate, credentialsId: 'another' }, CODE),
      now: CODE,
      is: 'close as mismatched, other-connection, the user is told',
    },
    'is at another bank': {
      attempt: verifying,
      heard: me({ ...newDate, providerId: 'another' }, CODE),
      now: CODE,
      is: 'close as mismatched, other-connection, the user is told',
    },
    'brought tokens that nobody names': {
      attempt: { ...verifying, ...pending },
      heard: me({ ...newDate, credentialsId: undefined }, CODE),
      now: CODE,
      is: 'doubt, not-proven',
    },
    'brought tokens that /me names as ours': {
      attempt: { ...verifying, ...pending },
      heard: me(newDate, CODE),
      now: CODE,
      is: 'adopt',
    },
    'brought tokens that are ours by now': {
      attempt: verifying,
      heard: me(newDate, CODE),
      now: CODE,
      is: 'commit later-than-known, ours',
    },
    'brought a token that cannot be adopted: another one is stored': {
      attempt: { ...verifying, ...pending },
      heard: { from: 'adopting' },
      now: CODE,
      is: 'doubt, token-changed, settled in the next run',
    },
    'was stored while a refresh was under way, whose token meets another stored one': {
      attempt: verifying,
      heard: { from: 'rotating' },
      now: CODE,
      is: 'doubt, token-changed, settled in the next run',
    },
    'shows the old date at the last time, to a pending token: it may be the only valid one': {
      attempt: { ...verifying, ...pending },
      heard: me(oldDate, '-10d +10m'),
      now: '-10d +10m',
      is: 'doubt, not-proven',
    },
    'of a full authentication shows the old date at the last time': {
      attempt: { ...verifying, ...pending, ...full },
      heard: me(oldDate, '-10d +10m'),
      now: '-10d +10m',
      is: 'await the date, polled at -10d +6h, not-proven',
    },
    'of a full authentication shows the old date at the last time, and no token is left to ask with': {
      attempt: { ...verifying, tokenOwner: 'pending', ...full },
      heard: me(oldDate, '-10d +10m'),
      now: '-10d +10m',
      is: 'close as refused, not-renewed, the user is told',
    },
    'of a full authentication, for our own connection, shows the old date at the last time': {
      attempt: { ...verifying, ...full },
      heard: me(oldDate, '-10d +10m'),
      now: '-10d +10m',
      is: 'await the date, polled at -10d +6h, not-proven',
    },
    'shows a new date when the cycle is over': {
      attempt: verifying,
      renewal: { status: 'repaired' },
      heard: me(newDate, CODE),
      now: CODE,
      is: 'close as superseded, cycle-closed',
    },
    'shows the old date when the cycle is over': {
      attempt: verifying,
      renewal: { status: 'repaired' },
      heard: me(oldDate, CODE),
      now: CODE,
      is: 'close as superseded, cycle-closed',
    },
    'shows the old date when the cycle lapsed: asked again, for a code still counts': {
      attempt: verifying,
      renewal: { status: 'lapsed' },
      heard: me(oldDate, CODE),
      now: CODE,
      is: 'poll again at -10d +10s, not-proven',
    },
    'brought a pending token that is ours, and the cycle is over: it is adopted first': {
      attempt: { ...verifying, ...pending },
      renewal: { status: 'repaired' },
      heard: me(newDate, CODE),
      now: CODE,
      is: 'adopt',
    },
    'while an earlier code is in doubt: a date that only moved proves nothing': {
      attempt: verifying,
      others: [inDoubt],
      heard: me({ consentExpiresAt: at('+30d') }, CODE),
      now: CODE,
      is: 'poll again at -10d +10s, not-proven',
    },
    'while an earlier code’s date may still come: a date that only moved proves nothing': {
      attempt: verifying,
      others: [awaiting],
      heard: me({ consentExpiresAt: at('+30d') }, CODE),
      now: CODE,
      is: 'poll again at -10d +10s, not-proven',
    },
    'while an earlier code’s date may still come: a date of an hour before its own is the earlier one’s': {
      attempt: verifying,
      others: [awaiting],
      heard: me({ consentExpiresAt: at('+80d -66m') }, CODE),
      now: CODE,
      is: 'poll again at -10d +10s, not-proven',
    },
    'while an earlier code’s date may still come: its own date proves it': {
      attempt: verifying,
      others: [awaiting],
      heard: me(newDate, CODE),
      now: CODE,
      is: 'commit full-validity-since, ours',
    },
    'while an earlier code is in doubt, after ten minutes: it may still be the earlier one’s': {
      attempt: verifying,
      others: [inDoubt],
      heard: me({ consentExpiresAt: at('+30d') }, '-10d +10m'),
      now: '-10d +10m',
      is: 'await the date, polled at -10d +6h, not-proven',
    },
    'while an earlier code is in doubt, after 25 hours: it does': {
      attempt: verifying,
      others: [inDoubt],
      heard: me({ consentExpiresAt: at('+30d') }, '-9d +1h'),
      now: '-9d +1h',
      is: 'commit later-than-known, ours',
    },
    'that came late, while a later code’s date may still come': {
      attempt: verifying,
      others: [awaitingLater],
      heard: me(newDate, '-10d +2h'),
      now: '-10d +2h',
      is: 'await the date, polled at -10d +421m, not-proven',
    },
    'of a user who has opted out since': {
      attempt: verifying,
      consent: { status: 'opted_out' },
      now: CODE,
      is: 'close as superseded, cycle-closed',
    },
    'is committed while a later code is out': {
      attempt: verifying,
      heard: { from: 'commit', answer: 'later-code-out' },
      now: CODE,
      is: 'wait until -10d +1m',
    },
    'is committed when the cycle is closed': {
      attempt: verifying,
      heard: { from: 'commit', answer: 'cycle-closed' },
      now: CODE,
      is: 'close as superseded, cycle-closed',
    },
    'of a full authentication: a new connection': {
      attempt: { ...verifying, ...pending, ...full, newCredentialsId: 'new' },
      heard: me({ ...newDate, credentialsId: 'new' }, CODE),
      now: CODE,
      is: 'commit full-validity-since, new',
    },
    'of a full authentication, without a refresh token': {
      attempt: { ...verifying, tokenOwner: 'pending', ...full, newCredentialsId: 'new' },
      heard: me({ ...newDate, credentialsId: 'new' }, CODE),
      now: CODE,
      is: 'close as refused, not-renewed, the user is told',
    },
    'of a full authentication, at a bank that is not named': {
      attempt: { ...verifying, ...pending, ...full, newCredentialsId: 'new' },
      heard: me({ ...newDate, credentialsId: 'new', providerId: undefined }, CODE),
      now: CODE,
      is: 'poll again at -10d +10s, not-proven',
    },
  },
  'an outcome in doubt': {
    'is asked about with the stored token': { attempt: inDoubt, now: CODE, is: 'refresh by stored' },
    'is asked about with its pending token first': {
      attempt: { ...inDoubt, ...pending },
      now: CODE,
      is: 'refresh by pending',
    },
    'of a cycle that is over': {
      attempt: inDoubt,
      renewal: { status: 'renewed' },
      now: CODE,
      is: 'close as superseded, cycle-closed',
    },
    'of a cycle that is over, with a pending token that may be the only valid one': {
      attempt: { ...inDoubt, ...pending },
      renewal: { status: 'renewed' },
      now: CODE,
      is: 'refresh by pending',
    },
    'of a user who has opted out': {
      attempt: { ...inDoubt, ...pending },
      consent: { status: 'opted_out' },
      now: CODE,
      is: 'close as superseded, cycle-closed',
    },
    'waits for a later code that is being sent': {
      attempt: inDoubt,
      others: [sending],
      now: CODE,
      is: 'wait until -10d +1m',
    },
    'waits for a later one in doubt, while its code may take effect': {
      attempt: inDoubt,
      others: [{ ...inDoubt, exchangeStartedAt: at('-10d +1m') }],
      now: '-10d +6m +59s',
      is: 'wait until -10d +479s',
    },
    'waits for a later one in doubt no longer than that': {
      attempt: inDoubt,
      others: [{ ...inDoubt, exchangeStartedAt: at('-10d +1m') }],
      now: '-10d +7m',
      is: 'refresh by stored',
    },
    'waits for a later code that is being proven until that is polled next, not minute by minute': {
      attempt: inDoubt,
      others: [{ ...verifying, exchangeStartedAt: at('-10d +1m'), nextActionAt: at('-10d +11m') }],
      now: '-10d +2m',
      is: 'wait until -10d +12m',
    },
    'does not wait for an earlier one that is being proven': {
      attempt: { ...inDoubt, exchangeStartedAt: at('-10d +1m') },
      others: [{ ...verifying, exchangeStartedAt: at(CODE) }],
      now: '-10d +2m',
      is: 'refresh by stored',
    },
    'waits for a later one whose date may still come, until that is polled next': {
      attempt: inDoubt,
      others: [awaitingLater],
      now: '-10d +2h',
      is: 'wait until -10d +421m',
    },
    'shows a new date while a later one is in doubt: its date may still come': {
      attempt: inDoubt,
      others: [{ ...inDoubt, exchangeStartedAt: at('-10d +1h'), nextActionAt: at('-10d +2h') }],
      heard: me(newDate, '-10d +90m', 'stored'),
      now: '-10d +90m',
      is: 'wait until -10d +121m',
    },
    'shows a new date a second before a later one in doubt is 25 hours old': {
      attempt: inDoubt,
      others: [{ ...inDoubt, exchangeStartedAt: at('-10d +1h'), nextActionAt: at('-9d +5h') }],
      heard: me(newDate, '-9d +7199s', 'stored'),
      now: '-9d +7199s',
      is: 'wait until -9d +7259s',
    },
    'shows a new date when a later one has been in doubt for 25 hours: it waits no longer': {
      attempt: inDoubt,
      others: [{ ...inDoubt, exchangeStartedAt: at('-10d +1h'), nextActionAt: at('-9d +5h') }],
      heard: me(newDate, '-9d +2h', 'stored'),
      now: '-9d +2h',
      is: 'commit later-than-known, ours',
    },
    'shows a new date while an earlier one is in doubt': {
      attempt: { ...inDoubt, exchangeStartedAt: at('-10d +1h') },
      others: [{ ...inDoubt, exchangeStartedAt: at(CODE) }],
      heard: me(newDate, '-10d +90m', 'stored'),
      now: '-10d +90m',
      is: 'commit full-validity-since, ours',
    },
    'of a full authentication whose answer was lost': {
      attempt: { ...inDoubt, ...full },
      now: CODE,
      is: 'close as refused, exchange-in-doubt, the user is told',
    },
  },
  'the refresh that settles': {
    works: { attempt: inDoubt, heard: refreshed({ kind: 'tokens' }, CODE), now: CODE, is: 'read-me by stored' },
    'works with the pending token': {
      attempt: { ...inDoubt, ...pending },
      heard: refreshed({ kind: 'tokens' }, CODE, 'pending'),
      now: CODE,
      is: 'read-me by pending',
    },
    'is sent with a candidate first that arrived after the last acceptance': {
      attempt: inDoubt,
      consent: candidate,
      now: CODE,
      is: 'refresh by candidate',
    },
    'is sent with the stored token first, which was accepted since a candidate came': {
      attempt: inDoubt,
      consent: earlierCandidate,
      now: CODE,
      is: 'refresh by stored',
    },
    'is sent with the pending token before a candidate': {
      attempt: { ...inDoubt, ...pending },
      consent: candidate,
      now: CODE,
      is: 'refresh by pending',
    },
    'is refused the candidate, which is dropped: the stored token is next': {
      attempt: inDoubt,
      heard: refreshed({ kind: 'refused' }, '-10d +6m', 'candidate'),
      now: '-10d +6m',
      is: 'refresh by stored',
    },
    'is refused the candidate after the expiry, where it stays: the stored token is next': {
      attempt: inDoubt,
      consent: candidate,
      heard: refreshed({ kind: 'refused' }, '+1d', 'candidate'),
      now: '+1d',
      is: 'refresh by stored',
    },
    'is refused the stored token: the candidate is next': {
      attempt: inDoubt,
      consent: earlierCandidate,
      heard: refreshed({ kind: 'refused' }, '-10d +6m'),
      now: '-10d +6m',
      is: 'refresh by candidate',
    },
    'is answered as if our client were unknown, as happens to a token that is none: the other is tried': {
      attempt: inDoubt,
      consent: candidate,
      heard: refreshed({ kind: 'unavailable', code: 'client-rejected' }, CODE, 'candidate'),
      now: CODE,
      is: 'refresh by stored',
    },
    'is answered so for both tokens: asked again when the outage may be over': {
      attempt: inDoubt,
      consent: candidate,
      heard: refreshed({ kind: 'unavailable', code: 'client-rejected' }, '-10d +10h', 'stored', [triedCandidate]),
      now: '-10d +10h',
      is: 'poll again in about an hour, client-rejected',
    },
    'is refused both for the second time: concluded': {
      attempt: { ...inDoubt, errorCode: 'token-invalid' },
      consent: candidate,
      heard: refreshed({ kind: 'refused' }, '+1d', 'stored', [triedCandidate]),
      now: '+1d',
      is: 'close as refused, token-invalid, the user is told',
    },
    'is refused both for the second time, the candidate last': {
      attempt: { ...inDoubt, errorCode: 'token-invalid' },
      heard: refreshed({ kind: 'refused' }, '-9d +1h', 'candidate', [triedStored]),
      now: '-9d +1h',
      is: 'close as refused, token-invalid, the user is told',
    },
    'is refused both, and another candidate has come meanwhile': {
      attempt: inDoubt,
      consent: { ...candidate, candidate: { version: 2, arrivedAt: at('-10d +5m'), issuedAt: undefined } },
      heard: refreshed({ kind: 'refused' }, '-10d +6m', 'candidate', [triedStored]),
      now: '-10d +6m',
      is: 'refresh by candidate',
    },
    'is refused both, and the stored one was replaced meanwhile': {
      attempt: inDoubt,
      consent: { tokenVersion: 2 },
      heard: refreshed({ kind: 'refused' }, '-10d +6m', 'candidate', [triedStored]),
      now: '-10d +6m',
      is: 'refresh by stored',
    },
    'is refused the pending token, and the candidate is next': {
      attempt: { ...inDoubt, ...pending },
      consent: candidate,
      heard: refreshed({ kind: 'refused' }, '-10d +6m', 'pending'),
      now: '-10d +6m',
      is: 'refresh by candidate',
    },
    'meets another stored token': {
      attempt: inDoubt,
      heard: { from: 'rotating' },
      now: CODE,
      is: 'doubt, token-changed, settled in the next run',
    },
    'meets another stored token while a later code is being sent: that is noted first': {
      attempt: inDoubt,
      others: [sending],
      heard: { from: 'rotating' },
      now: CODE,
      is: 'doubt, token-changed, settled in the next run',
    },
    'is refused a second before six minutes': {
      attempt: inDoubt,
      heard: refreshed({ kind: 'refused' }, '-10d +5m +59s'),
      now: '-10d +5m +59s',
      is: 'poll again at -10d +6m, token-invalid',
    },
    'is refused at six minutes: a provider that is late may accept the token later': {
      attempt: inDoubt,
      heard: refreshed({ kind: 'refused' }, '-10d +6m'),
      now: '-10d +6m',
      is: 'await the date, polled at -10d +6h, token-invalid',
    },
    'is refused for the first time a second before 25 hours': {
      attempt: inDoubt,
      heard: refreshed({ kind: 'refused' }, '-9d +3599s'),
      now: '-9d +3599s',
      is: 'await the date, polled at -9d +1h, token-invalid',
    },
    'is refused for the first time at 25 hours: a worker may have rotated the token and not stored it yet': {
      attempt: inDoubt,
      heard: refreshed({ kind: 'refused' }, '-9d +1h'),
      now: '-9d +1h',
      is: 'poll again in about an hour, token-invalid',
    },
    'is refused again at 25 hours': {
      attempt: { ...inDoubt, errorCode: 'token-invalid' },
      heard: refreshed({ kind: 'refused' }, '-9d +1h'),
      now: '-9d +1h',
      is: 'close as refused, token-invalid, the user is told',
    },
    'is refused the pending token': {
      attempt: { ...inDoubt, ...pending },
      heard: refreshed({ kind: 'refused' }, '-10d +6m', 'pending'),
      now: '-10d +6m',
      is: 'refresh by stored',
    },
    'is refused the pending token of a full authentication': {
      attempt: { ...inDoubt, ...pending, ...full },
      heard: refreshed({ kind: 'refused' }, '-10d +6m', 'pending'),
      now: '-10d +6m',
      is: 'await the date, polled at -10d +6h, token-invalid',
    },
    'is refused the pending token of a full authentication, at 25 hours': {
      attempt: { ...awaiting, ...pending, ...full },
      heard: refreshed({ kind: 'refused' }, '-9d +1h', 'pending'),
      now: '-9d +1h',
      is: 'close as refused, token-invalid, the user is told',
    },
    'is refused while another attempt is in doubt, whose refresh may have rotated the token': {
      attempt: inDoubt,
      others: [inDoubt],
      heard: refreshed({ kind: 'refused' }, '-10d +6m'),
      now: '-10d +6m',
      is: 'poll again at -10d +1h, token-invalid',
    },
    'is refused while another attempt may hold the only valid token': {
      attempt: inDoubt,
      others: [{ ...inDoubt, ...pending }],
      heard: refreshed({ kind: 'refused' }, '-10d +6m'),
      now: '-10d +6m',
      is: 'poll again at -10d +1h, token-invalid',
    },
    'is refused, with an invalid pending token of its own, while another attempt is in doubt': {
      attempt: { ...inDoubt, ...pending },
      others: [{ ...inDoubt, ...pending }],
      heard: refreshed({ kind: 'refused' }, '-10d +6m'),
      now: '-10d +6m',
      is: 'poll again at -10d +1h, token-invalid',
    },
    'is refused again, and the other attempt’s was not': {
      attempt: { ...inDoubt, errorCode: 'token-invalid' },
      others: [{ ...inDoubt, errorCode: 'not-renewed' }],
      heard: refreshed({ kind: 'refused' }, '-10d +6m'),
      now: '-10d +6m',
      is: 'poll again at -10d +1h, token-invalid',
    },
    'is refused for the first time, after the other attempt’s was': {
      attempt: inDoubt,
      others: [{ ...inDoubt, errorCode: 'token-invalid' }],
      heard: refreshed({ kind: 'refused' }, '-10d +6m'),
      now: '-10d +6m',
      is: 'poll again at -10d +1h, token-invalid',
    },
    'is refused again, and so was the other attempt’s: two would wait for each other': {
      attempt: { ...inDoubt, ...pending, errorCode: 'token-invalid' },
      others: [{ ...inDoubt, ...pending, errorCode: 'token-invalid' }],
      heard: refreshed({ kind: 'refused' }, '-9d +1h'),
      now: '-9d +1h',
      is: 'close as refused, token-invalid, the user is told',
    },
    'is refused again before 25 hours, and so was the other attempt’s': {
      attempt: { ...inDoubt, ...pending, errorCode: 'token-invalid' },
      others: [{ ...inDoubt, ...pending, errorCode: 'token-invalid' }],
      heard: refreshed({ kind: 'refused' }, '-10d +6m'),
      now: '-10d +6m',
      is: 'await the date, polled at -10d +6h, token-invalid',
    },
    'is refused at 25 hours, and another attempt, whose date may still come, was not': {
      attempt: { ...spread, errorCode: 'token-invalid' },
      others: [awaiting],
      heard: refreshed({ kind: 'refused' }, '-9d +1h'),
      now: '-9d +1h',
      is: 'poll again in about an hour, token-invalid',
    },
    'is refused at 25 hours, and so was that other one': {
      attempt: { ...awaiting, errorCode: 'token-invalid' },
      others: [{ ...awaiting, errorCode: 'token-invalid' }],
      heard: refreshed({ kind: 'refused' }, '-9d +1h'),
      now: '-9d +1h',
      is: 'close as refused, token-invalid, the user is told',
    },
    'is refused for a token that was replaced since': {
      attempt: inDoubt,
      consent: { tokenVersion: 2 },
      heard: refreshed({ kind: 'refused' }, '-10d +6m'),
      now: '-10d +6m',
      is: 'refresh by stored',
    },
    'is refused for a token that was replaced since, while one is pending': {
      attempt: { ...inDoubt, ...pending },
      consent: { tokenVersion: 2 },
      heard: refreshed({ kind: 'refused' }, '-10d +6m'),
      now: '-10d +6m',
      is: 'refresh by pending',
    },
    'is refused for a token that was replaced since, and the cycle is over': {
      attempt: inDoubt,
      consent: { tokenVersion: 2 },
      renewal: { status: 'renewed' },
      heard: refreshed({ kind: 'refused' }, '-10d +6m'),
      now: '-10d +6m',
      is: 'close as superseded, cycle-closed',
    },
    'works with a token that was replaced since': {
      attempt: inDoubt,
      consent: { tokenVersion: 2 },
      heard: refreshed({ kind: 'tokens' }, '-10d +6m'),
      now: '-10d +6m',
      is: 'read-me by stored',
    },
    'brings no answer': {
      attempt: inDoubt,
      heard: refreshed({ kind: 'in-doubt', code: 'provider-timeout' }, '-10d +2h'),
      now: '-10d +2h',
      is: 'poll again at -10d +6h, provider-timeout',
    },
    'brings no answer, a second before 25 hours': {
      attempt: inDoubt,
      heard: refreshed({ kind: 'in-doubt', code: 'provider-timeout' }, '-9d +3599s'),
      now: '-9d +3599s',
      is: 'poll again at -9d +1h, provider-timeout',
    },
    'brings no answer after a day: daily': {
      attempt: inDoubt,
      heard: refreshed({ kind: 'in-doubt', code: 'provider-timeout' }, '-8d +1h'),
      now: '-8d +1h',
      is: 'poll again at -7d, provider-timeout',
    },
  },
  'what /me shows after the refresh': {
    'a new date': {
      attempt: inDoubt,
      heard: me(newDate, '-10d +1m', 'stored'),
      now: '-10d +1m',
      is: 'commit later-than-known, ours',
    },
    'the old date, before six minutes': {
      attempt: inDoubt,
      heard: me(oldDate, '-10d +5m +59s', 'stored'),
      now: '-10d +5m +59s',
      is: 'poll again at -10d +6m, not-renewed',
    },
    'the old date, at six minutes: the new one may come late': {
      attempt: inDoubt,
      heard: me(oldDate, '-10d +6m', 'stored'),
      now: '-10d +6m',
      is: 'await the date, polled at -10d +6h, not-proven',
    },
    'the old date, at six hours': {
      attempt: inDoubt,
      heard: me(oldDate, '-10d +6h', 'stored'),
      now: '-10d +6h',
      is: 'await the date, polled at -9d +1h, not-proven',
    },
    'the old date, a second before 25 hours': {
      attempt: inDoubt,
      heard: me(oldDate, '-9d +3599s', 'stored'),
      now: '-9d +3599s',
      is: 'await the date, polled at -9d +1h, not-proven',
    },
    'the old date, at 25 hours': {
      attempt: inDoubt,
      heard: me(oldDate, '-9d +1h', 'stored'),
      now: '-9d +1h',
      is: 'close as refused, not-renewed, the user is told',
    },
    'the old date, asked before 25 hours and judged after': {
      attempt: inDoubt,
      heard: me(oldDate, '-9d +59m', 'stored'),
      now: '-8d',
      is: 'await the date, polled at -9d +1h, not-proven',
    },
    'the old date, asked before six minutes and judged after': {
      attempt: inDoubt,
      heard: me(oldDate, '-10d +5m', 'stored'),
      now: '-10d +30m',
      is: 'poll again at -10d +6m, not-renewed',
    },
    'the old date, to a pending token that is valid and ours': {
      attempt: { ...inDoubt, ...pending },
      heard: me(oldDate, '-10d +6m', 'pending'),
      now: '-10d +6m',
      is: 'adopt',
    },
    'the old date, to a token that was pending': {
      attempt: { ...inDoubt, tokenOwner: 'ours' },
      heard: me(oldDate, '-10d +6m', 'pending'),
      now: '-10d +6m',
      is: 'await the date, polled at -10d +6h, not-proven',
    },
    'the old date, after the pending token was adopted, when the cycle is over': {
      attempt: { ...inDoubt, tokenOwner: 'ours' },
      renewal: { status: 'repaired' },
      heard: me(oldDate, '-10d +1m', 'pending'),
      now: '-10d +1m',
      is: 'close as superseded, cycle-closed',
    },
    'the old date, to a pending token that is valid and ours, when the cycle is over: adopted first': {
      attempt: { ...inDoubt, ...pending },
      renewal: { status: 'repaired' },
      heard: me(oldDate, '-10d +6m', 'pending'),
      now: '-10d +6m',
      is: 'adopt',
    },
    'a new date, to a pending token that is ours': {
      attempt: { ...inDoubt, ...pending },
      heard: me(newDate, '-10d +1m', 'pending'),
      now: '-10d +1m',
      is: 'adopt',
    },
    'a new date, to the stored token, while one is pending': {
      attempt: { ...inDoubt, ...pending },
      heard: me(newDate, '-10d +1m', 'stored'),
      now: '-10d +1m',
      is: 'commit later-than-known, ours',
    },
    'no name, to a pending token': {
      attempt: { ...inDoubt, ...pending },
      heard: me({ ...newDate, credentialsId: undefined }, '-10d +1m', 'pending'),
      now: '-10d +1m',
      is: 'refresh by stored',
    },
    'no dates before the old expiry': {
      attempt: inDoubt,
      heard: me({}, '-10d +7m', 'stored'),
      now: '-10d +7m',
      is: 'poll again at +1h, not-proven',
    },
    'no dates an hour after the old expiry: a refresh that works decides': {
      attempt: inDoubt,
      heard: me({}, '+1h', 'stored'),
      now: '+1h',
      is: 'commit refresh-after-expiry, ours',
    },
    'that the consent has expired': {
      attempt: inDoubt,
      heard: meFailed({ kind: 'denied' }, '-10d +6m', 'stored'),
      now: '-10d +6m',
      is: 'await the date, polled at -10d +6h, not-proven',
    },
    'that the consent has expired, at 25 hours': {
      attempt: inDoubt,
      heard: meFailed({ kind: 'denied' }, '-9d +1h', 'stored'),
      now: '-9d +1h',
      is: 'close as refused, not-renewed, the user is told',
    },
    'that the consent has expired, to a pending token that is ours: it is not lost': {
      attempt: { ...inDoubt, ...pending, newCredentialsId: OURS },
      heard: meFailed({ kind: 'denied' }, '-10d +6m', 'pending'),
      now: '-10d +6m',
      is: 'adopt',
    },
    'that the consent has expired, after the pending token was adopted': {
      attempt: { ...inDoubt, tokenOwner: 'ours' },
      heard: meFailed({ kind: 'denied' }, '-9d +1h', 'pending'),
      now: '-9d +1h',
      is: 'close as refused, not-renewed, the user is told',
    },
    'that somebody else refreshed meanwhile': {
      attempt: inDoubt,
      heard: meFailed({ kind: 'token-rejected' }, '-10d +7m', 'stored'),
      now: '-10d +7m',
      is: 'poll again at -10d +1h, not-proven',
    },
    'of a full authentication: no bank, for a day': {
      attempt: { ...inDoubt, ...pending, ...full, newCredentialsId: 'new' },
      heard: me({ ...newDate, credentialsId: 'new', providerId: undefined }, '-9d +3599s', 'pending'),
      now: '-9d +3599s',
      is: 'await the date, polled at -9d +1h, not-proven',
    },
    'of a full authentication: no bank after a day': {
      attempt: { ...inDoubt, ...pending, ...full, newCredentialsId: 'new' },
      heard: me({ ...newDate, credentialsId: 'new', providerId: undefined }, '-9d +1h', 'pending'),
      now: '-9d +1h',
      is: 'close as refused, not-proven, the user is told',
    },
  },
  'a date that may come late': {
    'rests until its own poll': {
      attempt: { ...awaiting, nextActionAt: at('-10d +6h') },
      now: '-10d +5h',
      is: 'not due before -10d +6h',
    },
    'is looked for by one refresh at its poll': {
      attempt: { ...awaiting, nextActionAt: at('-10d +6h') },
      now: '-10d +6h',
      is: 'refresh by stored',
    },
    'is looked for earlier by an operator': {
      attempt: { ...awaiting, nextActionAt: at('-10d +6h') },
      now: '-10d +1h',
      manual: true,
      is: 'refresh by stored',
    },
    'is looked for with a pending token first': {
      attempt: { ...awaiting, ...pending },
      now: '-10d +6h',
      is: 'refresh by pending',
    },
    'is looked for by the token of a new connection': {
      attempt: { ...awaiting, ...pending, ...full, newCredentialsId: 'new' },
      now: '-10d +6h',
      is: 'refresh by pending',
    },
    'of a full authentication that brought our own connection is looked for by the stored token': {
      attempt: { ...awaiting, ...full, tokenOwner: 'ours' },
      now: '-10d +6h',
      is: 'refresh by stored',
    },
    'after the refresh': {
      attempt: awaiting,
      heard: refreshed({ kind: 'tokens' }, '-10d +6h'),
      now: '-10d +6h',
      is: 'read-me by stored',
    },
    'has come': {
      attempt: awaiting,
      heard: me(newDate, '-10d +6h', 'stored'),
      now: '-10d +6h',
      is: 'commit later-than-known, ours',
    },
    'has come, to a pending token that is ours': {
      attempt: { ...awaiting, ...pending },
      heard: me(newDate, '-10d +6h', 'pending'),
      now: '-10d +6h',
      is: 'adopt',
    },
    'has not come at six hours: the last poll is at 25 hours': {
      attempt: awaiting,
      heard: me(oldDate, '-10d +6h', 'stored'),
      now: '-10d +6h',
      is: 'poll again at -9d +1h, not-proven',
    },
    'has not come for an operator who looks early': {
      attempt: awaiting,
      heard: me(oldDate, '-10d +1h', 'stored'),
      now: '-10d +1h',
      is: 'poll again at -10d +6h, not-proven',
    },
    'has not come, a second before 25 hours': {
      attempt: awaiting,
      heard: me(oldDate, '-9d +3599s', 'stored'),
      now: '-9d +3599s',
      is: 'poll again at -9d +1h, not-proven',
    },
    'has not come at 25 hours: not renewed': {
      attempt: awaiting,
      heard: me(oldDate, '-9d +1h', 'stored'),
      now: '-9d +1h',
      is: 'close as refused, not-renewed, the user is told',
    },
    'has not come at 25 hours, and a valid pending token is stored first': {
      attempt: { ...awaiting, ...pending },
      heard: me(oldDate, '-9d +1h', 'pending'),
      now: '-9d +1h',
      is: 'adopt',
    },
    'has not come, asked at six hours and judged days later': {
      attempt: awaiting,
      heard: me(oldDate, '-10d +6h', 'stored'),
      now: '-7d',
      is: 'poll again at -9d +1h, not-proven',
    },
    'cannot be asked for at 25 hours: within the hour again': {
      attempt: spread,
      heard: refreshed(away, '-9d +1h'),
      now: '-9d +1h',
      is: 'poll again in about an hour, provider-failed',
    },
    'cannot be asked for at six hours: within the hour again': {
      attempt: spread,
      heard: meFailed(away, '-10d +6h', 'stored'),
      now: '-10d +6h',
      is: 'poll again in about an hour, provider-failed',
    },
    'is asked for by a refresh without an answer: within the hour again': {
      attempt: spread,
      heard: refreshed({ kind: 'in-doubt', code: 'provider-timeout' }, '-9d +1h'),
      now: '-9d +1h',
      is: 'poll again in about an hour, provider-timeout',
    },
    'is asked for without an answer for a day more: daily': {
      attempt: awaiting,
      heard: refreshed({ kind: 'in-doubt', code: 'provider-timeout' }, '-8d +1h'),
      now: '-8d +1h',
      is: 'poll again at -7d +1h, provider-timeout',
    },
    'is asked for with a token that somebody else replaced: within the hour again': {
      attempt: spread,
      heard: meFailed({ kind: 'token-rejected' }, '-10d +6h', 'stored'),
      now: '-10d +6h',
      is: 'poll again in about an hour, not-proven',
    },
    'is asked for with a token that is refused at six hours': {
      attempt: awaiting,
      heard: refreshed({ kind: 'refused' }, '-10d +6h'),
      now: '-10d +6h',
      is: 'poll again at -9d +1h, token-invalid',
    },
    'is asked for with a token that is refused for the first time at 25 hours': {
      attempt: awaiting,
      heard: refreshed({ kind: 'refused' }, '-9d +1h'),
      now: '-9d +1h',
      is: 'poll again in about an hour, token-invalid',
    },
    'is asked for with a token that is refused again at 25 hours': {
      attempt: { ...awaiting, errorCode: 'token-invalid' },
      heard: refreshed({ kind: 'refused' }, '-9d +1h'),
      now: '-9d +1h',
      is: 'close as refused, token-invalid, the user is told',
    },
    'is asked for while an import replaces the stored token': {
      attempt: awaiting,
      heard: { from: 'rotating' },
      now: '-10d +6h',
      is: 'doubt, token-changed, settled in the next run',
    },
    'of another connection': {
      attempt: awaiting,
      heard: me({ ...newDate, credentialsId: 'another' }, '-10d +6h', 'stored'),
      now: '-10d +6h',
      is: 'close as mismatched, other-connection, the user is told',
    },
    'is not there at all, before the old expiry: nothing is concluded': {
      attempt: awaiting,
      heard: me({}, '-9d +1h', 'stored'),
      now: '-9d +1h',
      is: 'poll again at +1h, not-proven',
    },
    'of a cycle that is over': {
      attempt: awaiting,
      renewal: { status: 'repaired' },
      now: '-10d +6h',
      is: 'close as superseded, cycle-closed',
    },
    'of a cycle that lapsed: a code still counts': {
      attempt: awaiting,
      renewal: { status: 'lapsed' },
      now: '-10d +6h',
      is: 'refresh by stored',
    },
    'of a user who has opted out': {
      attempt: awaiting,
      consent: { status: 'opted_out' },
      now: '-10d +6h',
      is: 'close as superseded, cycle-closed',
    },
    'waits for that of a later code': {
      attempt: awaiting,
      others: [awaitingLater],
      now: '-10d +6h',
      is: 'wait until -10d +421m',
    },
    'waits for that of a later code no longer than that one may come late': {
      attempt: awaiting,
      others: [{ ...awaitingLater, nextActionAt: at('-8d') }],
      now: '-10d +7h',
      is: 'wait until -9d +2h',
    },
    'does not wait for that of a later code which was refused its token: the valid one may be its own': {
      attempt: { ...awaiting, ...pending },
      others: [{ ...awaitingLater, errorCode: 'token-invalid' }],
      now: '-10d +6h',
      is: 'refresh by pending',
    },
    'is not committed while a later code, which was refused its token, may show its own': {
      attempt: awaiting,
      others: [{ ...awaitingLater, errorCode: 'token-invalid' }],
      heard: me(newDate, '-10d +6h', 'stored'),
      now: '-10d +6h',
      is: 'wait until -10d +421m',
    },
    'waits for that of a later code, a second before 25 hours': {
      attempt: awaiting,
      others: [awaitingLater],
      now: '-9d +7199s',
      is: 'wait until -9d +7259s',
    },
    'does not wait for that of a later code after 25 hours': {
      attempt: awaiting,
      others: [awaitingLater],
      now: '-9d +2h',
      is: 'refresh by stored',
    },
    'does not wait for that of an earlier code': {
      attempt: { ...awaiting, exchangeStartedAt: at('-10d +1h'), codeReceivedAt: at('-10d +1h') },
      others: [{ ...awaiting, exchangeStartedAt: at(CODE) }],
      now: '-10d +7h',
      is: 'refresh by stored',
    },
    'shows a date that may be an earlier code’s': {
      attempt: { ...awaiting, exchangeStartedAt: at('-10d +1h') },
      others: [{ ...awaiting, exchangeStartedAt: at(CODE) }],
      heard: me({ consentExpiresAt: at('+30d') }, '-10d +7h', 'stored'),
      now: '-10d +7h',
      is: 'poll again at -9d +1h, not-proven',
    },
    'shows a date that may be an earlier code’s, at the last poll: it counts': {
      attempt: { ...awaiting, exchangeStartedAt: at('-10d +1h') },
      others: [{ ...awaiting, exchangeStartedAt: at(CODE) }],
      heard: me({ consentExpiresAt: at('+30d') }, '-9d +1h', 'stored'),
      now: '-9d +1h',
      is: 'commit later-than-known, ours',
    },
    'is about to be committed while a later code is out': {
      attempt: awaiting,
      others: [awaitingLater],
      heard: { from: 'commit', answer: 'later-code-out' },
      now: '-10d +6h',
      is: 'wait until -10d +421m',
    },
  },
  'an attempt that has ended': Object.fromEntries(
    (['issued', 'renewed', 'refused', 'mismatched', 'expired', 'superseded'] as const).map((status) => [
      status,
      { attempt: { status }, now: CODE, is: 'nothing' },
    ]),
  ),
}

describe.each(Object.entries(tables))('%s', (_, table) => {
  test.each(Object.entries(table))('%s', (_name, row) => expect(stepOf(row)).toBe(row.is))
})

test('after an outage the question is repeated as late as the doubt is old, five minutes to an hour', () => {
  for (const [now, least, most] of [
    ['-10d +1m', 4.5, 5.5],
    ['-10d +20m', 18, 22],
    ['-9d', 54, 66],
  ] as const) {
    const words = stepOf({ attempt: inDoubt, heard: refreshed(away, now), now, is: '' })
    expect(words).toMatch(/^poll again (?:at .*|in about an hour), provider-failed$/)
    const step = nextExchangeStep(
      {
        attempt: aLink('-10d -5m', { ...inDoubt, codeReceivedAt: at(CODE) }),
        consent: consentAt(),
        renewal: aRenewal(),
        others: [],
      },
      { heard: refreshed(away, now), now: at(now), policy: aPolicy(), manual: false },
    )
    const minutes = step.do === 'poll-again' ? step.until.diff(at(now)).as('minutes') : NaN
    expect(minutes).toBeGreaterThanOrEqual(least)
    expect(minutes).toBeLessThanOrEqual(most)
  }
})

test('every step says why', () => {
  for (const row of Object.values(tables).flatMap((table) => Object.values(table))) {
    const { attempt, consent, renewal, others = [], heard, now, manual = false, policy } = row
    const step = nextExchangeStep(
      {
        attempt: aLink('-10d -5m', { codeReceivedAt: at(CODE), exchangeStartedAt: at(CODE), ...attempt }),
        consent: consentAt({ expiresSource: 'me', ...consent }),
        renewal: aRenewal(renewal),
        others: others.map((other) => aLink('-10d -5m', { codeReceivedAt: at(CODE), ...other })),
      },
      { heard, now: at(now), policy: aPolicy(policy), manual },
    )
    expect(step.reason).toMatch(/\w{3}/)
  }
})
