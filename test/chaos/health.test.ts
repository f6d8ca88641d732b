// Levels and refusals: growth of one process beyond its own level, connections beyond the quiet ones, pauses that nothing noticed.
import { describe, expect, test } from 'vitest'
import { compareLevels, type Connections, type Course, judgeRefusals } from '../../chaos/health.ts'
import type { Struck } from '../../chaos/nemesis.ts'

const MB = 1024 * 1024
const course = (levels: readonly (readonly [seconds: number, megabytes: number, handles: number, buffers?: number])[]): Course => ({
  name: 'worker-1', role: 'worker', startedAt: 0, taken: levels.map(([seconds, heap, handles, buffers = 6]) => ({ at: seconds * 1000, sample: { heapBytes: heap * MB, bufferBytes: buffers * MB, rssBytes: heap * 2 * MB, handles } })),
})
const level: Connections = { postgres: 20, redis: 40, processes: 6 }
const named = (courses: readonly Course[], quiet: readonly Connections[] = [level, level]): string[] =>
  compareLevels(courses, quiet).violations.map(({ invariant, record, what }) => `${invariant}: ${record.split(' ')[0]} ${what.split(' ')[0]}`)

describe('levels', () => {
  const cases: Record<string, { courses: readonly Course[]; quiet?: readonly Connections[]; names: string[] }> = {
    'a level course': { courses: [course([[25, 50, 20], [90, 52, 21]])], names: [] },
    'the growth before it is warm does not count': { courses: [course([[2, 30, 8], [25, 50, 20], [90, 52, 20]])], names: [] },
    'a heap that grows by a third': { courses: [course([[25, 50, 20], [90, 66, 20]])], names: ['12: worker-1 heap'] },
    'buffers that are kept': { courses: [course([[25, 50, 20, 6], [90, 50, 20, 9]])], names: ['12: worker-1 memory'] },
    'a slab more or less': { courses: [course([[25, 50, 20, 3], [90, 50, 20, 3.9]])], names: [] },
    'handles that are never closed': { courses: [course([[25, 50, 20], [90, 50, 32]])], names: ['12: worker-1 handles'] },
    'one process that grows while another of its role is larger': {
      courses: [course([[25, 90, 20], [90, 90, 20]]), course([[25, 50, 20], [90, 80, 20]])], names: ['12: worker-1 heap'],
    },
    'connections that stay': { courses: [], quiet: [level, { postgres: 31, redis: 40, processes: 6 }], names: ['12: PostgreSQL connections'] },
    'a second connection in some of the processes': { courses: [], quiet: [{ ...level, postgres: 4 }, { ...level, postgres: 10 }], names: [] },
    'more than a second connection in each': { courses: [], quiet: [{ ...level, postgres: 4 }, { ...level, postgres: 11 }], names: ['12: PostgreSQL connections'] },
    'clients that stay': { courses: [], quiet: [level, { postgres: 20, redis: 60, processes: 6 }], names: ['12: Redis clients'] },
  }
  test.each(Object.entries(cases))('%s', (_name, { courses, quiet, names }) => {
    expect(named(courses, quiet)).toEqual(names)
  })
})

describe('refused writes', () => {
  const pause: Struck = { name: 'pause a worker past its lease', hinders: ['workers'], from: 0, to: 1, happened: 1, problem: undefined }
  const violations = (refused: number, log: readonly Struck[]): number => judgeRefusals({ refused, unexpected: [], printed: [] }, log).violations.length
  test('one pause past a lease without a refused write is a violation', () => {
    expect([violations(0, [pause]), violations(1, [pause]), violations(0, [])]).toEqual([1, 0, 0])
  })

  test('so is a search for a worker with work in hand that found none', () => {
    expect([violations(0, [{ ...pause, happened: 0 }]), violations(2, [{ ...pause, happened: 0 }])]).toEqual([1, 0])
  })
})
