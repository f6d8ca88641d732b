// What webhooks tell, and what they say.
import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import { webhookBody, webhookId } from '../../src/domain/webhook-message.ts'
import { storedTypesOf, webhookTypeOf, webhookTypes } from '../../src/domain/webhook-types.ts'
import { eventTypes } from '../../src/store/events.ts'

describe('the table', () => {
  test('has the types that were promised to receivers', () => {
    expect(webhookTypes).toEqual([
      'consent.renewal_opened',
      'consent.asked',
      'consent.renewed',
      'consent.refused',
      'consent.lapsing',
      'consent.lapsed',
      'consent.repaired',
      'consent.quarantined',
      'consent.superseded',
      'token.replaced',
      'token.rejected',
    ])
  })

  test('names stored types that exist, and each public type once', () => {
    expect(eventTypes).toEqual(expect.arrayContaining([...storedTypesOf([])]))
    expect(new Set(webhookTypes).size).toBe(webhookTypes.length)
  })

  test.each([
    ['message.queued', { rung: '-14d' }, undefined],
    ['message.queued', { rung: '-1d' }, undefined],
    ['message.queued', { rung: '0d' }, 'consent.lapsing'],
    ['message.queued', { rung: '+83d' }, 'consent.lapsing'],
    ['message.queued', { rung: 'again-1' }, undefined],
    ['message.queued', {}, undefined],
    ['message.sent', { rung: '-14d' }, 'consent.asked'],
    ['authorisation.refused-at-bank', {}, 'consent.refused'],
    ['token.shown', {}, undefined],
    ['constructor', {}, undefined],
  ])('%s with %j is told as %s', (stored, data, told) => expect(webhookTypeOf(stored, data)).toBe(told))

  test('from what is stored, an endpoint reads what it wants, and without a wish all', () => {
    expect(storedTypesOf(['consent.asked', 'token.rejected'])).toEqual(['message.sent', 'token.rejected'])
    expect(storedTypesOf([])).toHaveLength(webhookTypes.length)
  })
})

describe('the message', () => {
  const event = {
    consentId: '7d0e4f8a-4c1b-4f0e-9b1e-0d5a2c6f1e33',
    credentialsId: 'cred-1',
    userId: 'user-1',
    seq: 12,
    hash: 'c0ffee00deadbeef',
    type: 'consent.renewed',
    at: DateTime.fromISO('2026-12-01T10:00:00+01:00'),
  } as const

  test('is thin', () => {
    expect(JSON.parse(webhookBody(event, []))).toEqual({
      type: 'consent.renewed',
      timestamp: '2026-12-01T09:00:00.000Z',
      data: { consent_id: event.consentId, credentials_id: 'cred-1', user_id: 'user-1', sequence: 12 },
    })
  })

  test('names what was given up before', () => {
    expect(JSON.parse(webhookBody(event, [{ seq: 9, hash: 'abcdef0123', type: 'consent.asked' }]))).toMatchObject({
      data: { sequence: 12, gaps: [{ id: `evt_${event.consentId}_9_abcdef01`, type: 'consent.asked', sequence: 9 }] },
    })
  })

  test('has an id without a full stop, by which the signed text joins its parts', () => {
    expect(webhookId(event)).toBe('evt_7d0e4f8a-4c1b-4f0e-9b1e-0d5a2c6f1e33_12_c0ffee00')
    expect(webhookId({ ...event, hash: '0123456789' })).not.toBe(webhookId(event))
  })
})
