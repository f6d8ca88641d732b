import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import { decideImport, type ImportedConsent, type ImportQuestion } from '../../src/domain/import-decision.ts'
import type { ConsentStatus } from '../../src/domain/model.ts'
import { ruleFor } from '../../src/domain/rules.ts'
import { aConsent, aPolicy } from '../builders.ts'

const utc = (iso: string): DateTime => DateTime.fromISO(iso, { zone: 'utc' })
const ours = { ...aConsent({ expiresAt: utc('2027-01-10T12:00:00') }), consentedAt: utc('2026-10-12T12:00:00') }
const same: ImportedConsent = { ...ours, consentedAt: undefined }
const ask = (over: Partial<ImportedConsent> = {}, question: Partial<ImportQuestion> = {}) =>
  decideImport({
    ours,
    row: { ...same, ...over },
    rule: ruleFor('uk-ob-monzo', 'GB', aPolicy()),
    channels: ['email'],
    correct: false,
    ...question,
  })

describe('a row with', () => {
  const table: Record<string, [Partial<ImportedConsent>, Partial<ImportQuestion>, object]> = {
    'nothing new changes nothing': [{}, {}, { kind: 'unchanged' }],
    'an earlier date changes nothing': [{ expiresAt: utc('2027-01-10T11:59:58') }, {}, { kind: 'unchanged' }],
    'a date later by less than a second changes nothing': [
      { expiresAt: utc('2027-01-10T12:00:00.999') },
      {},
      { kind: 'unchanged' },
    ],
    'a date later by a second repairs': [
      { expiresAt: utc('2027-01-10T12:00:01') },
      {},
      { kind: 'repaired', fields: [] },
    ],
    'a later date and other contacts repairs both': [
      { expiresAt: utc('2027-03-01'), email: 'b@example.com' },
      {},
      { kind: 'repaired', fields: ['email'] },
    ],
    'another name updates, without a new look': [
      { name: 'Bob' },
      {},
      { kind: 'updated', fields: ['name'], corrects: false, evaluateNow: false },
    ],
    'another zone is looked at now': [
      { timeZone: 'Europe/Paris' },
      {},
      { kind: 'updated', fields: ['timeZone'], evaluateNow: true },
    ],
    'fields left out keeps what we have': [
      { name: undefined, email: undefined, scopes: undefined },
      {},
      { kind: 'unchanged' },
    ],
    'an address where there was none is looked at now': [
      {},
      { ours: { ...ours, email: undefined } },
      { kind: 'updated', fields: ['email'], evaluateNow: true },
    ],
    'another bank is refused': [{ providerId: 'uk-ob-hsbc' }, {}, { kind: 'refused' }],
    'another bank is taken when told so': [
      { providerId: 'uk-ob-hsbc' },
      { correct: true },
      { kind: 'updated', fields: ['providerId'], corrects: false, evaluateNow: true },
    ],
    'an earlier date is taken when told so': [
      { expiresAt: utc('2026-12-01') },
      { correct: true },
      { kind: 'updated', fields: [], corrects: true, evaluateNow: true },
    ],
    'nothing new changes nothing, told or not': [{}, { correct: true }, { kind: 'unchanged' }],
    'a later date repairs, told or not': [{ expiresAt: utc('2027-03-01') }, { correct: true }, { kind: 'repaired' }],
    'a later consent date alone repairs': [
      { expiresAt: undefined, consentedAt: utc('2026-11-01') },
      {},
      { kind: 'repaired' },
    ],
    'an earlier consent date alone changes nothing': [
      { expiresAt: undefined, consentedAt: utc('2026-09-01') },
      {},
      { kind: 'unchanged' },
    ],
  }
  test.each(Object.entries(table))('%s', (_, [row, question, answer]) =>
    expect(ask(row, question)).toMatchObject(answer),
  )

  test('a consent date that we know brings nothing new when the policy gives consents a longer validity', () => {
    const rule = { ...ruleFor('uk-ob-monzo', 'GB', aPolicy()), validity: utc('2027-04-10').diff(utc('2026-10-12')) }
    expect(ask({ expiresAt: undefined, consentedAt: ours.consentedAt }, { rule })).toMatchObject({ kind: 'unchanged' })
  })
})

describe('a later date for a consent that is', () => {
  const table: Record<ConsentStatus, string> = {
    active: 'repaired',
    paused: 'repaired',
    quarantined: 'repaired',
    lapsed: 'repaired',
    unsupported: 'repaired',
    revoked: 'refused',
    opted_out: 'refused',
    superseded: 'refused',
  }
  test.each(Object.entries(table))('%s: %s', (status, kind) => {
    const closed = { ...ours, status: status as ConsentStatus }
    expect(ask({ expiresAt: utc('2027-03-01') }, { ours: closed })).toMatchObject({ kind })
    expect(ask({}, { ours: closed })).toMatchObject({ kind: 'unchanged' })
  })

  test('closed changes nothing where the row brings nothing new, whatever else it says', () => {
    expect(ask({ name: 'Bob' }, { ours: { ...ours, status: 'opted_out' } })).toEqual({ kind: 'unchanged' })
    const earlier = { expiresAt: utc('2026-12-01') }
    expect(ask(earlier, { ours: { ...ours, status: 'opted_out' } })).toEqual({ kind: 'unchanged' })
    expect(ask(earlier, { ours: { ...ours, status: 'opted_out' }, correct: true })).toMatchObject({ kind: 'refused' })
  })
})
