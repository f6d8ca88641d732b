// The same seed must give the same run: it decides the population, the plans and the order of faults.
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { faults } from './faults.ts'
import { orderOf } from './nemesis.ts'
import { readOptions, USAGE, wantsHelp } from './options.ts'
import { switchesOf } from './population.ts'
import { commandOf } from './report.ts'
import { seededChance } from './seeded.ts'
import { followClock, leadClock } from './shared-clock.ts'

const names = Object.keys(faults)

const drawn = (seed: number): number[] => {
  const chance = seededChance(seed)
  return Array.from({ length: 50 }, () => chance.between(0, 1000))
}

test('the same seed draws the same, another one does not', () => {
  expect(drawn(7)).toEqual(drawn(7))
  expect(drawn(7)).not.toEqual(drawn(8))
})

test('a branch depends on the seed and its name, not on what was drawn before', () => {
  const one = seededChance(7)
  one.next()
  expect(one.branch('users').next()).toBe(seededChance(7).branch('users').next())
  expect(one.branch('users').next()).not.toBe(one.branch('nemesis').next())
})

test('every kind of fault strikes before any strikes again, in an order of the seed', () => {
  const order = (seed: number): string[] => {
    const endless = orderOf(names, seededChance(seed))
    return names.map(() => endless.next().value)
  }
  expect(order(1)).toEqual(order(1))
  expect(order(1)).not.toEqual(order(2))
  expect(order(3).toSorted()).toEqual(names.toSorted())
})

test('a clock that follows sees every jump, and an instant leads back to the real time it was shown at', () => {
  const path = join(mkdtempSync(join(tmpdir(), 'chaos-clock-')), 'clock')
  const leader = leadClock(path)
  const follower = followClock(path)
  // The leader's time is read before and after the follower's: a busy machine may take long for the three.
  const expectTogether = (): void => {
    const [earliest, shown, latest] = [leader.now(), follower.now(), leader.now()]
    expect(shown.toMillis()).toBeGreaterThanOrEqual(earliest.toMillis())
    expect(shown.toMillis()).toBeLessThanOrEqual(latest.toMillis())
  }
  expectTogether()
  const began = Date.now()
  const before = leader.now().toJSDate()
  leader.advance({ days: 7 })
  const jumped = Date.now()
  expectTogether()
  expect(
    follower
      .now()
      .diff(leader.now().minus({ days: 7 }))
      .as('days'),
  ).toBeCloseTo(7, 3)
  for (const [instant, notBefore] of [
    [before, began],
    [leader.now().toJSDate(), jumped],
  ] as const) {
    expect(leader.realAt(instant)).toBeGreaterThanOrEqual(notBefore)
    expect(leader.realAt(instant)).toBeLessThanOrEqual(Date.now())
  }
  leader.close()
})

test('options: defaults, and a clear word about each that is wrong', () => {
  expect(readOptions(['--seed', '4'], names)).toMatchObject({
    consents: 500,
    minutes: 3,
    seed: 4,
    calm: false,
    flushEveryMs: undefined,
    busy: 0,
  })
  expect(readOptions(['--flush-every', '60s', '--consents', '10000', '--minutes', '20'], names)).toMatchObject({
    flushEveryMs: 60_000,
    consents: 10_000,
  })
  expect(() => readOptions(['--consents', 'many'], names)).toThrow('--consents must be a whole number')
  expect(() => readOptions(['--flush-every', 'often'], names)).toThrow('--flush-every must be a duration')
  expect(() => readOptions(['--busy', 'very'], names)).toThrow('--busy must be a whole number from 0 to 64')
})

test('the command that repeats a run has all its options', () => {
  const words = '--consents 40 --minutes 2 --seed 9 --flush-every 30s --busy 2 --calm --only FLUSHALL'
  const command = commandOf(readOptions(words.split(' '), names))
  expect(command.replaceAll("'", '')).toBe(`npm run chaos -- ${words}`)
})

test('whoever asks for help gets the usage text, which names every option', () => {
  expect([['--help'], ['--seed', '1', '-h'], ['--seed', '1']].map(wantsHelp)).toEqual([true, true, false])
  for (const option of ['consents', 'minutes', 'seed', 'flush-every', 'busy', 'calm', 'only', 'keep'])
    expect(USAGE).toContain(`[--${option}`)
})

test('half of the connections rotate for good, and a tenth show their date minutes to a day late', () => {
  const drawSwitches = (seed: number) => {
    const chance = seededChance(seed)
    return Array.from({ length: 2000 }, () => switchesOf(chance))
  }
  const all = drawSwitches(3)
  expect(all).toEqual(drawSwitches(3))
  const rotating = all.filter((one) => one.rotate_refresh_tokens === 'on-refresh')
  const lags = all.flatMap((one) => one.me_lag_seconds ?? [])
  expect(rotating.length / all.length).toBeCloseTo(0.5, 1)
  expect(lags.length / all.length).toBeCloseTo(0.1, 1)
  expect(Math.min(...lags)).toBeGreaterThanOrEqual(180)
  expect(Math.max(...lags)).toBeLessThanOrEqual(86_400)
  for (const [least, most] of [
    [0, 600],
    [3_600, 21_600],
    [21_600, 86_400],
  ] as const)
    expect(lags.filter((lag) => lag >= least && lag <= most).length).toBeGreaterThan(0)
  expect(all.some((one) => one.rotate_refresh_tokens !== undefined && one.me_lag_seconds !== undefined)).toBe(true)
})

test('the names in the usage text are names of faults, and others are refused', () => {
  const only = /--only '([^']+)'/.exec(USAGE)?.[1] ?? ''
  expect(readOptions(['--only', only], names).only).toEqual(only.split(','))
  expect(() => readOptions(['--only', 'kill-worker'], names)).toThrow('--only: there is no fault "kill-worker"')
})

test('every fault says what it stands in the way of, or that it is nothing', () => {
  const harmless = names.filter((name) => faults[name]?.hinders.length === 0)
  expect(harmless).toEqual(['refresh tokens rotate', 'new dates show late'])
})
