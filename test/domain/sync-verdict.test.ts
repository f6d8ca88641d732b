import { describe, expect, test } from 'vitest'
import { judgeSync, type SyncFound, type SyncVerdict } from '../../src/domain/sync-verdict.ts'

describe('of a list that lacks', () => {
  const table: Record<string, [SyncFound, number, SyncVerdict]> = {
    'nothing, none is to be paused': [{ active: 100, missing: 0 }, 5, { share: 0, mayPause: true }],
    'less than the share, they may be': [{ active: 1000, missing: 49 }, 5, { share: 4.9, mayPause: true }],
    'just the share, they may be': [{ active: 1000, missing: 50 }, 5, { share: 5, mayPause: true }],
    'one more, they may not': [{ active: 1000, missing: 51 }, 5, { share: 5.1, mayPause: false }],
    'one of few, it may not': [{ active: 10, missing: 1 }, 5, { share: 10, mayPause: false }],
    'all, they may not': [{ active: 3, missing: 3 }, 5, { share: 100, mayPause: false }],
    'all, and all may be paused': [{ active: 3, missing: 3 }, 100, { share: 100, mayPause: true }],
    'one, and none may be paused': [{ active: 200_000, missing: 1 }, 0, { share: 0, mayPause: false }],
    'what nobody has': [{ active: 0, missing: 0 }, 5, { share: 0, mayPause: true }],
  }
  test.each(Object.entries(table))('%s', (_, [found, atMost, verdict]) => {
    expect(judgeSync(found, atMost)).toEqual(verdict)
  })
})
