// The tables of transitions: every state is covered, and every transition ends in a state of the table. store/moves.ts
// allows no other transition.
import { describe, expect, test } from 'vitest'
import {
  authorisationTransitions,
  consentTransitions,
  notificationTransitions,
  renewalTransitions,
  sourcesOf,
} from '../../src/domain/lifecycle.ts'

type Table = Readonly<Record<string, Readonly<Record<string, string | undefined>>>>
const tables: Record<string, { table: Table; first: string; final: readonly string[] }> = {
  consent: {
    table: consentTransitions,
    first: 'active',
    final: ['revoked', 'opted_out'],
  },
  renewal: {
    table: renewalTransitions,
    first: 'open',
    final: ['renewed', 'repaired'],
  },
  authorisation: {
    table: authorisationTransitions,
    first: 'issued',
    final: ['mismatched', 'renewed'],
  },
  notification: {
    table: notificationTransitions,
    first: 'pending',
    final: ['sent', 'uncertain'],
  },
}

describe.each(Object.entries(tables))('%s', (_, { table, first, final }) => {
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

  test('the sources of a state are those that lead to it', () => {
    for (const to of states)
      expect(sourcesOf(table as never, to as never)).toEqual(states.filter((from) => table[from]?.[to] !== undefined))
  })
})

describe('transitions that must never be possible', () => {
  test.each<[string, readonly string[], string]>([
    [
      'a code goes back into the cell after an unknown outcome',
      sourcesOf(authorisationTransitions, 'code_received'),
      'in_doubt',
    ],
    ['a code is sent again after an unknown outcome', sourcesOf(authorisationTransitions, 'exchanging'), 'in_doubt'],
    ['a code is sent again after a late date', sourcesOf(authorisationTransitions, 'exchanging'), 'awaiting_date'],
    ['a renewal without a proof', sourcesOf(authorisationTransitions, 'renewed'), 'exchanging'],
    ['a message that may have been sent is tried again', sourcesOf(notificationTransitions, 'pending'), 'uncertain'],
    ['a sent message is sent again', sourcesOf(notificationTransitions, 'pending'), 'sent'],
    ['a user who opted out is brought back', sourcesOf(consentTransitions, 'active'), 'opted_out'],
    ['a revoked consent is brought back', sourcesOf(consentTransitions, 'active'), 'revoked'],
    ['a renewed cycle opens again', sourcesOf(renewalTransitions, 'open'), 'renewed'],
  ])('%s', (_, sources, from) => expect(sources).not.toContain(from))
})
