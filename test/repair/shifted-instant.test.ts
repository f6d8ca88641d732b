// How a session in another zone stores and reads an instant, checked against PostgreSQL itself.
import { inject, describe, expect, test } from 'vitest'
import { instantsReadAs, isShift, readAs, shiftedBy, zonesOf } from '../../src/domain/shifted-instant.ts'
import { run } from './recorded.ts'

const at = (text: string): number => Date.parse(text)

/** Days on which the zone's clocks change, and one day without a change. */
const days: Record<string, readonly string[]> = {
  'America/New_York': ['2026-03-08', '2026-11-01', '2026-07-01'],
  'America/Sao_Paulo': ['2018-11-04', '2019-02-17', '2026-01-01'],
  'Asia/Kolkata': ['2026-01-01'],
  'Australia/Lord_Howe': ['2026-04-05', '2026-10-04'],
  'Europe/Dublin': ['2026-03-29', '2026-10-25'],
  'Europe/London': ['2026-03-29', '2026-10-25'],
  'Pacific/Chatham': ['2026-04-05', '2026-09-27'],
  'Pacific/Kiritimati': ['2026-01-01'],
}

describe.each(Object.entries(days))('a session in %s', (zone, changing) => {
  const instants = changing.flatMap((day) =>
    Array.from({ length: 4 * 72 }, (_, quarter) => at(`${day}T00:00:00.123Z`) - 86_400_000 + quarter * 900_000),
  )
  const texts = instants.map((instant) => new Date(instant).toISOString())
  const ask = async (expression: string): Promise<number[]> => {
    const rows = await run(inject('postgresUrl'), [
      `SELECT (extract(epoch FROM ${expression}) * 1000)::float8 AS at FROM unnest($2::text[]) WITH ORDINALITY ` +
        'AS given (text, place), (SELECT $1::text AS zone) AS session ORDER BY place',
      [zone, texts],
    ])
    return rows.map((row) => Number(row['at']))
  }

  test('stores the instants that our functions say it stores', async () => {
    expect(instants.map((instant) => shiftedBy(zone, instant))).toEqual(
      await ask(`(text::timestamptz AT TIME ZONE 'UTC') AT TIME ZONE zone`),
    )
  })

  test('reads the instants that our functions say it reads; and each reading leads back to its instants', async () => {
    const read = await ask(`(text::timestamptz AT TIME ZONE zone) AT TIME ZONE 'UTC'`)
    expect(instants.map((instant) => readAs(zone, instant))).toEqual(read)
    for (const [index, instant] of instants.entries()) expect(instantsReadAs(zone, read[index] ?? 0)).toContain(instant)
  })

  test('whatever it stored is a shift that one zone can have caused', () => {
    for (const instant of instants)
      expect(isShift({ meant: instant, stored: shiftedBy(zone, instant) })).toBe(shiftedBy(zone, instant) !== instant)
  })
})

describe('the zones of some shifts', () => {
  const shifts = (zone: string, from: string, count = 40) =>
    Array.from({ length: count }, (_, day) => at(from) + day * 86_400_000).map((meant) => ({
      meant,
      stored: shiftedBy(zone, meant),
    }))

  test('none, where there are none', () => {
    expect(zonesOf([])).toEqual([])
  })

  test('one, by the day on which its clocks change', () => {
    const [found, ...others] = zonesOf(shifts('America/New_York', '2026-02-20T12:00:00Z'))
    expect(others).toEqual([])
    expect(found?.names[0]).toBe('America/New_York')
    for (const other of ['America/Bogota', 'America/Chicago']) expect(found?.names).not.toContain(other)
  })

  test('the one that the server is set to, among those that explain the same', () => {
    expect(zonesOf(shifts('America/Toronto', '2026-02-20T12:00:00Z'), ['America/Toronto'])[0]?.names[0]).toBe(
      'America/Toronto',
    )
  })

  test('one that no place has', () => {
    expect(zonesOf(shifts('Etc/GMT+12', '2026-01-01T12:00:00Z', 10))[0]?.names).toEqual(['Etc/GMT+12'])
  })

  test('one whose clocks skip two hours', () => {
    const found = zonesOf(shifts('Antarctica/Troll', '2026-03-29T02:30:00Z', 5), ['Antarctica/Troll'])
    expect(found.map(({ names }) => names[0])).toEqual(['Antarctica/Troll'])
  })

  test('two, one after the other', () => {
    const found = zonesOf([
      ...shifts('Asia/Kolkata', '2026-01-01T12:00:00Z', 10),
      ...shifts('Europe/Berlin', '2026-03-01T12:00:00Z'),
    ])
    expect(found.map(({ names }) => names[0])).toEqual(['Europe/Berlin', 'Asia/Kolkata'])
  })

  test('a value that several imports moved: the same zone that many times', () => {
    const meant = at('2026-05-01T00:00:00Z')
    const twice = readAs('Asia/Kolkata', readAs('Asia/Kolkata', meant))
    expect(zonesOf([{ meant: twice, stored: meant, times: 2 }], ['Asia/Kolkata'])[0]?.names[0]).toBe('Asia/Kolkata')
  })
})

test.each([
  ['half an hour', 30, true],
  ['14 hours', 14 * 60, true],
  ['16 hours', 16 * 60, false],
  ['no time at all', 0, false],
])('%s', (_, minutes, expected) => {
  expect(isShift({ meant: 0, stored: minutes * 60_000 })).toBe(expected)
  expect(isShift({ meant: minutes * 60_000, stored: 0 })).toBe(expected)
  expect(isShift({ meant: minutes * 60_000, stored: 1 })).toBe(false)
})
