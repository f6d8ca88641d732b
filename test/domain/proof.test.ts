import { DateTime, Duration } from 'luxon'
import { describe, expect, test } from 'vitest'
import { judgeProof, type Proof, type ProofInput } from '../../src/domain/proof.ts'

const utc = (iso: string): DateTime => DateTime.fromISO(iso, { zone: 'utc' })
const KNOWN = '2026-03-12T12:00:00'
const ISSUED = '2026-03-02T12:00:00'

interface Row {
  source: 'me' | 'imported' | 'assumed'
  known?: string
  expires?: string
  created?: string
  updated?: string
  sent?: string
  refreshed?: string
  earlierInDoubt?: boolean
  validityDays?: number
  result: string
}

const at = (iso: string | undefined): DateTime | undefined => (iso === undefined ? undefined : utc(iso))

const inputOf = (row: Row): ProofInput => ({
  me: { consentExpiresAt: at(row.expires), consentCreatedAt: at(row.created), consentStatusUpdatedAt: at(row.updated) },
  known: { expiresAt: utc(row.known ?? KNOWN), source: row.source },
  issuedAt: utc(ISSUED),
  validity: Duration.fromObject({ days: row.validityDays ?? 90 }),
  ownCodeSentAt: at(row.sent),
  refreshedAt: at(row.refreshed),
  mayShowEarlierCode: row.earlierInDoubt ?? false,
})

/** `later-than-known me 2026-03-12T12:00:01`, or the reason why nothing is proven. */
const inWords = (proof: Proof): string =>
  proof.proven
    ? `${proof.basis} ${proof.expiresSource} ${proof.expiresAt.toUTC().toFormat("yyyy-MM-dd'T'HH:mm:ss")}`
    : proof.reason

const judge = (_: string, row: Row): void => expect(inWords(judgeProof(inputOf(row)))).toBe(row.result)

describe('against a date from /me', () => {
  const table: Record<string, Row> = {
    'a date a second earlier proves nothing': {
      source: 'me',
      expires: '2026-03-12T11:59:59',
      result: 'date-not-moved',
    },
    'the same date proves nothing': { source: 'me', expires: KNOWN, result: 'date-not-moved' },
    // The known expiry is 12 March and the validity 90 days: the last renewal was on 12 December, 80 days before the
    // issue.
    'a date that moved by a quarter of the time since the last renewal proves it': {
      source: 'me',
      expires: '2026-04-01T12:00:00',
      result: 'later-than-known me 2026-04-01T12:00:00',
    },
    'the same while an earlier code is in doubt may be that one’s date': {
      source: 'me',
      earlierInDoubt: true,
      expires: '2026-05-20T12:00:00',
      result: 'date-not-moved',
    },
    'a full validity from the issue is this code’s own date, whatever else is in doubt': {
      source: 'me',
      earlierInDoubt: true,
      expires: '2026-05-31T12:00:00',
      result: 'full-validity-since me 2026-05-31T12:00:00',
    },
    'of the days by which banks round it, an hour is left: more may be the earlier code’s': {
      source: 'me',
      earlierInDoubt: true,
      expires: '2026-05-31T10:59:59',
      result: 'date-not-moved',
    },
    'an hour less is its own': {
      source: 'me',
      earlierInDoubt: true,
      expires: '2026-05-31T11:00:00',
      result: 'full-validity-since me 2026-05-31T11:00:00',
    },
    'so is a date of a consent that was updated since the issue': {
      source: 'me',
      earlierInDoubt: true,
      expires: '2026-05-20T12:00:00',
      updated: '2026-03-02T12:00:00',
      result: 'created-or-updated-since me 2026-05-20T12:00:00',
    },
    'a date that moved by less proves nothing: a second code of the last cycle gives such a one': {
      source: 'me',
      expires: '2026-04-01T11:59:59',
      result: 'date-not-moved',
    },
    'a date a second later proves it in a consent that was updated since the issue': {
      source: 'me',
      expires: '2026-03-12T12:00:01',
      updated: '2026-03-02T12:03:00',
      result: 'created-or-updated-since me 2026-03-12T12:00:01',
    },
    'at a bank that halved its validity, the new date proves it': {
      source: 'me',
      validityDays: 180,
      expires: '2026-05-31T12:03:00',
      result: 'later-than-known me 2026-05-31T12:03:00',
    },
    'renewed an hour ago: an hour more proves it': {
      source: 'me',
      known: '2026-05-31T11:00:00',
      expires: '2026-05-31T12:00:00',
      result: 'later-than-known me 2026-05-31T12:00:00',
    },
    'renewed an hour ago: less than an hour more is at least a full validity since the issue': {
      source: 'me',
      known: '2026-05-31T11:00:00',
      expires: '2026-05-31T11:59:59',
      result: 'full-validity-since me 2026-05-31T11:59:59',
    },
    'a consent created since the issue with the same date proves nothing against a date from /me': {
      source: 'me',
      expires: KNOWN,
      created: '2026-03-02T12:03:00',
      result: 'date-not-moved',
    },
    'a full new validity proves it': {
      source: 'me',
      expires: '2026-05-31T12:03:00',
      result: 'later-than-known me 2026-05-31T12:03:00',
    },
    'the same date proves nothing even when the status was updated since': {
      source: 'me',
      expires: KNOWN,
      updated: '2026-03-02T12:03:00',
      sent: '2026-03-02T12:03:00',
      result: 'date-not-moved',
    },
    'a full validity that was there before the issue proves nothing': {
      source: 'me',
      known: '2026-05-30T12:00:00',
      expires: '2026-05-30T12:00:00',
      result: 'date-not-moved',
    },
    'a later date that was over at the issue proves nothing': {
      source: 'me',
      known: '2026-02-01T12:00:00',
      expires: '2026-03-01T12:00:00',
      result: 'date-not-moved',
    },
    'a later date that is over at the very issue proves nothing': {
      source: 'me',
      known: '2026-02-01T12:00:00',
      expires: ISSUED,
      result: 'date-not-moved',
    },
    'a later date that is over a second after the issue is still a later date': {
      source: 'me',
      known: '2026-01-25T12:00:00',
      expires: '2026-03-02T12:00:01',
      result: 'later-than-known me 2026-03-02T12:00:01',
    },
    'a consent created since the issue proves it where /me has no expiry any more': {
      source: 'me',
      created: '2026-03-02T12:03:00',
      result: 'created-or-updated-since assumed 2026-05-31T12:03:00',
    },
    'old dates without an expiry say nothing for or against': {
      source: 'me',
      created: '2025-12-14T12:00:00',
      result: 'no-dates',
    },
    'a clean exchange proves it where /me has no dates any more': {
      source: 'me',
      sent: '2026-03-02T12:03:00',
      result: 'clean-exchange-without-dates assumed 2026-05-31T12:03:00',
    },
  }
  test.each(Object.entries(table))('%s', judge)
})

describe.each(['imported', 'assumed'] as const)('against an %s date', (source) => {
  const table: Record<string, Omit<Row, 'source'>> = {
    'a later date alone proves nothing': { expires: '2026-03-14T12:00:00', result: 'date-not-moved' },
    'a later date with a consent created before the issue proves nothing': {
      expires: '2026-03-14T12:00:00',
      created: '2025-12-14T12:00:00',
      updated: '2025-12-14T12:00:00',
      result: 'date-not-moved',
    },
    'a consent created a second before the five minutes before the issue proves nothing': {
      expires: '2026-04-01T12:00:00',
      created: '2026-03-02T11:54:59',
      result: 'date-not-moved',
    },
    'a consent created five minutes before the issue proves it': {
      expires: '2026-04-01T12:00:00',
      created: '2026-03-02T11:55:00',
      result: 'created-or-updated-since me 2026-04-01T12:00:00',
    },
    'a consent created after the issue proves it, whatever date was believed': {
      known: '2026-12-01T12:00:00',
      expires: '2026-04-01T12:00:00',
      created: '2026-03-02T12:03:00',
      result: 'created-or-updated-since me 2026-04-01T12:00:00',
    },
    'a status updated a second before the five minutes before the issue proves nothing': {
      expires: '2026-04-01T12:00:00',
      updated: '2026-03-02T11:54:59',
      result: 'date-not-moved',
    },
    'a status updated five minutes before the issue, with a later date, proves it': {
      expires: '2026-03-12T12:00:01',
      updated: '2026-03-02T11:55:00',
      result: 'created-or-updated-since me 2026-03-12T12:00:01',
    },
    'a status updated because the old consent ran out proves nothing: its date is the known one': {
      expires: KNOWN,
      updated: KNOWN,
      result: 'date-not-moved',
    },
    'a status updated since, with a date before the known one, proves nothing': {
      expires: '2026-03-12T11:59:59',
      updated: '2026-03-02T12:03:00',
      result: 'date-not-moved',
    },
    'an old creation and a new update prove it by the update': {
      expires: '2026-05-20T12:00:00',
      created: '2025-12-14T12:00:00',
      updated: '2026-03-02T12:03:00',
      result: 'created-or-updated-since me 2026-05-20T12:00:00',
    },
    'created since and no expiry given: validity from then on, assumed': {
      created: '2026-03-02T12:03:00',
      result: 'created-or-updated-since assumed 2026-05-31T12:03:00',
    },
    'created before, updated since and no expiry given: validity from the update, assumed': {
      created: '2025-12-14T12:00:00',
      updated: '2026-03-02T12:04:00',
      result: 'created-or-updated-since assumed 2026-05-31T12:04:00',
    },
    'created and updated since and no expiry given: validity from the later one': {
      created: '2026-03-02T12:03:00',
      updated: '2026-03-02T12:04:00',
      result: 'created-or-updated-since assumed 2026-05-31T12:04:00',
    },
    'created and updated since, the other way round': {
      created: '2026-03-02T12:04:00',
      updated: '2026-03-02T12:03:00',
      result: 'created-or-updated-since assumed 2026-05-31T12:04:00',
    },
    'old dates without an expiry say nothing for or against': { created: '2025-12-14T12:00:00', result: 'no-dates' },
    'old dates without an expiry: a clean exchange proves it': {
      created: '2025-12-14T12:00:00',
      sent: '2026-03-02T12:03:00',
      result: 'clean-exchange-without-dates assumed 2026-05-31T12:03:00',
    },
    'an expiry a second short of issue + 90 − 3 days proves nothing': {
      expires: '2026-05-28T11:59:59',
      result: 'date-not-moved',
    },
    'an expiry of issue + 90 − 3 days proves it': {
      expires: '2026-05-28T12:00:00',
      result: 'full-validity-since me 2026-05-28T12:00:00',
    },
    'an expiry of issue + 90 days proves it': {
      expires: '2026-05-31T12:00:00',
      result: 'full-validity-since me 2026-05-31T12:00:00',
    },
    'a full validity proves it although the known date was later': {
      known: '2026-06-30T12:00:00',
      expires: '2026-05-31T12:00:00',
      updated: '2026-03-02T12:03:00',
      result: 'full-validity-since me 2026-05-31T12:00:00',
    },
    'a short validity of four days: half of it must be there': {
      validityDays: 4,
      expires: '2026-03-04T11:59:59',
      result: 'date-not-moved',
    },
    'a short validity of four days: half of it is enough': {
      validityDays: 4,
      expires: '2026-03-04T12:00:00',
      result: 'full-validity-since me 2026-03-04T12:00:00',
    },
    'an expiry that is over at the issue proves nothing, even created since': {
      known: '2026-02-01T12:00:00',
      expires: ISSUED,
      created: '2026-03-02T12:03:00',
      result: 'date-not-moved',
    },
    'in grace, an update since with an expiry ahead proves it': {
      known: '2026-02-01T12:00:00',
      expires: '2026-04-01T12:00:00',
      updated: '2026-03-02T12:03:00',
      result: 'created-or-updated-since me 2026-04-01T12:00:00',
    },
  }
  test.each(Object.entries(table))('%s', (name, row) => judge(name, { source, ...row }))
})

describe('without any date in /me', () => {
  const table: Record<string, Row> = {
    'nothing is proven': { source: 'imported', result: 'no-dates' },
    'a clean 200 for our own code proves it': {
      source: 'assumed',
      sent: '2026-03-02T12:03:00',
      result: 'clean-exchange-without-dates assumed 2026-05-31T12:03:00',
    },
    'a refresh before the old expiry proves nothing': {
      source: 'imported',
      refreshed: '2026-03-12T11:59:59',
      result: 'no-dates',
    },
    'a refresh a second before an hour after the old expiry proves nothing': {
      source: 'me',
      refreshed: '2026-03-12T12:59:59',
      result: 'no-dates',
    },
    'a refresh an hour after the old expiry proves it, the expiry counted from the issue': {
      source: 'me',
      refreshed: '2026-03-12T13:00:00',
      result: 'refresh-after-expiry assumed 2026-05-31T12:00:00',
    },
    'our own code goes before a refresh': {
      source: 'me',
      sent: '2026-03-02T12:03:00',
      refreshed: '2026-03-12T13:00:00',
      result: 'clean-exchange-without-dates assumed 2026-05-31T12:03:00',
    },
    'a validity of nothing proves nothing': { source: 'me', sent: ISSUED, validityDays: 0, result: 'no-dates' },
  }
  test.each(Object.entries(table))('%s', judge)

  test('a refresh proves nothing where /me has dates', () =>
    judge('', { source: 'me', expires: KNOWN, refreshed: '2026-03-12T14:00:00', result: 'date-not-moved' }))
})

test('dates come out in UTC, whatever zone they came in', () => {
  const proof = judgeProof({
    ...inputOf({ source: 'me', result: '' }),
    me: { consentExpiresAt: DateTime.fromISO('2026-05-31T13:00:00+01:00', { setZone: true }) },
  })
  expect(proof.proven && proof.expiresAt.zoneName).toBe('UTC')
})
