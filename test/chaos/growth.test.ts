// Levels: growth of one process beyond its own level or its role's, growth of connections beyond the quiet level, and
// for how long each role was observed.
import { describe, expect, test } from 'vitest'
import type { Role } from '../../src/main.ts'
import type { Checked } from './checked.ts'
import { compareLevels, type Connections, type Course, type Wanted } from './growth.ts'

const MB = 1024 * 1024
type Look = readonly [seconds: number, megabytes: number, handles: number, buffers?: number]
const course = (
  looks: readonly Look[],
  {
    role = 'worker',
    name = `${role}-1`,
    busy = () => false,
  }: { role?: Role; name?: string; busy?: (seconds: number) => boolean } = {},
): Course => ({
  name,
  role,
  startedAt: 0,
  taken: looks.map(([seconds, heap, handles, buffers = 6]) => ({
    at: seconds * 1000,
    rested: !busy(seconds),
    sample: { heapBytes: heap * MB, bufferBytes: buffers * MB, rssBytes: heap * 2 * MB, handles },
  })),
})
const level: Connections = { postgres: 20, redis: 40, processes: 6 }
const nothing: Wanted = { roles: [], forMs: 0, isDemanded: false }
const compared = (
  courses: readonly Course[],
  wanted: Wanted = nothing,
  quiet: readonly Connections[] = [level, level],
): Checked => compareLevels(courses, quiet, wanted)
const named = ({ violations }: Pick<Checked, 'violations'>): string[] =>
  violations.map(({ invariant, record, what }) => `${invariant}: ${record.split(' ')[0]} ${what.split(' ')[0]}`)

describe('levels', () => {
  const cases: Record<string, { courses: readonly Course[]; quiet?: readonly Connections[]; names: string[] }> = {
    'a level course': {
      courses: [
        course([
          [25, 50, 20],
          [90, 52, 21],
        ]),
      ],
      names: [],
    },
    'the growth before it is warm does not count': {
      courses: [
        course([
          [2, 30, 20],
          [25, 50, 20],
          [90, 52, 20],
        ]),
      ],
      names: [],
    },
    'a heap that grows by a third': {
      courses: [
        course([
          [25, 50, 20],
          [90, 66, 20],
        ]),
      ],
      names: ['12: worker-1 heap'],
    },
    'buffers that are kept': {
      courses: [
        course([
          [25, 50, 20, 6],
          [90, 50, 20, 9],
        ]),
      ],
      names: ['12: worker-1 memory'],
    },
    'a slab more or less': {
      courses: [
        course([
          [25, 50, 20, 3],
          [90, 50, 20, 3.9],
        ]),
      ],
      names: [],
    },
    'handles that are never closed': {
      courses: [
        course([
          [25, 50, 20],
          [90, 50, 32],
        ]),
      ],
      names: ['12: worker-1 handles'],
    },
    'a connection that is open at the moment of the look': {
      courses: [
        course(
          [
            [25, 50, 6],
            [90, 50, 8],
          ],
          { role: 'web' },
        ),
      ],
      names: [],
    },
    'one process that grows while another of its role is larger': {
      courses: [
        course([
          [25, 90, 20],
          [90, 90, 20],
        ]),
        course([
          [25, 50, 20],
          [90, 80, 20],
        ]),
      ],
      names: ['12: worker-1 heap'],
    },
    'handles that it had already kept when it was first looked at': {
      courses: [
        course([[15, 50, 13]], { name: 'worker-2' }),
        course([
          [600, 50, 30],
          [700, 50, 30],
        ]),
      ],
      names: ['12: worker-1 handles'],
    },
    'another role has others open': {
      courses: [
        course([[15, 50, 6]], { role: 'web' }),
        course([
          [15, 50, 13],
          [600, 50, 13],
          [700, 50, 13],
        ]),
      ],
      names: [],
    },
    'connections that stay': {
      courses: [],
      quiet: [level, { postgres: 31, redis: 40, processes: 6 }],
      names: ['12: PostgreSQL connections'],
    },
    'a second connection in some of the processes': {
      courses: [],
      quiet: [
        { ...level, postgres: 4 },
        { ...level, postgres: 10 },
      ],
      names: [],
    },
    'more than a second connection in each': {
      courses: [],
      quiet: [
        { ...level, postgres: 4 },
        { ...level, postgres: 11 },
      ],
      names: ['12: PostgreSQL connections'],
    },
    'clients that stay': {
      courses: [],
      quiet: [level, { postgres: 20, redis: 60, processes: 6 }],
      names: ['12: Redis clients'],
    },
  }
  test.each(Object.entries(cases))('%s', (_name, { courses, quiet, names }) => {
    expect(named(compared(courses, nothing, quiet))).toEqual(names)
  })
})

describe('looks while work goes on', () => {
  const busy = (seconds: number): boolean => seconds < 600
  const every = (from: number, to: number, by: number): number[] =>
    Array.from({ length: Math.floor((to - from) / by) + 1 }, (_, index) => from + index * by)
  /**
   * Under load every second sample includes ten megabytes of work in hand, and more sockets; then two samples at rest.
   */
  const life = (heapAt: (seconds: number) => number, from = 30): Course =>
    course(
      [
        ...every(from, 570, 30).map((at): Look => [at, heapAt(at) + (at % 60 === 0 ? 0 : 10), 30]),
        [620, heapAt(620), 13],
        [680, heapAt(680), 13],
      ],
      { busy },
    )

  test('what is in hand is no growth, nor are its sockets', () => {
    expect(compared([life(() => 50)])).toMatchObject({
      looked: 1,
      violations: [],
      notes: [
        expect.stringContaining('worker-1, over 650 s, 21 looks: heap 50.0 MB → 50.0 MB') as string,
        expect.anything(),
      ],
    })
  })

  test('what is never given back is found, though each rest shows it level', () => {
    expect(named(compared([life((at) => 50 + at / 50)]))).toEqual(['12: worker-1 heap'])
    expect(named(compared([life((at) => Math.min(50 + at / 30, 65))]))).toEqual(['12: worker-1 heap'])
  })

  test('one or two looks alone are no level, with a rest among them they are', () => {
    expect(
      compared([
        course(
          [
            [500, 50, 30],
            [530, 50, 30],
          ],
          { busy },
        ),
      ]).looked,
    ).toBe(0)
    expect(
      named(
        compared([
          course(
            [
              [500, 70, 30],
              [560, 50, 30],
              [620, 50, 13],
              [680, 61, 13],
            ],
            { busy },
          ),
        ]),
      ),
    ).toEqual(['12: worker-1 heap'])
  })
})

describe('for how long', () => {
  const roles = ['web', 'worker', 'scheduler'] as const
  const lived = (seconds: number, role: Role): Course =>
    course(
      [
        [30, 50, 10],
        [30 + seconds, 50, 10],
      ],
      { role },
    )
  const wanted = { roles, forMs: 300_000 }
  const all = roles.map((role) => lived(300, role))

  test('a full run fails where no process of a role was looked at for a quarter of it', () => {
    expect(compared(all, { ...wanted, isDemanded: true })).toMatchObject({ violations: [], notShown: undefined })
    const { violations } = compared([...all.slice(0, 2), lived(299, 'scheduler'), lived(53, 'scheduler')], {
      ...wanted,
      isDemanded: true,
    })
    expect(violations).toEqual([
      {
        invariant: 12,
        record: 'the run',
        what: 'no scheduler was looked at for more than 299 s; a quarter of this run is 300 s',
      },
    ])
    expect(compared(all.slice(1), { ...wanted, isDemanded: true }).violations).toHaveLength(1)
  })

  test('another says what it did not show', () => {
    expect(compared(all, { ...wanted, isDemanded: false }).notShown).toBeUndefined()
    expect(compared(all.slice(1), { ...wanted, isDemanded: false })).toMatchObject({
      violations: [],
      notShown: 'no web was looked at for more than 0 s; a quarter of this run is 300 s',
    })
  })

  test('of each seat the longest life is shown', () => {
    const { notes, looked } = compared([lived(40, 'web'), lived(400, 'web'), lived(100, 'web'), lived(500, 'worker')], {
      ...wanted,
      isDemanded: false,
    })
    expect(looked).toBe(4)
    expect(notes.slice(0, -1).map((note) => note.split(',').slice(0, 2).join())).toEqual([
      'worker-1, over 500 s',
      'web-1, over 400 s',
    ])
  })
})
