// The records of a small, sound run, with one violation planted at a time: the checks must name each by its invariant's
// number and its record.
import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import type { Entry } from '../../simulator/src/ledger.ts'
import { sha256Hex } from '../../src/crypto/hashing.ts'
import { Secret } from '../../src/secret.ts'
import type { Books } from './books.ts'
import { faults } from './faults.ts'
import { askEveryCheck } from './invariants.ts'
import { LAST_DOUBTS, notJudged } from './invariants/asked.ts'
import { EMPTIED } from './invariants/renewals.ts'
import type { OperatorAct } from './operators.ts'
import type {
  AuthorisationRecord,
  Claim,
  ConsentRecord,
  NotificationRecord,
  Records,
  RenewalRecord,
} from './records.ts'
import { asFaults, OWN } from './stalls.ts'
import type { Hindrance, Struck } from './struck.ts'
import type { Attempt, Return, Tampered } from './way-back.ts'

const at = (minutes: number): Date => new Date(Date.UTC(2027, 0, 1, 12) + minutes * 60_000)
const entry = (seq: number, minutes: number, over: Omit<Entry, 'seq' | 'at'>): Entry => ({
  seq,
  at: at(minutes).toISOString(),
  ...over,
})

const user = {
  no: 1,
  credentialsId: 'connection',
  email: 'a@planted.example',
  kind: 'renews',
  refreshToken: 'token',
  expiresAt: DateTime.utc(),
  switches: {},
} as const
const consent: ConsentRecord = {
  id: 'consent',
  credentials_id: 'connection',
  status: 'active',
  cycle: 2,
  email: null,
  expires_at: at(500),
  refresh_token: 'token',
  token_version: 1,
  candidate_token: null,
  candidate_version: null,
  next_action_at: at(900),
  last_error_code: null,
}
const renewal: RenewalRecord = { id: 'renewal', consent_id: 'consent', cycle: 1, status: 'renewed', closed_at: at(20) }
const authorisation: AuthorisationRecord = {
  id: 'authorisation',
  consent_id: 'consent',
  renewal_id: 'renewal',
  route: 'reauth',
  status: 'renewed',
  state: sha256Hex('state'),
  done_id: 'done',
  error_code: null,
  expires_at: at(1440),
  handed_out_at: at(8),
  code_received_at: at(10),
  exchange_started_at: at(11),
  closed_at: at(20),
  pending_refresh_token: null,
}
const notification: NotificationRecord = {
  id: 'notification',
  consent_id: 'consent',
  renewal_id: 'renewal',
  cycle: 1,
  rung: '-14d',
  status: 'sent',
  created_at: at(0),
  sending_at: at(1),
  repeated_at: null,
  next_action_at: null,
}
const back: Return = {
  user,
  as: 'approve',
  state: 'state',
  code: 'code',
  codeNo: 1,
  at: at(10),
  how: 'once',
  doneId: 'done',
  answeredAt: at(10),
}
const mail = entry(1, 2, { what: 'mail', outcome: 'ok', message_id: 'notification@127.0.0.1', to: [user.email] })
const exchange = entry(2, 12, { what: 'exchange', outcome: 'ok', credentials_id: 'connection', code_no: 1 })

const given = entry(0, 10, { what: 'code', outcome: 'ok', credentials_id: 'connection', code_no: 1 })
/** A fault as the nemesis logs it, in minutes. */
const struck = (hinders: readonly Hindrance[], from: number, to: number, over: Partial<Struck> = {}): Struck => ({
  name: `no ${hinders.join(', ')}`,
  hinders,
  from: at(from).getTime(),
  to: at(to).getTime(),
  happened: 1,
  problem: undefined,
  ...over,
})
/** One of the nemesis's own faults, with the hindrances that it declares. */
const strike = (name: string, from: number, to: number, over: Partial<Struck> = {}): Struck => {
  const fault = faults[name]
  if (fault === undefined) throw new Error(`there is no fault "${name}"`)
  return struck(fault.hinders, from, to, { name, each: fault.each, ...over })
}
/** A stall of this process, in minutes. */
const stalled = (who: string, from: number, to: number): Struck[] =>
  asFaults([{ who, from: at(from).getTime(), to: at(to).getTime() }], [])
const attempt: Attempt = { user, from: at(9).getTime(), to: at(10).getTime(), got: 'taken' }

const act: OperatorAct = {
  what: 'pause',
  consentId: 'consent',
  from: at(0).getTime(),
  to: at(0).getTime(),
  answer: 'done',
  underWay: true,
}
const acted = (what: OperatorAct['what'], minutes: number, over: Partial<OperatorAct> = {}): Partial<OperatorAct> => ({
  what,
  from: at(minutes).getTime(),
  to: at(minutes).getTime(),
  ...over,
})

interface Planted {
  readonly log?: readonly Struck[]
  readonly doubt?: Date
  readonly attempts?: readonly Attempt[]
  readonly leftOut?: boolean
  readonly acts?: readonly Partial<OperatorAct>[]
  readonly foreign?: readonly Tampered[]
  readonly forged?: readonly Tampered[]
  /** How many users had this same story. */
  readonly copies?: number
  readonly consent?: Partial<ConsentRecord>
  readonly renewal?: Partial<RenewalRecord>
  readonly authorisation?: Partial<AuthorisationRecord>
  readonly notification?: Partial<NotificationRecord>
  readonly back?: Partial<Return>
  readonly ledger?: readonly Entry[]
  readonly bankLinks?: ReadonlyMap<string, number>
  readonly intents?: readonly Date[]
  readonly issued?: string
  readonly told?: Date
  readonly expiresAt?: Date
  /** Who claimed the consent and the authorisation. */
  readonly claims?: readonly Claim[]
  readonly clock?: { readonly shownAt: (real: number) => number }
}

const booksWith = (planted: Planted = {}): Books => {
  const ledger = planted.ledger ?? [mail, exchange]
  const rows = {
    consent: { ...consent, ...planted.consent },
    renewal: { ...renewal, ...planted.renewal },
    authorisation: { ...authorisation, ...planted.authorisation },
    notification: { ...notification, ...planted.notification },
  }
  const exchanges = ledger.filter(({ what, code_no: no }) => what === 'exchange' && no !== undefined)
  const rotated = ledger.find(({ what }) => what === 'rotated')
  const records: Records = {
    consents: [rows.consent],
    renewals: new Map([['renewal', rows.renewal]]),
    renewalsOf: new Map([['consent', [rows.renewal]]]),
    authorisations: [rows.authorisation],
    authorisationsOf: new Map([['renewal', [rows.authorisation]]]),
    byState: new Map([[rows.authorisation.state, rows.authorisation]]),
    notifications: new Map([['notification', rows.notification]]),
    notificationsOfRenewal: new Map([['renewal', [rows.notification]]]),
    ledger,
    intents: new Map([['authorisation', planted.intents ?? [at(11)]]]),
    doubts: new Map(planted.doubt === undefined ? [] : [['authorisation', planted.doubt]]),
    codesGiven: new Map([[1, given]]),
    rotations: new Map(rotated === undefined ? [] : [['connection', rotated]]),
    linkFailures: new Map(),
    toldRejected: new Map(planted.told === undefined ? [] : [['consent', planted.told]]),
    claims: new Map(['consent', 'authorisation'].map((id) => [id, planted.claims ?? []])),
    sends: Map.groupBy(exchanges, ({ code_no: no }) => no ?? 0),
  }
  const connection = {
    credentialsId: 'connection',
    refreshToken: planted.issued ?? 'token',
    dates: { expiresAt: DateTime.fromJSDate(planted.expiresAt ?? at(500)) },
  }
  const other = { ...connection, credentialsId: 'other', refreshToken: 'token of another' }
  const rig = {
    clock: {
      realAt: (instant: Date) => instant.getTime(),
      shownAt: (real: number) => real,
      jumpedWithin: () => false,
      ...planted.clock,
    },
    simulator: {
      connection: (id: string) => (id === 'connection' ? connection : undefined),
      connections: () => [connection, other],
    },
    vault: {
      open: (sealed: string) => {
        if (sealed === 'broken') throw new Error('does not decrypt')
        return new Secret(sealed)
      },
    },
  }
  const returns = Array.from({ length: planted.copies ?? 1 }, () => ({ ...back, ...planted.back }))
  const crowd = {
    bankLinks: planted.bankLinks ?? new Map([['http://bank/1', 1]]),
    attempts: planted.attempts ?? [attempt],
    leftOut: new Set(planted.leftOut === true ? [user] : []),
    mailed: new Set([user]),
    foreign: planted.foreign ?? [],
    forged: planted.forged ?? [],
  }
  const acts = (planted.acts ?? []).map((one) => ({ ...act, ...one }))
  const run = { acts, log: planted.log ?? [], workers: 1, endedAt: at(120).getTime(), backlogs: [] }
  return { rig, returns, records, crowd, users: [user], ...run } as unknown as Books
}

const named = (planted: Planted): string[] =>
  askEveryCheck(booksWith(planted)).flatMap(({ violations }) =>
    violations.map(({ invariant, record }) => `${invariant}: ${record}`),
  )

const again = (minutes: number, over: Partial<Entry> = {}): Entry =>
  entry(3, minutes, { what: 'exchange', outcome: 'invalid_authorization_code', code_no: 1, ...over })

/** A user whose attempt was refused as not renewed at minute 20, and who was asked again in the same minute. */
const askedAgain = {
  renewal: { status: 'open', closed_at: null },
  authorisation: { status: 'refused', error_code: 'not-renewed' },
  notification: { created_at: at(20), sending_at: at(20) },
} as const
const lateMail = entry(1, 20, { what: 'mail', outcome: 'ok', message_id: 'notification@127.0.0.1', to: [user.email] })
const neverSent = { ...askedAgain, leftOut: true, ledger: [lateMail], doubt: at(12) }
const tooOld = {
  ...askedAgain,
  leftOut: true,
  authorisation: { status: 'refused', error_code: 'code-too-old' },
  ledger: [lateMail],
  intents: [],
} as const
const workerOne = 'worker-1:77'
/** The answer was a 429, and yet the exchange was in doubt: the worker that had it in hand stood still. */
const limitedInHand = {
  ...askedAgain,
  leftOut: true,
  doubt: at(12.1),
  ledger: [lateMail, again(12, { outcome: 'not-processed', fault: 'rate-limited' })],
  claims: [{ who: workerOne, at: at(10.9) }],
} as const
const lateAsked = {
  ...neverSent,
  notification: { created_at: at(21), sending_at: at(21) },
  ledger: [{ ...lateMail, at: at(21).toISOString() }],
} as const
const lapsed = {
  consent: { status: 'lapsed' },
  renewal: { status: 'lapsed', closed_at: at(15) },
  back: { as: 'deny' },
} as const
const question = (seq: number, minutes: number): Entry =>
  entry(seq, minutes, { what: 'exchange', outcome: 'invalid_authorization_code' })
const rejected = (seq: number): Entry => entry(seq, 1, { what: 'refresh', outcome: 'invalid_client' })

describe('the books of a run', () => {
  test('a sound run breaks nothing', () => {
    expect(named({})).toEqual([])
  })

  const corruptions: Record<string, { planted: Planted; names: string }> = {
    'a code sent again after its answer': {
      planted: { ledger: [mail, exchange, again(13)], intents: [at(11), at(12)] },
      names: '2: code 1 of connection',
    },
    'a code sent again after a time-out': {
      planted: {
        ledger: [
          mail,
          entry(2, 12, { what: 'exchange', outcome: 'not-processed', code_no: 1, fault: 'reset-before' }),
          again(13, { outcome: 'ok' }),
        ],
        intents: [at(11), at(12)],
      },
      names: '2: code 1 of undefined',
    },
    'tokens revoked by the provider': {
      planted: {
        ledger: [
          mail,
          exchange,
          entry(3, 14, { what: 'revoked', outcome: 'ok', credentials_id: 'connection', detail: 'code_reused' }),
        ],
      },
      names: '2: connection connection',
    },
    'a callback answered before its commit': {
      planted: {
        renewal: { status: 'open', closed_at: null },
        authorisation: { status: 'issued', code_received_at: null, closed_at: null },
      },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'an approval that nobody was told about': {
      planted: {
        renewal: { status: 'open', closed_at: null },
        authorisation: { status: 'refused', error_code: 'not-renewed' },
        ledger: [mail, again(12)],
      },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'a renewal at the provider that we gave up': {
      planted: {
        renewal: { status: 'open', closed_at: null },
        authorisation: { status: 'refused', error_code: 'not-renewed' },
        notification: { created_at: at(30), sending_at: at(1) },
      },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'asked again without a fault': {
      planted: {
        renewal: { status: 'lapsed' },
        authorisation: { status: 'refused', error_code: 'code-too-old' },
        ledger: [mail],
      },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'never sent, and only the mail server was away': {
      planted: { ...neverSent, log: [struck(['mail'], 0, 60)] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'never sent, and the process died too late for it': {
      planted: { ...neverSent, log: [struck(['workers'], 13, 14)] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'never sent, and the fault did not happen': {
      planted: { ...neverSent, log: [struck(['workers'], 11, 14, { happened: 0 })] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'more users asked again than a death can have met': {
      planted: { ...neverSent, log: [struck(['workers'], 11, 12)], copies: 14 },
      names: `3: fault no workers at ${at(11).getTime()}`,
    },
    'two users asked again for one lost answer': {
      planted: {
        ...askedAgain,
        doubt: at(13),
        copies: 2,
        ledger: [
          lateMail,
          entry(2, 12, { what: 'exchange', outcome: 'not-processed', code_no: 1, fault: 'reset-before' }),
        ],
      },
      names: '3: fault reset-before at request 2',
    },
    'never sent while the provider itself failed, which its ledger would tell': {
      planted: { ...neverSent, log: [strike('500 before and after processing', 11, 12)] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'in doubt over an answer without a fault, while others met one': {
      planted: {
        ...askedAgain,
        doubt: at(13),
        ledger: [lateMail, again(12)],
        log: [strike('reset after processing', 11, 13)],
      },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'never sent, and the database was only late': {
      planted: { ...neverSent, log: [strike('PostgreSQL late', 11, 12)] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'in doubt over an answer that came while the database was only late': {
      planted: {
        ...askedAgain,
        doubt: at(13),
        ledger: [lateMail, again(12)],
        log: [strike('PostgreSQL late', 11, 13)],
      },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'a code that died while the database was only late': {
      planted: { ...tooOld, log: [strike('PostgreSQL late', 10, 16)] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'in doubt over an answer that was slow, but came in time': {
      planted: { ...askedAgain, doubt: at(13), ledger: [lateMail, again(12, { fault: 'slow', late_ms: 900 })] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'in doubt over an answer that dripped, but came in time': {
      planted: { ...askedAgain, doubt: at(13), ledger: [lateMail, again(12, { fault: 'drip', late_ms: 1_400 })] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'more users asked again than connections to the provider were cut': {
      planted: { ...neverSent, log: [strike('connections to the provider cut', 11, 12)], copies: 2 },
      names: `3: fault connections to the provider cut at ${at(11).getTime()}`,
    },
    'more users asked again than were in flight when the database went away, however often that was met': {
      planted: { ...neverSent, log: [strike('PostgreSQL unreachable', 11, 12, { happened: 500 })], copies: 14 },
      names: `3: fault PostgreSQL unreachable at ${at(11).getTime()}`,
    },
    'more users asked again than a death and a cut together can have met': {
      planted: {
        ...neverSent,
        log: [struck(['workers'], 11, 12), strike('connections to the provider cut', 11.5, 12, { happened: 2 })],
        copies: 16,
      },
      names: `3: fault no workers at ${at(11).getTime()}`,
    },
    'in doubt over a 429 while another process stood still': {
      planted: { ...limitedInHand, log: stalled('worker-2:78', 12, 12.05) },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'in doubt over a 429 while a later process of the same seat stood still': {
      planted: { ...limitedInHand, log: stalled('worker-1:78', 12, 12.05) },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'in doubt over a 429 whose worker stood still before it and long after': {
      planted: { ...limitedInHand, log: [...stalled(workerOne, 11.9, 11.99), ...stalled(workerOne, 12.2, 13)] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'in doubt over a 429 while the worker stood still that took it over later': {
      planted: {
        ...limitedInHand,
        claims: [...limitedInHand.claims, { who: 'worker-2:78', at: at(12.02) }],
        log: stalled('worker-2:78', 12, 12.05),
      },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'more users asked again than a stalled worker can have had in hand': {
      planted: { ...limitedInHand, log: stalled(workerOne, 12, 12.05), copies: 14 },
      names: `3: fault a process stalled (${workerOne}) at ${at(12).getTime()}`,
    },
    'a code that died while its worker stood still for a moment': {
      planted: { ...tooOld, claims: [{ who: workerOne, at: at(10.5) }], log: stalled(workerOne, 11, 11.1) },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'asked again late, while only a web process stood still': {
      planted: { ...lateAsked, log: [struck(['workers'], 11, 12), ...stalled('web-1:70', 20, 21)] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'a user who got no page while only a worker stood still': {
      planted: { ...lapsed, log: stalled(workerOne, 9, 10), attempts: [{ ...attempt, got: 'no page' }] },
      names: '9: consent consent',
    },
    'in doubt although the answer met no fault': {
      planted: { ...askedAgain, doubt: at(13), ledger: [lateMail, again(12)] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'a code that died after an outage had ended': {
      planted: { ...tooOld, log: [struck(['database'], 10, 12)] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'a code that died while one of the workers was away': {
      planted: { ...tooOld, log: [struck(['workers'], 0, 20)] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'a code that died while the queue was away': {
      planted: { ...tooOld, log: [struck(['queue'], 0, 20)] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'asked again an hour late': {
      planted: {
        ...neverSent,
        log: [struck(['workers'], 11, 12)],
        notification: { created_at: at(80), sending_at: at(80) },
        ledger: [{ ...lateMail, at: at(80).toISOString() }],
      },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'a full authentication given up although its answer came': {
      planted: {
        ...askedAgain,
        authorisation: { status: 'refused', error_code: 'exchange-in-doubt', route: 'full' },
        doubt: at(13),
        ledger: [lateMail, exchange],
      },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'asked again without a reason, and renewed by a later code': {
      planted: { ...tooOld, renewal: { status: 'renewed', closed_at: at(60) } },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'an answer to a callback whose code was not taken': {
      planted: {
        renewal: { status: 'open', closed_at: null },
        authorisation: { status: 'expired', code_received_at: null, closed_at: null },
        ledger: [mail],
      },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'a callback answered for an authorisation that is gone': {
      planted: { back: { state: 'another' } },
      names: '3: user 1',
    },
    'a token that does not decrypt': { planted: { consent: { refresh_token: 'broken' } }, names: '4: consent consent' },
    'the token of another connection': {
      planted: { consent: { refresh_token: 'token of another' } },
      names: '4: consent consent',
    },
    'a candidate that does not decrypt': {
      planted: { consent: { candidate_token: 'broken', candidate_version: 1 } },
      names: '4: consent consent',
    },
    'a candidate that is the token of another connection': {
      planted: { consent: { candidate_token: 'token of another', candidate_version: 1 } },
      names: '4: consent consent',
    },
    'an old token, and a pending one with an attempt that has ended': {
      planted: { issued: 'a newer token', authorisation: { pending_refresh_token: 'a newer token' } },
      names: '4: consent consent',
    },
    'an old token, of which the company was told before the provider replaced it once more': {
      planted: {
        issued: 'a newer token',
        told: at(11),
        ledger: [
          mail,
          entry(2, 12, { what: 'rotated', outcome: 'ok', credentials_id: 'connection' }),
          { ...exchange, seq: 3 },
        ],
      },
      names: '4: consent consent',
    },
    'an old token': { planted: { issued: 'a newer token' }, names: '4: consent consent' },
    'a renewal that was never recorded': { planted: { expiresAt: at(90 * 24 * 60) }, names: '5: consent consent' },
    'a mail delivered twice': {
      planted: { ledger: [mail, exchange, { ...mail, seq: 3 }] },
      names: '6: notification notification',
    },
    'an uncertain mail delivered twice': {
      planted: { notification: { status: 'uncertain' }, ledger: [mail, exchange, { ...mail, seq: 3 }] },
      names: '6: notification notification',
    },
    'a repeated mail delivered a third time': {
      planted: {
        notification: { repeated_at: at(3) },
        ledger: [mail, exchange, { ...mail, seq: 3, at: at(4).toISOString() }, { ...mail, seq: 4 }],
      },
      names: '6: notification notification',
    },
    'a mail delivered twice, before it was repeated': {
      planted: { notification: { repeated_at: at(5) }, ledger: [mail, exchange, { ...mail, seq: 3 }] },
      names: '7: notification notification',
    },
    'a mail repeated after the renewal': {
      planted: { notification: { repeated_at: at(40) } },
      names: '6: notification notification',
    },
    'a mail repeated after its user had opted out': {
      planted: { acts: [acted('opt-out', 2)], notification: { repeated_at: at(5) } },
      names: '6: notification notification',
    },
    'a mail whose repetition was due and never came': {
      planted: { notification: { status: 'sending', next_action_at: at(119) }, ledger: [mail, exchange] },
      names: '6: notification notification',
    },
    'a mail delivered that the mail server is said to have refused': {
      planted: { notification: { status: 'failed' } },
      names: '6: notification notification',
    },
    'a mail delivered that is said to be cancelled': {
      planted: { notification: { status: 'cancelled' } },
      names: '6: notification notification',
    },
    'a mail delivered that still waits to be sent': {
      planted: { notification: { status: 'pending' } },
      names: '6: notification notification',
    },
    'a mail that is still being sent at the end': {
      planted: { notification: { status: 'sending' }, ledger: [exchange] },
      names: '6: notification notification',
    },
    'a mail said to be sent that never left': {
      planted: { ledger: [exchange] },
      names: '6: notification notification',
    },
    'a mail committed after the renewal': {
      planted: { notification: { sending_at: at(40) }, ledger: [{ ...mail, at: at(40).toISOString() }, exchange] },
      names: '6: notification notification',
    },
    'a mail begun while its consent was paused': {
      planted: { acts: [acted('pause', 0), acted('resume', 5)] },
      names: '6: notification notification',
    },
    'a mail begun while its consent was paused for good': {
      planted: { acts: [acted('pause', 0)] },
      names: '6: notification notification',
    },
    'a mail begun after its user had opted out': {
      planted: { acts: [acted('opt-out', 0)] },
      names: '6: notification notification',
    },
    'an opting out that nobody asked for': {
      planted: { ...lapsed, consent: { status: 'opted_out' }, attempts: [] },
      names: '9: consent consent',
    },
    'a user who had a mail and never set out': { planted: { ...lapsed, attempts: [] }, names: '9: consent consent' },
    'asked again late, and paused only for a part of it': {
      planted: {
        ...neverSent,
        log: [struck(['workers'], 11, 12)],
        acts: [acted('pause', 21), acted('resume', 70)],
        notification: { created_at: at(80), sending_at: at(80) },
        ledger: [{ ...lateMail, at: at(80).toISOString() }],
      },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'a code given up before its user opted out': {
      planted: { ...tooOld, acts: [acted('opt-out', 30)] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'more users asked again than connections were cut': {
      planted: { ...neverSent, log: [struck(['database'], 11, 12, { each: 'call' })], copies: 2 },
      names: `3: fault no database at ${at(11).getTime()}`,
    },
    'a mail without an intent': {
      planted: { notification: { sending_at: null } },
      names: '7: notification notification',
    },
    'a code sent before its intent': { planted: { intents: [at(13)] }, names: '7: authorisation authorisation' },
    'a link handed out twice': { planted: { bankLinks: new Map([['http://bank/1', 2]]) }, names: '7: bank link /1…' },
    'a token rotated without a fault': {
      planted: {
        issued: 'a newer token',
        ledger: [
          mail,
          entry(2, 12, { what: 'rotated', outcome: 'ok', credentials_id: 'connection' }),
          { ...exchange, seq: 3 },
        ],
      },
      names: '4: consent consent',
    },
    'a renewal by the code of another': {
      planted: { foreign: [{ user, state: 'state', codeNo: 1 }] },
      names: '5: authorisation authorisation',
    },
    'a made-up code sent without a reason': {
      planted: { ledger: [mail, exchange, question(3, 13)] },
      names: '7: request 3 with a code that no bank gave',
    },
    'two questions within a minute': {
      planted: { ledger: [mail, exchange, rejected(3), rejected(4), rejected(5), question(6, 13), question(7, 13)] },
      names: '7: request 7 with a code that no bank gave',
    },
    'a forged code sent before its intent': {
      planted: { forged: [{ user, state: 'state', codeNo: undefined }], ledger: [mail, question(3, 9)] },
      names: '7: request 3 with a code that no bank gave',
    },
    'a user who wanted to renew and could not': {
      planted: { renewal: { status: 'open', closed_at: null }, back: { as: 'deny' } },
      names: '9: consent consent',
    },
    'a user who got no page although nothing failed': {
      planted: { ...lapsed, attempts: [{ ...attempt, got: 'no page' }] },
      names: '9: consent consent',
    },
    'a user who was told there was nothing to do': {
      planted: {
        renewal: { status: 'open', closed_at: null },
        authorisation: { status: 'issued', code_received_at: null, closed_at: null },
        back: { as: 'deny' },
        leftOut: true,
        attempts: [{ ...attempt, got: 'nothing to do' }],
      },
      names: '9: consent consent',
    },
    'a user left out whose mail server was away': {
      planted: { ...lapsed, log: [struck(['mail'], 0, 60)], attempts: [{ ...attempt, got: 'no answer' }] },
      names: '9: consent consent',
    },
  }
  test.each(Object.entries(corruptions))('%s is named', (_name, { planted, names }) => {
    expect(named(planted)).toContain(names)
  })

  test('answers that prove the code untouched allow another send', () => {
    const limited = entry(2, 12, { what: 'exchange', outcome: 'not-processed', code_no: 1, fault: 'rate-limited' })
    expect(named({ ledger: [mail, limited, again(13, { outcome: 'ok' })], intents: [at(11), at(12)] })).toEqual([])
  })

  test.each([
    [900, []],
    [2500, ['2: code 1 of undefined']],
  ])('an invalid_client that comes %i ms late', (lateMs, broken) => {
    const late = entry(2, 12, {
      what: 'exchange',
      outcome: 'invalid_client',
      code_no: 1,
      fault: 'slow',
      late_ms: lateMs,
    })
    expect(named({ ledger: [mail, late, again(13, { outcome: 'ok' })], intents: [at(11), at(12)] })).toEqual(broken)
  })

  const emptied = (...minutes: readonly number[]): Struck[] =>
    minutes.map((one) => struck(['queue'], one, one, { name: EMPTIED }))
  test.each<[string, readonly Struck[], RegExp | undefined]>([
    ['never', [], /0 times/],
    ['once', emptied(3), /1 times/],
    ['with a gap', emptied(3, 4, 9), /left as it was for 300 s/],
    ['every minute', emptied(3, 4, 5, 6), undefined],
  ])('the ninth invariant says what was not shown where Redis was emptied %s', (_name, log, says) => {
    const { notShown } = askEveryCheck(booksWith({ log })).find(({ invariant }) => invariant === 9) ?? {}
    if (says === undefined) expect(notShown).toBeUndefined()
    else expect(notShown).toMatch(says)
  })

  test('sends that never got there are counted apart', () => {
    const limited = entry(2, 12, { what: 'exchange', outcome: 'not-processed', code_no: 1, fault: 'rate-limited' })
    const [codes] = askEveryCheck(
      booksWith({ ledger: [mail, limited, again(13, { outcome: 'ok' })], intents: [at(10), at(11), at(12)] }),
    )
    expect(codes?.notes).toEqual([
      expect.stringMatching(/^1 sends repeated/),
      expect.stringMatching(/^3 intents to send a code, 2 sends of those codes at the provider: 1 never got there/),
    ])
  })

  test('what was judged is told: the time, the bound of each window, and who still waited at the end', () => {
    const notesOf = (planted: Planted): readonly string[] =>
      askEveryCheck(booksWith(planted)).find(({ invariant }) => invariant === 3)?.notes ?? []
    const asked = notesOf({ ...neverSent, log: [struck(['workers'], 11, 12)] })
    expect(asked[0]).toMatch(/^1 asked again, by 1 faults, which can have met 13 exchanges at most: /)
    expect(asked.slice(1)).toEqual([
      expect.stringMatching(/^judged: 0.0 s .* of 0.0 s that passed between 1 doubts' ends/),
      expect.stringMatching(/^1 asked again, each within 0.0 s.*; 1 of them within that with nothing deducted$/),
    ])
    const open = notesOf({
      ...neverSent,
      log: [struck(['workers'], 11, 12), struck(['database'], 20, 120)],
      notification: { created_at: at(1), sending_at: at(1) },
    })
    expect(open.at(-1)).toMatch(/^1 cycles were still open at the run's end/)
  })

  const lastDoubts = struck([], 11, 13, { name: LAST_DOUBTS })
  const lostAtLast = {
    ...askedAgain,
    leftOut: true,
    doubt: at(13),
    ledger: [lateMail, again(12, { fault: 'reset-before' })],
  }
  test.each<[string, Planted, RegExp | undefined]>([
    ['nobody, as nothing failed', {}, undefined],
    [
      'who lost their answers after the healing, and were asked at once',
      { ...lostAtLast, log: [lastDoubts] },
      undefined,
    ],
    [
      'who lost their answers after the healing, behind other faults',
      {
        ...lostAtLast,
        log: [lastDoubts, struck(['database'], 20, 60)],
        notification: { created_at: at(60), sending_at: at(60) },
        ledger: [{ ...lateMail, at: at(60).toISOString() }, again(12, { fault: 'reset-before' })],
      },
      /^how soon they are asked: 0 of 1 who lost their answers after the healing/,
    ],
    [
      'who lost them before',
      { ...lostAtLast, log: [{ ...lastDoubts, from: at(13).getTime(), to: at(14).getTime() }] },
      /^how soon they are asked: nobody/,
    ],
    [
      'in time, of whom none met it',
      { ...neverSent, log: [struck(['workers'], 11, 12), lastDoubts] },
      /^how soon they are asked: nobody/,
    ],
    ['by nobody, although answers were lost', { log: [lastDoubts] }, /^how soon they are asked: nobody/],
  ])('how soon a user is asked again is shown by those %s', (_name, planted, says) => {
    const { notShown } = askEveryCheck(booksWith(planted)).find(({ invariant }) => invariant === 3) ?? {}
    if (says === undefined) expect(notShown).toBeUndefined()
    else expect(notShown).toMatch(says)
  })

  test('half of them must have been asked in time with nothing deducted', () => {
    const asked = (prompt: number, late: number): string | undefined =>
      notJudged(
        [
          ...Array.from({ length: prompt }, () => ({ as: 'asked', ms: 0, wholeMs: 4_000, isLast: true }) as const),
          ...Array.from({ length: late }, () => ({ as: 'asked', ms: 0, wholeMs: 4_001, isLast: true }) as const),
        ],
        [lastDoubts],
      )
    expect([asked(2, 2), asked(5, 0)]).toEqual([undefined, undefined])
    expect(asked(2, 3)).toMatch(/^how soon they are asked: 2 of 5/)
  })

  const excused: Record<string, Planted> = {
    'a death between the intent and the send': { ...neverSent, log: [struck(['workers'], 11, 12)] },
    'an acknowledgement that was cut before the send': { ...neverSent, log: [struck(['database'], 11, 12)] },
    'a request lost on the way': { ...neverSent, log: [strike('connections to the provider cut', 11, 12)] },
    'as many as a death can have met, while fewer connections were cut': {
      ...neverSent,
      log: [struck(['workers'], 11, 12), strike('cut acknowledgements of commits', 11, 12, { happened: 2 })],
      copies: 15,
    },
    'a slow answer that came when nobody waited any more': {
      ...askedAgain,
      leftOut: true,
      doubt: at(13),
      ledger: [lateMail, again(12, { fault: 'slow', late_ms: 2_500 })],
    },
    'a request that a slow provider took up when we had long given up': {
      ...askedAgain,
      leftOut: true,
      doubt: at(13),
      ledger: [
        lateMail,
        again(13, { at: new Date(at(13).getTime() + 1_000).toISOString(), fault: 'slow', late_ms: 2_500 }),
      ],
    },
    'a 429 in the hand of a worker that stood still': { ...limitedInHand, log: stalled(workerOne, 12, 12.05) },
    'a 429 that came while the run itself stood still': { ...limitedInHand, log: stalled(OWN, 11.99, 12.02) },
    'never sent, as the worker stood still with the intent': {
      ...neverSent,
      claims: [{ who: workerOne, at: at(10.9) }],
      log: stalled(workerOne, 11, 11.05),
    },
    'as many as a worker that stood still can have had in hand': {
      ...limitedInHand,
      log: stalled(workerOne, 12, 12.05),
      copies: 13,
    },
    'asked again late, as the schedulers stood still': {
      ...lateAsked,
      log: [struck(['workers'], 11, 12), ...stalled('scheduler-1:71', 20, 21)],
    },
    'a token rotated in an answer whose worker stood still': {
      issued: 'a newer token',
      ledger: [
        mail,
        entry(2, 12, { what: 'rotated', outcome: 'ok', credentials_id: 'connection' }),
        { ...exchange, seq: 3 },
      ],
      claims: [{ who: workerOne, at: at(11.9) }],
      log: stalled(workerOne, 12, 12.05),
    },
    'a user who got no page while a web process stood still': {
      ...lapsed,
      log: stalled('web-1:70', 9, 10),
      attempts: [{ ...attempt, got: 'no page' }],
    },
    'a repeated mail that came twice': {
      notification: { repeated_at: at(3) },
      ledger: [mail, exchange, { ...mail, seq: 3, at: at(4).toISOString() }],
    },
    'a repeated mail that came once': { notification: { repeated_at: at(3) } },
    'a mail whose repetition waits for its time': {
      notification: { status: 'sending', next_action_at: at(121) },
      ledger: [mail, exchange],
    },
    'an uncertain mail that came': { notification: { status: 'uncertain' } },
    'an uncertain mail that never came': { notification: { status: 'uncertain' }, ledger: [exchange] },
    'asked again when the database was no longer late': {
      ...neverSent,
      log: [struck(['workers'], 11, 12), strike('PostgreSQL late', 20, 80)],
      notification: { created_at: at(80), sending_at: at(80) },
      ledger: [{ ...lateMail, at: at(80).toISOString() }],
    },
    'an outage as long as the code lived': { ...tooOld, log: [struck(['provider-refuses'], 10, 16)] },
    'asked again when the database was back': {
      ...neverSent,
      log: [struck(['workers'], 11, 12), struck(['database'], 20, 80)],
      notification: { created_at: at(80), sending_at: at(80) },
      ledger: [{ ...lateMail, at: at(80).toISOString() }],
    },
    'a full authentication whose answer was lost': {
      ...askedAgain,
      authorisation: { status: 'refused', error_code: 'exchange-in-doubt', route: 'full' },
      leftOut: true,
      doubt: at(13),
      ledger: [lateMail, { ...exchange, fault: 'reset-after' }],
    },
    'a token rotated in an answer that was lost': {
      issued: 'a newer token',
      ledger: [
        mail,
        entry(2, 12, { what: 'rotated', outcome: 'ok', credentials_id: 'connection' }),
        { ...exchange, seq: 3, fault: 'reset-after' },
      ],
    },
    'a token that works and waits as the candidate': {
      issued: 'a newer token',
      consent: { candidate_token: 'a newer token', candidate_version: 3 },
    },
    'an old token of which the company was told': { issued: 'a newer token', told: at(30) },
    'two codes of a user whose token was rotated in an answer that was lost': {
      ...askedAgain,
      authorisation: { status: 'refused', error_code: 'token-invalid' },
      issued: 'a newer token',
      leftOut: true,
      copies: 2,
      ledger: [
        lateMail,
        entry(2, 12, { what: 'rotated', outcome: 'ok', credentials_id: 'connection' }),
        { ...exchange, seq: 3, fault: 'reset-after' },
      ],
    },
    'a mail begun before the pause and after it': {
      acts: [acted('pause', 2), acted('resume', 5), acted('pause', 0, { answer: 'lost' })],
    },
    'a mail begun in a pause that a renewal had ended': {
      acts: [acted('pause', 15), acted('resume', 40)],
      notification: { sending_at: at(30) },
      renewal: { closed_at: at(30) },
      ledger: [{ ...mail, at: at(30).toISOString() }, exchange],
    },
    'asked again when it was resumed': {
      ...neverSent,
      log: [struck(['workers'], 11, 12)],
      acts: [acted('pause', 15), acted('resume', 80)],
      notification: { created_at: at(80), sending_at: at(80) },
      ledger: [{ ...lateMail, at: at(80).toISOString() }],
    },
    'a user who opted out while the code was under way': {
      renewal: { status: 'cancelled', closed_at: at(15) },
      consent: { status: 'opted_out' },
      authorisation: { status: 'superseded', error_code: 'cycle-closed' },
      ledger: [mail],
      acts: [acted('opt-out', 15)],
    },
    'a user who opted out before the code came': {
      renewal: { status: 'cancelled', closed_at: at(5) },
      consent: { status: 'opted_out' },
      authorisation: { status: 'issued', code_received_at: null, closed_at: null },
      ledger: [mail],
      acts: [acted('opt-out', 5)],
    },
    'a user who was turned away while an operator had paused it': {
      ...lapsed,
      acts: [acted('pause', 9), acted('resume', 10)],
      leftOut: true,
      attempts: [{ ...attempt, got: 'nothing to do' }],
    },
    'a user whose next mail was not due yet': {
      ...tooOld,
      log: [struck(['provider-refuses'], 10, 16)],
      leftOut: false,
      notification: { created_at: at(20), sending_at: null, status: 'pending' },
      ledger: [],
    },
    'a user whose next mail may never have come': {
      ...tooOld,
      log: [struck(['provider-refuses'], 10, 16)],
      leftOut: false,
      notification: { created_at: at(20), sending_at: at(20), status: 'uncertain' },
      ledger: [],
    },
    'a user whose next mail the server refused for good': {
      ...tooOld,
      log: [struck(['provider-refuses'], 10, 16)],
      leftOut: false,
      notification: { created_at: at(20), sending_at: at(20), status: 'failed' },
      ledger: [],
    },
    'a code of another that was refused, and a renewal by a code of their own': {
      foreign: [{ user, state: 'state', codeNo: 7 }],
    },
    'a send by a worker that slept until all were past waiting for it': {
      ...neverSent,
      log: [struck(['workers'], 11, 12)],
      ledger: [
        { ...exchange, at: at(15).toISOString(), outcome: 'invalid_authorization_code', detail: 'too_old' },
        lateMail,
      ],
    },
    'a question soon after one that a fault kept on its way': {
      ledger: [
        mail,
        exchange,
        rejected(3),
        rejected(4),
        rejected(5),
        { ...question(6, 13), fault: 'slow' },
        question(7, 13),
      ],
    },
    'a question soon after one during which the time jumped': {
      ledger: [
        mail,
        exchange,
        rejected(3),
        rejected(4),
        rejected(5),
        question(6, 13),
        { ...question(7, 13), at: new Date(at(13).getTime() + 48_000).toISOString() },
      ],
      clock: { shownAt: (real) => real - 15_000 },
    },
    'a question while the circuit is open': {
      ledger: [mail, exchange, rejected(3), rejected(4), rejected(5), question(6, 13), question(7, 14)],
    },
    'a forged code that came with a valid state': {
      forged: [{ user, state: 'state', codeNo: undefined }],
      ledger: [mail, exchange, question(3, 13)],
    },
    'a user whose tries met faults until grace ended': {
      ...lapsed,
      log: [struck(['database'], 9, 10)],
      attempts: [{ ...attempt, got: 'no page' }],
    },
  }
  test.each(Object.entries(excused))('%s is no violation', (_name, planted) => {
    expect(named(planted)).toEqual([])
  })
})
