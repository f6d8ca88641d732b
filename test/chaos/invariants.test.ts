// The books of a small, sound run, and one broken promise planted at a time: each must be named, by its number and record.
import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import { askEveryCheck, type Books } from '../../chaos/invariants.ts'
import type { AuthorisationRecord, ConsentRecord, NotificationRecord, Records, RenewalRecord } from '../../chaos/records.ts'
import type { Return } from '../../chaos/users.ts'
import { sha256Hex } from '../../src/crypto/hashing.ts'
import { Secret } from '../../src/secret.ts'
import type { Entry } from '../../src/simulator/ledger.ts'

const at = (minutes: number): Date => new Date(Date.UTC(2027, 0, 1, 12, minutes))
const entry = (seq: number, minutes: number, over: Omit<Entry, 'seq' | 'at'>): Entry => ({ seq, at: at(minutes).toISOString(), ...over })

const user = { no: 1, credentialsId: 'connection', email: 'a@planted.example', kind: 'renews', refreshToken: 'token', expiresAt: DateTime.utc() } as const
const consent: ConsentRecord = {
  id: 'consent', credentials_id: 'connection', status: 'active', cycle: 2, email: null, expires_at: at(500), refresh_token: 'token', token_version: 1,
  next_action_at: at(900), last_error_code: null,
}
const renewal: RenewalRecord = { id: 'renewal', consent_id: 'consent', cycle: 1, status: 'renewed', closed_at: at(20) }
const authorisation: AuthorisationRecord = {
  id: 'authorisation', consent_id: 'consent', renewal_id: 'renewal', status: 'renewed', state: sha256Hex('state'), done_id: 'done', error_code: null,
  code_received_at: at(10), exchange_started_at: at(11), closed_at: at(20),
}
const notification: NotificationRecord = {
  id: 'notification', consent_id: 'consent', renewal_id: 'renewal', cycle: 1, rung: '-14d', status: 'sent', created_at: at(0), sending_at: at(1),
}
const back: Return = { user, as: 'approve', state: 'state', code: 'code', codeNo: 1, at: at(10), how: 'once', doneId: 'done' }
const mail = entry(1, 2, { what: 'mail', outcome: 'ok', message_id: 'notification@127.0.0.1', to: [user.email] })
const exchange = entry(2, 12, { what: 'exchange', outcome: 'ok', credentials_id: 'connection', code_no: 1 })

interface Planted {
  readonly consent?: Partial<ConsentRecord>
  readonly renewal?: Partial<RenewalRecord>
  readonly authorisation?: Partial<AuthorisationRecord>
  readonly notification?: Partial<NotificationRecord>
  readonly back?: Partial<Return>
  readonly ledger?: readonly Entry[]
  readonly bankLinks?: ReadonlyMap<string, number>
  readonly intents?: readonly Date[]
  readonly issued?: string
  readonly expiresAt?: Date
}

const booksWith = (planted: Planted = {}): Books => {
  const ledger = planted.ledger ?? [mail, exchange]
  const rows = {
    consent: { ...consent, ...planted.consent }, renewal: { ...renewal, ...planted.renewal },
    authorisation: { ...authorisation, ...planted.authorisation }, notification: { ...notification, ...planted.notification },
  }
  const records: Records = {
    consents: [rows.consent], renewals: new Map([['renewal', rows.renewal]]), authorisations: [rows.authorisation],
    byState: new Map([[rows.authorisation.state, rows.authorisation]]), notifications: new Map([['notification', rows.notification]]),
    notificationsOfRenewal: new Map([['renewal', [rows.notification]]]), ledger, intents: new Map([['authorisation', planted.intents ?? [at(11)]]]),
    sends: new Map([[1, ledger.filter(({ what }) => what === 'exchange')]]), faultsWithin: () => [],
  }
  const connection = { credentialsId: 'connection', refreshToken: planted.issued ?? 'token', dates: { expiresAt: DateTime.fromJSDate(planted.expiresAt ?? at(500)) } }
  const other = { ...connection, credentialsId: 'other', refreshToken: 'token of another' }
  const rig = {
    clock: { realAt: (instant: Date) => instant.getTime() },
    simulator: { connection: (id: string) => (id === 'connection' ? connection : undefined), connections: () => [connection, other] },
    vault: {
      open: (sealed: string) => {
        if (sealed === 'broken') throw new Error('does not decrypt')
        return new Secret(sealed)
      },
    },
  }
  const returns = [{ ...back, ...planted.back }]
  const crowd = { bankLinks: planted.bankLinks ?? new Map([['http://bank/1', 1]]), visited: new Set([user]), leftOut: new Set(), returns }
  return { rig, log: [], returns, records, crowd, users: [user] } as unknown as Books
}

const named = (planted: Planted): string[] => askEveryCheck(booksWith(planted)).flatMap(({ violations }) => violations.map(({ invariant, record }) => `${invariant}: ${record}`))

const again = (minutes: number, over: Partial<Entry> = {}): Entry => entry(3, minutes, { what: 'exchange', outcome: 'invalid_authorization_code', code_no: 1, ...over })

describe('the books of a run', () => {
  test('a sound run breaks nothing', () => {
    expect(named({})).toEqual([])
  })

  const corruptions: Record<string, { planted: Planted; names: string }> = {
    'a code sent again after its answer': { planted: { ledger: [mail, exchange, again(13)], intents: [at(11), at(12)] }, names: '2: code 1 of connection' },
    'a code sent again after a time-out': {
      planted: { ledger: [mail, entry(2, 12, { what: 'exchange', outcome: 'not-processed', code_no: 1, fault: 'reset-before' }), again(13, { outcome: 'ok' })], intents: [at(11), at(12)] },
      names: '2: code 1 of undefined',
    },
    'tokens revoked by the provider': { planted: { ledger: [mail, exchange, entry(3, 14, { what: 'revoked', outcome: 'ok', credentials_id: 'connection', detail: 'code_reused' })] }, names: '2: connection connection' },
    'a callback answered before its commit': {
      planted: { renewal: { status: 'open', closed_at: null }, authorisation: { status: 'issued', code_received_at: null, closed_at: null } },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'an approval that nobody was told about': {
      planted: { renewal: { status: 'open', closed_at: null }, authorisation: { status: 'refused', error_code: 'not-renewed' }, ledger: [mail, again(12)] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'a renewal at the provider that we gave up': {
      planted: { renewal: { status: 'open', closed_at: null }, authorisation: { status: 'refused', error_code: 'not-renewed' }, notification: { created_at: at(30), sending_at: at(1) } },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'asked again without a fault': {
      planted: { renewal: { status: 'lapsed' }, authorisation: { status: 'refused', error_code: 'code-too-old' }, ledger: [mail] },
      names: '3: authorisation authorisation (user 1, once)',
    },
    'a callback answered for an authorisation that is gone': { planted: { back: { state: 'another' } }, names: '3: user 1' },
    'a token that does not decrypt': { planted: { consent: { refresh_token: 'broken' } }, names: '4: consent consent' },
    'the token of another connection': { planted: { consent: { refresh_token: 'token of another' } }, names: '4: consent consent' },
    'an old token': { planted: { issued: 'a newer token' }, names: '4: consent consent' },
    'a renewal that was never recorded': { planted: { expiresAt: at(90 * 24 * 60) }, names: '5: consent consent' },
    'a mail delivered twice': { planted: { ledger: [mail, exchange, { ...mail, seq: 3 }] }, names: '6: notification notification' },
    'a mail said to be sent that never left': { planted: { ledger: [exchange] }, names: '6: notification notification' },
    'a mail committed after the renewal': { planted: { notification: { sending_at: at(40) }, ledger: [{ ...mail, at: at(40).toISOString() }, exchange] }, names: '6: notification notification' },
    'a mail without an intent': { planted: { notification: { sending_at: null } }, names: '7: notification notification' },
    'a code sent before its intent': { planted: { intents: [at(13)] }, names: '7: authorisation authorisation' },
    'a link handed out twice': { planted: { bankLinks: new Map([['http://bank/1', 2]]) }, names: '7: bank link /1…' },
    'a user who wanted to renew and could not': { planted: { renewal: { status: 'open', closed_at: null }, back: { as: 'deny' } }, names: '9: consent consent' },
  }
  test.each(Object.entries(corruptions))('%s is named', (_name, { planted, names }) => {
    expect(named(planted)).toContain(names)
  })

  test('answers that prove the code untouched allow another send', () => {
    const limited = entry(2, 12, { what: 'exchange', outcome: 'not-processed', code_no: 1, fault: 'rate-limited' })
    expect(named({ ledger: [mail, limited, again(13, { outcome: 'ok' })], intents: [at(11), at(12)] })).toEqual([])
  })
})
