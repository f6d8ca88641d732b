// The next action for a consent: every rule of the chain at the second before, at and after each boundary.
import { Duration } from 'luxon'
import { describe, expect, test } from 'vitest'
import type { Policy } from '../../src/domain/policy.ts'
import { nextAction } from '../../src/domain/next-action.ts'
import { aPolicy } from '../builders.ts'
import { type Cycle, aCycle, aLink, aMessage, at, inWords } from './a-cycle.ts'

interface Row extends Cycle {
  now: string
  policy?: Partial<Policy>
  manual?: boolean
  is: string
  because?: string
}

const check = (_: string, { now, policy, manual, is, because, ...cycle }: Row): void => {
  const next = nextAction(aCycle(cycle), at(now), aPolicy(policy), { manual: manual ?? false })
  expect(inWords(next)).toBe(is)
  if (because !== undefined) expect(next.reason).toContain(because)
}
const tableOf = (name: string, table: Record<string, Row>): void => {
  describe(name, () => {
    test.each(Object.entries(table))('%s', check)
  })
}

tableOf('the phases of a consent that nobody has asked for', {
  'a day after it was given, it waits for its window': { now: '-89d', is: 'wait -14d', because: 'healthy' },
  'a second before the window it still waits': { now: '-14d -1s', is: 'wait -14d', because: 'healthy' },
  'at the window the cycle opens with a link and the first rung': {
    now: '-14d',
    is: 'renew link by reauth and -14d (reminder)',
    because: 'due',
  },
  'a second later the same is owed': { now: '-14d +1s', is: 'renew link by reauth and -14d (reminder)' },
  'imported nine days before: the latest passed rung once': {
    now: '-9d',
    is: 'renew link by reauth and -14d (reminder)',
  },
  'imported a second before the expiry: the day-before rung': {
    now: '-1s',
    is: 'renew link by reauth and -1d (reminder)',
    because: 'due',
  },
  'imported at the expiry': { now: '0d', is: 'renew link by reauth and 0d (reminder)', because: 'in-grace' },
  'imported in the middle of grace: the latest rung alone': {
    now: '+45d',
    is: 'renew link by reauth and +30d (reminder)',
    because: 'in-grace',
  },
  'a second before the end of grace': { now: '+90d -1s', is: 'renew link by reauth and +83d (reminder)' },
  'at the end of grace it lapses': { now: '+90d', is: 'lapse' },
  'long after it lapses': { now: '+400d', is: 'lapse' },
})

tableOf('the state of the consent comes first, whatever is due', {
  paused: { consent: { status: 'paused' }, now: '-7d', is: 'none', because: 'paused' },
  quarantined: { consent: { status: 'quarantined' }, now: '-7d', is: 'none', because: 'quarantined' },
  lapsed: { consent: { status: 'lapsed' }, now: '+91d', is: 'none', because: 'lapsed' },
  revoked: { consent: { status: 'revoked' }, now: '-7d', is: 'none' },
  'opted out': { consent: { status: 'opted_out' }, now: '-7d', is: 'none' },
  superseded: { consent: { status: 'superseded' }, now: '-7d', is: 'none' },
  unsupported: { consent: { status: 'unsupported' }, now: '-7d', is: 'none' },
  'paused and a person asks': { consent: { status: 'paused' }, manual: true, now: '-7d', is: 'none' },
})

const coded = (
  status: 'code_received' | 'exchanging' | 'verifying' | 'in_doubt' | 'awaiting_date',
  received: string,
) => [aLink('-10d'), aLink(received, { status, handedOutAt: at(received), codeReceivedAt: at(received) })]
const first = [aMessage('-14d', '-14d')]

tableOf('an exchange in progress comes before messages, links and lapsing', {
  'a code received': {
    links: coded('code_received', '-7d'),
    messages: first,
    now: '-7d',
    is: 'wait -7d +10m',
    because: 'code_received',
  },
  'being exchanged': {
    links: coded('exchanging', '-7d'),
    messages: first,
    now: '-7d',
    is: 'wait -7d +10m',
    because: 'exchanging',
  },
  'being verified': {
    links: coded('verifying', '-7d'),
    messages: first,
    now: '-7d',
    is: 'wait -7d +10m',
    because: 'verifying',
  },
  'being verified when grace has ended': { links: coded('verifying', '+90d -1m'), now: '+90d', is: 'wait +90d +10m' },
  'unknown, and grace has ended': {
    links: coded('in_doubt', '+90d -1m'),
    now: '+90d',
    is: 'wait +91d +119m',
    because: 'in doubt',
  },
  'unknown: nothing until an hour after the last poll for a late date': {
    links: coded('in_doubt', '-7d'),
    messages: first,
    now: '-7d +1m',
    is: 'wait -6d +2h',
    because: 'in doubt',
  },
  'unknown: nothing until the last second of it': {
    links: coded('in_doubt', '-7d'),
    messages: first,
    now: '-6d +7199s',
    is: 'wait -6d +2h',
  },
  'unknown after that: the ladder goes on, honestly worded': {
    links: coded('in_doubt', '-7d'),
    messages: first,
    now: '-6d +2h',
    is: 'renew -7d (uncertain)',
  },
  'unknown, and a person asks: the same': {
    renewal: { manualNo: 1 },
    links: coded('in_doubt', '-7d'),
    messages: first,
    manual: true,
    now: '-7d +1m',
    is: 'wait -6d +2h',
  },
  'unknown to the last second of grace': {
    links: coded('in_doubt', '+89d -2h'),
    now: '+90d -1s',
    is: 'wait +90d',
  },
  'unknown for so long, and grace is over: it lapses': {
    links: coded('in_doubt', '+89d -2h'),
    now: '+90d',
    is: 'lapse',
  },
  'a date that may come late: nothing meanwhile': {
    links: coded('awaiting_date', '-7d'),
    messages: first,
    now: '-7d +11m',
    is: 'wait -6d +2h',
    because: 'the new date of a renewal may come up to a day late',
  },
  'a date that may come late: nothing a second before the end': {
    links: coded('awaiting_date', '-7d'),
    messages: first,
    now: '-6d +7199s',
    is: 'wait -6d +2h',
  },
  'a date that nobody could ask for: the ladder goes on, honestly worded': {
    links: coded('awaiting_date', '-7d'),
    messages: first,
    now: '-6d +2h',
    is: 'renew -7d (uncertain)',
  },
  'a date that may come late, and a person asks: the same': {
    renewal: { manualNo: 1 },
    links: coded('awaiting_date', '-7d'),
    messages: first,
    manual: true,
    now: '-7d +11m',
    is: 'wait -6d +2h',
  },
  'a date that may come late, and grace has ended: lapsing waits': {
    links: coded('awaiting_date', '+90d -1m'),
    now: '+90d',
    is: 'wait +91d +119m',
    because: 'may come up to a day late',
  },
  'a date that nobody could ask for, and grace has ended: it lapses': {
    links: coded('awaiting_date', '+90d -1m'),
    now: '+91d +119m',
    is: 'lapse',
  },
  'the last poll for the date brought no answer: until an hour after it is repeated': {
    links: coded('awaiting_date', '-7d').map((link) => ({ ...link, nextActionAt: at('-6d +125m') })),
    messages: first,
    now: '-6d +2h',
    is: 'wait -6d +185m',
  },
  'the last poll about a doubt brought no answer, and grace has ended: lapsing waits for its repetition': {
    links: coded('in_doubt', '+90d -1m').map((link) => ({ ...link, nextActionAt: at('+91d +2h') })),
    now: '+91d +119m',
    is: 'wait +91d +3h',
  },
  'polls have brought no answer for a whole day more: nothing waits for them any longer': {
    links: coded('awaiting_date', '-7d').map((link) => ({ ...link, nextActionAt: at('-5d +61m') })),
    messages: first,
    now: '-6d +2h',
    is: 'renew -7d (uncertain)',
  },
  'two codes: until after the later one': {
    links: [...coded('awaiting_date', '-7d'), ...coded('awaiting_date', '-7d +3h')],
    messages: first,
    now: '-6d +2h',
    is: 'wait -6d +5h',
  },
  'two codes, and the later one has ended: the earlier one, which waited for it, comes first': {
    links: [
      ...coded('awaiting_date', '-7d'),
      aLink('-7d +3h', { status: 'refused', codeReceivedAt: at('-7d +3h'), closedAt: at('-6d +4h') }),
    ],
    renewal: { againNo: 1, againReason: 'asked-again' },
    messages: first,
    now: '-6d +4h',
    is: 'wait -6d +5h',
  },
  'refused: no reason to wait': {
    links: [aLink('-10d', { status: 'refused', codeReceivedAt: at('-10d') })],
    messages: first,
    now: '-10d',
    is: 'wait -7d',
  },
})

const left = (handedOut: string) => [aLink('-14d'), aLink(handedOut, { handedOutAt: at(handedOut) })]
tableOf('a user at the bank is left alone for half an hour', {
  'just left': { links: left('-7d -1m'), messages: first, now: '-7d', is: 'wait -7d +29m', because: 'bank' },
  'a second before the half hour': { links: left('-7d'), messages: first, now: '-7d +1799s', is: 'wait -7d +30m' },
  'at the half hour the rung is owed': {
    links: left('-7d'),
    messages: first,
    now: '-7d +30m',
    is: 'renew -7d (reminder)',
  },
  'left twice: counted from the later one': {
    links: [...left('-7d -20m'), aLink('-7d', { handedOutAt: at('-7d -5m') })],
    messages: first,
    now: '-7d',
    is: 'wait -7d +25m',
  },
  'denied at the bank: back already': {
    links: [aLink('-14d'), aLink('-7d', { status: 'refused', handedOutAt: at('-7d') })],
    messages: first,
    now: '-7d',
    is: 'renew -7d (reminder)',
  },
  'at the end of grace: lapsing waits': { links: left('+90d -1m'), now: '+90d', is: 'wait +90d +29m' },
  'a person asks: still left alone': {
    links: left('-7d'),
    messages: first,
    manual: true,
    now: '-7d',
    is: 'wait -7d +30m',
  },
})

const DE = { country: 'DE', providerId: 'xs2a-sparkasse' }
tableOf('what the bank allows', {
  'outside the UK no route: closed as unsupported when due': { consent: DE, now: '-14d', is: 'close-unsupported' },
  'not before it is due': { consent: DE, now: '-14d -1s', is: 'wait -14d' },
  'outside the UK with route full': {
    consent: DE,
    policy: { providers: { DE: { routes: ['full'] } } },
    now: '-14d',
    is: 'renew link by full and -14d (reminder)',
  },
  'auth inputs: reauth is left out': {
    consent: DE,
    policy: { routes: ['reauth', 'full'], providers: { DE: { reauth: 'auth-inputs' } } },
    now: '-14d',
    is: 'renew link by full and -14d (reminder)',
  },
  'auth inputs and reauth alone: unsupported': {
    policy: { providers: { 'uk-ob-monzo': { reauth: 'auth-inputs' } } },
    now: '-14d',
    is: 'close-unsupported',
  },
  'both routes, in their order': {
    policy: { routes: ['reauth', 'full'] },
    now: '-14d',
    is: 'renew link by reauth/full and -14d (reminder)',
  },
  'a cycle that went to full stays there': {
    policy: { routes: ['reauth', 'full'] },
    renewal: { route: 'full' },
    links: [aLink('-14d')],
    messages: first,
    now: '-7d',
    is: 'renew link by full and -7d (reminder)',
  },
  'full no longer allowed: what is': {
    renewal: { route: 'full' },
    links: [aLink('-14d')],
    messages: first,
    now: '-7d',
    is: 'renew link by reauth and -7d (reminder)',
  },
  'a shorter grace ends sooner': {
    policy: { providers: { GB: { grace: Duration.fromObject({ days: 10 }) } } },
    now: '+10d',
    is: 'lapse',
  },
})

tableOf('no address', {
  'listed, looked at again when it lapses': {
    consent: { email: undefined },
    now: '-14d',
    is: 'wait +90d',
    because: 'no-channel',
  },
  'past grace it lapses': { consent: { email: undefined }, now: '+90d', is: 'lapse' },
})

const silent = { channels: [], email: undefined }
tableOf('never messaged, by the word of the company', {
  'a second before the window it waits, like any other': {
    consent: silent,
    now: '-14d -1s',
    is: 'wait -14d',
    because: 'healthy',
  },
  'at the window the cycle opens with a link alone': { consent: silent, now: '-14d', is: 'renew link by reauth' },
  'with an address it is the same': { consent: { channels: [] }, now: '-14d', is: 'renew link by reauth' },
  'after that no rung is owed: the next proof': {
    consent: silent,
    links: [aLink('-14d')],
    now: '-14d',
    is: 'wait -7d',
    because: 'next proof',
  },
  'at the proof': { consent: silent, links: [aLink('-14d')], now: '-7d', is: 'renew link by reauth' },
  'at the expiry': { consent: silent, links: [aLink('-1d')], now: '0d', is: 'renew link by reauth' },
  'a user who came back in vain is not told': {
    consent: silent,
    renewal: { againNo: 1 },
    links: [aLink('-10d')],
    now: '-9d',
    is: 'wait -3d',
  },
  'after the last proof it lapses at the end of grace': {
    consent: silent,
    links: [aLink('+85d')],
    now: '+86d',
    is: 'wait +90d',
    because: 'never messaged',
  },
  'past grace it lapses, and nobody is asked once more': {
    consent: silent,
    policy: { afterGrace: 'ask-once', routes: ['reauth', 'full'] },
    now: '+90d',
    is: 'lapse',
  },
  'by a channel that has no address: no-channel, as ever': {
    consent: { channels: ['email'], email: undefined },
    now: '-14d',
    is: 'wait +90d',
    because: 'no-channel',
  },
})

const beyond = { email: 'zażółć@mail.test' }
const turnedDown = [aMessage('-14d', '-14d', { status: 'failed', errorCode: 'no-channel' })]
tableOf('an address that our mail server does not take', {
  'not tried yet: asked like any other': {
    consent: beyond,
    now: '-14d',
    is: 'renew link by reauth and -14d (reminder)',
  },
  'turned down: listed, and tried again with the next message': {
    consent: beyond,
    links: [aLink('-14d')],
    messages: turnedDown,
    now: '-14d',
    is: 'wait -7d',
    because: 'no-channel: our mail server takes no address like this user’s',
  },
  'a second before the next rung': {
    consent: beyond,
    links: [aLink('-14d')],
    messages: turnedDown,
    now: '-7d -1s',
    is: 'wait -7d',
    because: 'no-channel',
  },
  'at the next rung: tried again': {
    consent: beyond,
    links: [aLink('-14d')],
    messages: turnedDown,
    now: '-7d',
    is: 'renew link by reauth and -7d (reminder)',
  },
  'asked for by hand: tried again': {
    consent: beyond,
    renewal: { manualNo: 1 },
    links: [aLink('-14d')],
    messages: turnedDown,
    now: '-13d',
    is: 'renew manual-1 (reminder)',
  },
  'after the last rung: until it lapses': {
    consent: beyond,
    links: [aLink('+83d')],
    messages: [aMessage('+83d', '+83d', { status: 'failed', errorCode: 'no-channel' })],
    now: '+83d +1s',
    is: 'wait +90d',
    because: 'no-channel',
  },
  'another address since: like any other': {
    links: [aLink('-14d')],
    messages: turnedDown,
    now: '-14d',
    is: 'wait -7d',
    because: 'next message',
  },
  'taken since: like any other': {
    consent: beyond,
    links: [aLink('-7d')],
    messages: [...turnedDown, aMessage('-7d', '-7d')],
    now: '-7d',
    is: 'wait -3d',
    because: 'next message',
  },
  'failed for another reason: like any other': {
    consent: beyond,
    links: [aLink('-14d')],
    messages: [aMessage('-14d', '-14d', { status: 'failed', errorCode: 'message-refused' })],
    now: '-14d',
    is: 'wait -7d',
    because: 'next message',
  },
})

const failed = { retryAfter: at('-13d'), failedAttempts: 2, lastErrorCode: 'link-rejected' }
tableOf('a record that backs off', {
  rests: { consent: failed, now: '-14d', is: 'wait -13d', because: 'link-rejected (attempt 2)' },
  'waits for a token': {
    consent: { ...failed, lastErrorCode: 'token-rejected', tokenRejectedAt: at('-15d') },
    now: '-14d',
    is: 'wait -13d',
    because: 'waiting for a token',
  },
  'rests after a first rejection of its token': {
    consent: { ...failed, lastErrorCode: 'token-rejected' },
    now: '-14d',
    is: 'wait -13d',
    because: 'token-rejected (attempt 2)',
  },
  'to the last second': { consent: failed, now: '-13d -1s', is: 'wait -13d' },
  'and is tried at its date': { consent: failed, now: '-13d', is: 'renew link by reauth and -14d (reminder)' },
  'or when a person asks': {
    consent: failed,
    manual: true,
    now: '-14d',
    is: 'renew link by reauth and -14d (reminder)',
  },
  'never past the end of grace': {
    consent: { ...failed, retryAfter: at('+91d') },
    links: [aLink('+83d')],
    now: '+90d -1h',
    is: 'wait +90d',
  },
  'not at all when grace has ended': { consent: { ...failed, retryAfter: at('+91d') }, now: '+90d', is: 'lapse' },
})
