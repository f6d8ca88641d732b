// Calls that wait for their turn.
import { expect, test } from 'vitest'
import { atMost } from '../../src/processors/at-most.ts'

test('so many run at once, the others in their order, and one that fails gives its place on', async () => {
  const inTurn = atMost(2)
  const begun: number[] = []
  const ends: PromiseWithResolvers<void>[] = []
  const calls = [0, 1, 2, 3, 4].map(async (number) => {
    const end = Promise.withResolvers<void>()
    ends.push(end)
    return inTurn(async () => {
      begun.push(number)
      await end.promise
      return number
    })
  })
  const settled = Promise.allSettled(calls)
  const turns = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  await turns()
  expect(begun).toEqual([0, 1])
  ends[1]?.reject(new Error('in vain'))
  await turns()
  expect(begun).toEqual([0, 1, 2])
  for (const end of ends) end.resolve()
  expect((await settled).map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
    'fulfilled',
    'fulfilled',
  ])
  expect(begun).toEqual([0, 1, 2, 3, 4])
  expect(await inTurn(async () => 'again')).toBe('again')
})
