import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import { type ContactChanges, type ContactDecision, decideContactChange } from '../../src/domain/contact-change.ts'
import { aConsent } from '../builders.ts'

const ours = aConsent({
  expiresAt: DateTime.utc(2027, 1, 10),
  email: 'ada@example.com',
  phone: undefined,
  name: 'Ada',
  timeZone: 'Europe/London',
})

describe('a change of contact data', () => {
  const table: Record<string, [ContactChanges, ContactDecision]> = {
    'without a field changes nothing': [{}, { fields: [], evaluateNow: false }],
    'to what is there changes nothing': [
      { email: 'ada@example.com', name: 'Ada', phone: null },
      { fields: [], evaluateNow: false },
    ],
    'of the name is not looked at': [{ name: 'Bob' }, { fields: ['name'], evaluateNow: false }],
    'of the language is not looked at': [{ locale: 'fr' }, { fields: ['locale'], evaluateNow: false }],
    'of the zone is looked at: it moves the next message': [
      { timeZone: 'Europe/Paris' },
      { fields: ['timeZone'], evaluateNow: true },
    ],
    'to no address is looked at': [{ email: null }, { fields: ['email'], evaluateNow: true }],
    'to another address that any server reaches is not': [
      { email: 'b@example.com' },
      { fields: ['email'], evaluateNow: false },
    ],
    'to a telephone number, which no channel uses, is not': [
      { phone: '+44 1' },
      { fields: ['phone'], evaluateNow: false },
    ],
  }
  test.each(Object.entries(table))('%s', (_, [changes, decision]) => {
    expect(decideContactChange(ours, changes, ['email'])).toEqual(decision)
  })

  test('to a first address is looked at', () => {
    const unreached = { ...ours, email: undefined }
    expect(decideContactChange(unreached, { email: 'a@example.com' }, ['email'])).toEqual({
      fields: ['email'],
      evaluateNow: true,
    })
  })
})
