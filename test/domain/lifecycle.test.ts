// The tables of transitions: every state is covered, every transition ends in a state of the table, and the guard
// refuses all others.
import { describe, expect, test } from 'vitest'
import {
  authorisationTransitions,
  checkAuthorisationTransition,
  checkConsentTransition,
  checkNotificationTransition,
  checkRenewalTransition,
  consentTransitions,
  notificationTransitions,
  renewalTransitions,
  sourcesOf,
} from '../../src/domain/lifecycle.ts'

type Table = Readonly<Record<string, Readonly<Record<string, string | undefined>>>>
type Check = (from: never, to: never) => void
const tables: Record<string, { table: Table; check: Check; first: string; final: readonly string[] }> = {
  consent: {
    table: consentTransitions,
    check: checkConsentTransition as Check,
    first: 'active',
    final: ['revoked', 'opted_out'],
  },
  renewal: {
    table: renewalTransitions,
    check: checkRenewalTransition as Check,
    first: 'open',
    final: ['renewed', 'repaired'],
  },
  authorisation: {
    table: authorisationTransitions,
    check: checkAuthorisationTransition as Check,
    first: 'issued',
    final: ['mismatched', 'renewed'],
  },
  notification: {
    table: notificationTransitions,
    check: checkNotificationTransition as Check,
    first: 'pending',
    final: ['sent', 'uncertain'],
  },
}

describe.each(Object.entries(tables))('%s', (_, { table, check, first, final }) => {
  const states = Object.keys(table)

  test('every transition leads to another state of the table, and has a reason', () => {
    for (const [from, targets] of Object.entries(table)) {
      for (const [to, why] of Object.entries(targets)) {
        expect(states).toContain(to)
        expect(to).not.toBe(from)
        expect(why).toMatch(/\w{3}/)
      }
    }
  })

  test('every state can be reached from the first one', () => {
    const reached = new Set([first])
    for (const state of reached) for (const to of Object.keys(table[state] ?? {})) reached.add(to)
    expect([...reached].toSorted()).toEqual(states.toSorted())
  })

  test('nothing leaves a terminal state, and every other state reaches one', () => {
    expect(states.filter((state) => Object.keys(table[state] ?? {}).length === 0).toSorted()).toEqual(final.toSorted())
    for (const state of states) {
      const reached = new Set([state])
      for (const one of reached) for (const to of Object.keys(table[one] ?? {})) reached.add(to)
      expect(final.some((one) => reached.has(one))).toBe(true)
    }
  })

  test('the guard allows the transitions of the table and throws at all others', () => {
    for (const from of states) {
      for (const to of states) {
        const attempt = (): void => check(from as never, to as never)
        if (table[from]?.[to] === undefined) expect(attempt).toThrow(`${from} to ${to}`)
        else expect(attempt).not.toThrow()
      }
    }
  })

  test('the sources of a state are those that lead to it', () => {
    for (const to of states)
      expect(sourcesOf(table as never, to as never)).toEqual(states.filter((from) => table[from]?.[to] !== undefined))
  })
})

describe('transitions that must never be possible', () => {
  const never: Record<string, () => void> = {
    'a code goes back into the cell after an unknown outcome': () =>
      checkAuthorisationTransition('unknown', 'code_received'),
    'a code is sent again after an unknown outcome': () => checkAuthorisationTransition('unknown', 'exchanging'),
    'a renewal without a proof': () => checkAuthorisationTransition('exchanging', 'renewed'),
    'a message that may have been sent is tried again': () => checkNotificationTransition('uncertain', 'pending'),
    'a sent message is sent again': () => checkNotificationTransition('sent', 'pending'),
    'a user who opted out is brought back': () => checkConsentTransition('opted_out', 'active'),
    'a revoked consent is brought back': () => checkConsentTransition('revoked', 'active'),
    'a renewed cycle opens again': () => checkRenewalTransition('renewed', 'open'),
  }
  test.each(Object.entries(never))('%s', (_, attempt) => expect(attempt).toThrow('illegal transition'))
})
