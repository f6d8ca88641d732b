import { DateTime, Duration } from 'luxon'
import { describe, expect, test } from 'vitest'
import type { Policy } from '../../src/domain/policy.ts'
import { expiryFrom, graceEndOf, ruleFor } from '../../src/domain/rules.ts'

const days = (count: number): Duration => Duration.fromObject({ days: count })
const utc = (iso: string): DateTime => DateTime.fromISO(iso, { zone: 'utc' })

const aPolicy = (providers: Policy['providers'] = {}, routes: Policy['routes'] = ['reauth', 'full']) => ({
  providers,
  routes,
})

interface Row {
  bank: string
  country: string
  policy: ReturnType<typeof aPolicy>
  reauth?: string
  routes?: readonly string[]
  validity?: number
  grace?: number
  source?: string
}

describe('a bank', () => {
  const table: Record<string, Row> = {
    'in the UK renews by reauth, 90 + 90 days, without a word in the policy': {
      bank: 'uk-ob-monzo',
      country: 'GB',
      policy: aPolicy(),
      reauth: 'yes',
      routes: ['reauth', 'full'],
      validity: 90,
      grace: 90,
      source: 'reauth by default for the UK, routes by routes, validity by default, grace by default',
    },
    'in the UK, written UK': { bank: 'uk-ob-monzo', country: 'UK', policy: aPolicy(), reauth: 'yes' },
    'in the UK, written uk': { bank: 'uk-ob-monzo', country: 'uk', policy: aPolicy(), reauth: 'yes' },
    'in the UK, written gb with a blank': { bank: 'uk-ob-monzo', country: ' gb ', policy: aPolicy(), reauth: 'yes' },
    'outside the UK does not renew by reauth: the route falls away': {
      bank: 'xs2a-ing',
      country: 'DE',
      policy: aPolicy(),
      reauth: 'no',
      routes: ['full'],
      validity: 90,
      grace: 90,
      source: 'reauth by default outside the UK, routes by routes, validity by default, grace by default',
    },
    'outside the UK has no route where the policy knows reauth alone': {
      bank: 'xs2a-ing',
      country: 'DE',
      policy: aPolicy({}, ['reauth']),
      routes: [],
    },
    'without a country is outside the UK': { bank: 'some-bank', country: '', policy: aPolicy(), reauth: 'no' },
    'takes the rule of its country': {
      bank: 'ob-aib',
      country: 'IE',
      policy: aPolicy({ IE: { reauth: 'yes', grace: days(30) } }),
      reauth: 'yes',
      routes: ['reauth', 'full'],
      grace: 30,
      validity: 90,
      source: 'reauth by providers.IE, routes by routes, validity by default, grace by providers.IE',
    },
    'in the UK takes the rule that is written for UK': {
      bank: 'uk-ob-monzo',
      country: 'GB',
      policy: aPolicy({ UK: { reauth: 'no' } }),
      reauth: 'no',
      routes: ['full'],
    },
    'in the UK, written uk, takes the rule that is written for gb': {
      bank: 'uk-ob-monzo',
      country: 'uk',
      policy: aPolicy({ gb: { validity: days(180) } }),
      validity: 180,
    },
    'takes its own rule before that of its country': {
      bank: 'uk-ob-x',
      country: 'GB',
      policy: aPolicy({ GB: { reauth: 'yes', validity: days(60) }, 'uk-ob-x': { reauth: 'no' } }),
      reauth: 'no',
      routes: ['full'],
      validity: 60,
      source: 'reauth by providers.uk-ob-x, routes by routes, validity by providers.GB, grace by default',
    },
    'takes its own rule also when it stands first': {
      bank: 'uk-ob-x',
      country: 'GB',
      policy: aPolicy({ 'uk-ob-x': { validity: days(180) }, GB: { validity: days(60) } }),
      validity: 180,
    },
    'that needs auth inputs cannot take the route reauth, even in the UK': {
      bank: 'uk-ob-x',
      country: 'GB',
      policy: aPolicy({ 'uk-ob-x': { reauth: 'auth-inputs' } }),
      reauth: 'auth-inputs',
      routes: ['full'],
    },
    'may have routes of its own, in its own order': {
      bank: 'uk-ob-x',
      country: 'GB',
      policy: aPolicy({ 'uk-ob-x': { routes: ['full', 'reauth'] } }, ['reauth']),
      routes: ['full', 'reauth'],
    },
    'may be left without any route on purpose': {
      bank: 'uk-ob-x',
      country: 'GB',
      policy: aPolicy({ 'uk-ob-x': { routes: [] } }),
      routes: [],
    },
    'keeps reauth out of its own routes where it does not work': {
      bank: 'xs2a-x',
      country: 'FR',
      policy: aPolicy({ FR: { routes: ['reauth', 'full'] } }),
      routes: ['full'],
    },
    'with a field left undefined falls back like one without it': {
      bank: 'uk-ob-x',
      country: 'GB',
      policy: aPolicy({ 'uk-ob-x': { grace: undefined }, GB: { grace: days(10) } }),
      grace: 10,
    },
    'named like something every object has finds no rule': {
      bank: 'constructor',
      country: 'GB',
      policy: aPolicy(),
      reauth: 'yes',
      validity: 90,
    },
  }
  test.each(Object.entries(table))('%s', (_, { bank, country, policy, ...expected }) => {
    const rule = ruleFor(bank, country, policy)
    const seen = { ...rule, validity: rule.validity.as('days'), grace: rule.grace.as('days') }
    expect(seen).toMatchObject(expected)
  })
})

describe('dates by the rule', () => {
  test('the grace of 90 days is 90 times 24 hours, across a change of the clocks', () =>
    expect(
      graceEndOf(DateTime.fromISO('2026-03-01T12:00:00', { zone: 'Europe/London' }), { grace: days(90) }).toISO(),
    ).toBe('2026-05-30T12:00:00.000Z'))
  test('an assumed expiry is the consent date plus the validity, over a leap day', () =>
    expect(expiryFrom(utc('2028-02-28T12:00:00'), { validity: days(90) }).toISO()).toBe('2028-05-28T12:00:00.000Z'))
  test('without grace the end is the expiry', () =>
    expect(graceEndOf(utc('2026-03-01T12:00:00'), { grace: Duration.fromMillis(0) }).toISO()).toBe(
      '2026-03-01T12:00:00.000Z',
    ))
})
