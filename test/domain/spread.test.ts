import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fnv1a32, spreadFraction, spreadWithin } from '../../src/domain/spread.ts'

describe('fnv1a32 gives the published value', () => {
  const published: Record<string, { text: string; hash: number }> = {
    'of nothing': { text: '', hash: 0x811c9dc5 },
    'of one letter': { text: 'a', hash: 0xe40c292c },
    'of a word': { text: 'foobar', hash: 0xbf9cf968 },
  }
  test.each(Object.entries(published))('%s', (_, { text, hash }) => expect(fnv1a32(text)).toBe(hash))

  test('of letters beyond ASCII, by their UTF-8 bytes', () => expect(fnv1a32('é')).not.toBe(fnv1a32('e')))
})

describe('spreading', () => {
  test('puts neighbouring ids far apart: each tenth of the range gets its share of 10,000', () => {
    const tenths = Array.from({ length: 10 }, () => 0)
    for (let id = 0; id < 10_000; id++) tenths[Math.floor(spreadFraction(`consent-${id}`) * 10)]! += 1
    for (const share of tenths) expect(share).toBeGreaterThan(850)
    for (const share of tenths) expect(share).toBeLessThan(1150)
  })

  test('never changes for an id, not even from release to release', () =>
    expect(spreadFraction('consent-1')).toBeCloseTo(0.27186961099, 9))

  const rooms: Record<string, { room: number; least: number; most: number }> = {
    'a room of an hour takes whole seconds below an hour': { room: 3_600_000, least: 0, most: 3_599_000 },
    'a second before a room is a second: none': { room: 999, least: 0, most: 0 },
    'a room of one second: none is left': { room: 1000, least: 0, most: 0 },
    'no room': { room: 0, least: 0, most: 0 },
    'a negative room': { room: -5000, least: 0, most: 0 },
  }
  test.each(Object.entries(rooms))('%s', (_, { room, least, most }) => {
    fc.assert(
      fc.property(fc.string(), (key) => {
        const shift = spreadWithin(key, room)
        return shift >= least && shift <= most && shift % 1000 === 0
      }),
    )
  })
})
