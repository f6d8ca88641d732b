// What a run tells of the connections that the provider treats in a way of their own.
import { expect, test } from 'vitest'
import { everyWayRenewed, waysOf } from './own-ways.ts'

const users = [
  { credentialsId: 'plain', switches: {} },
  { credentialsId: 'rotating', switches: { rotate_refresh_tokens: 'on-refresh' } },
  { credentialsId: 'unused', switches: { rotate_refresh_tokens: 'on-refresh' } },
  { credentialsId: 'late', switches: { me_lag_seconds: 300 } },
  { credentialsId: 'both', switches: { rotate_refresh_tokens: 'on-refresh', me_lag_seconds: 81_000 } },
] as const
const renewals = new Map([
  ['plain', 5],
  ['rotating', 1],
  ['both', 2],
])
const rotations = new Map([
  ['plain', 7],
  ['rotating', 3],
  ['unused', 1],
])

test('it tells how many there are, and how many were renewed so', () => {
  expect(everyWayRenewed(waysOf(users, { renewals, rotations }), true)).toMatchObject({
    looked: 5,
    violations: [],
    notShown: undefined,
    notes: [
      '3 rotate their refresh token with every refresh: 3 renewals of 2 of them; 4 rotations of 2 of them, 1 of ' +
        'these renewed',
      '2 show a new date late: 2 renewals of 1 of them; by 5 min to 22.5 h',
    ],
  })
})

test('a full run fails where none was renewed, a short one says so', () => {
  const ways = waysOf(users, { renewals: new Map([['rotating', 1]]), rotations })
  expect(everyWayRenewed(ways, true).violations).toEqual([
    { invariant: 0, record: 'connections that show a new date late', what: 'none was renewed' },
  ])
  expect(everyWayRenewed(ways, false)).toMatchObject({
    violations: [],
    notShown: 'none was renewed of those that show a new date late',
  })
  expect(everyWayRenewed(waysOf([], { renewals, rotations }), false).notes[1]).toMatch(
    /^0 show a new date late: .* none$/,
  )
})
