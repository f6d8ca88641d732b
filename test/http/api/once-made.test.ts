// What is made once: for everybody, and again after a failure alone.
import { expect, test } from 'vitest'
import { onceMade } from '../../../src/http/api/once-made.ts'

test('is made once for all who ask, and again only after a failure', async () => {
  let makings = 0
  const ask = onceMade(async () => {
    makings += 1
    if (makings === 1) throw new Error('planted')
    return makings
  })
  const [one, other] = await Promise.allSettled([ask(), ask()])
  expect([one.status, other.status, makings]).toEqual(['rejected', 'rejected', 1])
  expect([await ask(), await ask()]).toEqual([2, 2])
})
