// Refused writes in a log, and which of them belong to a process that slept past its lease while another process took
// its record over.
import { expect, test } from 'vitest'
import { STALE_CLAIM } from '../../src/processors/outcome.ts'
import { withPausesNoted } from './nemesis.ts'
import { isRefusal, ofSleepers, refusalIn } from './refusals.ts'
import type { Pause } from './struck.ts'

const RECORD = '00000000-0000-4000-8000-000000000001'
const at = (seconds: number): Date => new Date(Date.UTC(2027, 0, 1, 12, 0, seconds))
const lineOf = (fields: object): string =>
  JSON.stringify({
    level: 'debug',
    time: at(10).toISOString(),
    pid: 77,
    hostname: 'here',
    queue: 'notify',
    job_id: `${RECORD}-12`,
    result: 'skipped',
    reason: STALE_CLAIM.reason,
    msg: 'job ended',
    ...fields,
  })

test('a line is a refusal by the words of the processors themselves', () => {
  expect(isRefusal(lineOf({ reason: STALE_CLAIM.reason }))).toBe(true)
  expect(isRefusal(lineOf({ reason: 'another worker is at it' }))).toBe(false)
  expect(isRefusal(lineOf({ reason: 'no longer wanted: another worker took over' }))).toBe(false)
})

test('it tells whose record it was, and who was refused when', () => {
  expect(refusalIn('worker-1', lineOf({}))).toEqual({ who: 'worker-1:77', recordId: RECORD, at: at(10).getTime() })
  expect(refusalIn('worker-1', lineOf({ reason: 'nothing is due' }))).toBeUndefined()
  expect(refusalIn('worker-1', `torn ${STALE_CLAIM.reason}`)).toBeUndefined()
})

const slept: Pause = { seat: 'worker-1', pid: 77, from: at(3).getTime(), to: at(9).getTime() }
const refusal = { who: 'worker-1:77', recordId: RECORD, at: at(10).getTime() }
const takeover = { row_id: RECORD, holder: 'worker-1:77', at: at(6) }
test.each<[string, Partial<typeof refusal>, Partial<typeof takeover>, Partial<Pause>, number]>([
  ['whose record another took over meanwhile', {}, {}, {}, 1],
  ['whose record an operator’s pause had taken', {}, { row_id: 'another' }, {}, 0],
  ['whose record was taken over before', {}, { at: at(2) }, {}, 0],
  ['whose record was taken over when it was awake again', {}, { at: at(10) }, {}, 0],
  ['that had been woken within its lease', {}, { at: at(9) }, { from: at(8).getTime() }, 0],
  ['while another process of its seat was refused', { who: 'worker-1:78' }, {}, {}, 0],
  ['and was refused long after', { at: at(40).getTime() }, {}, {}, 0],
  ['that was another', {}, {}, { pid: 78 }, 0],
])('a refusal counts for a sleeper %s: %s', (_name, refused, taken, pause, count) => {
  expect(ofSleepers([{ ...refusal, ...refused }], [{ ...takeover, ...taken }], [{ ...slept, ...pause }])).toHaveLength(
    count,
  )
})

test('the nemesis notes which process it stopped and when', async () => {
  const pauses: Pause[] = []
  const before = Date.now()
  const fleet = withPausesNoted(
    { pauseWhile: async <Result>(_: unknown, work: () => Promise<Result>): Promise<Result> => work() } as Parameters<
      typeof withPausesNoted
    >[0],
    pauses,
  )
  const member = { name: 'worker-1', process: { pid: 77 } } as Parameters<typeof fleet.pauseWhile>[0]
  expect(await fleet.pauseWhile(member, async () => 'slept')).toBe('slept')
  await expect(fleet.pauseWhile(member, async () => Promise.reject(new Error('its work failed')))).rejects.toThrow(
    'its work failed',
  )
  expect(pauses).toMatchObject([
    { seat: 'worker-1', pid: 77 },
    { seat: 'worker-1', pid: 77 },
  ])
  for (const { from, to } of pauses) expect(before <= from && from <= to && to <= Date.now()).toBe(true)
})
