// Names of webhooks are looked up one at a time.
import { expect, test } from 'vitest'
import { limitedLookups } from '../../src/webhooks/lookups.ts'
import type { Address } from '../../src/webhooks/public-address.ts'

const never = new AbortController().signal
const address: Address = { address: '192.31.195.1', family: 4 }

/** A resolver that answers when the test says so. */
const aResolver = () => {
  const asked: string[] = []
  const ends: PromiseWithResolvers<readonly Address[]>[] = []
  const lookups = limitedLookups(async (host) => {
    asked.push(host)
    const end = Promise.withResolvers<readonly Address[]>()
    ends.push(end)
    return end.promise
  })
  return { asked, ends, lookups }
}

test('each once for all that ask at that moment, and again for whoever asks later', async () => {
  const { asked, ends, lookups } = aResolver()
  const both = Promise.all([lookups('one', never), lookups('one', never)])
  await expect.poll(() => asked).toEqual(['one'])
  ends[0]?.resolve([address])
  expect(await both).toEqual([[address], [address]])
  const later = lookups('one', never)
  await expect.poll(() => asked).toEqual(['one', 'one'])
  ends[1]?.reject(new Error('ENOTFOUND'))
  await expect(later).rejects.toThrow('ENOTFOUND')
})

test('who waits behind one that hangs gives up in time, and the others have their turn', async () => {
  const { asked, ends, lookups } = aResolver()
  const hangs = lookups('hangs', never)
  const hasty = new AbortController()
  const [gone, staying] = [lookups('gone', hasty.signal), lookups('staying', never)]
  hasty.abort(new Error('timed-out'))
  await expect(gone).rejects.toThrow('timed-out')
  expect(asked).toEqual(['hangs'])
  ends[0]?.resolve([])
  expect(await hangs).toEqual([])
  await expect.poll(() => asked).toEqual(['hangs', 'staying'])
  ends[1]?.resolve([address])
  expect(await staying).toEqual([address])
  await expect(lookups('gone', hasty.signal)).rejects.toThrow('timed-out')
  expect(asked).toHaveLength(2)
})

test('a lookup that everybody has given up, and that fails later, ends nothing', async () => {
  const { asked, ends, lookups } = aResolver()
  const hasty = new AbortController()
  const given = lookups('hangs', hasty.signal)
  await expect.poll(() => asked).toHaveLength(1)
  hasty.abort(new Error('timed-out'))
  await expect(given).rejects.toThrow('timed-out')
  ends[0]?.reject(new Error('EAI_AGAIN'))
  const next = lookups('next', never)
  await expect.poll(() => asked).toEqual(['hangs', 'next'])
  ends[1]?.resolve([address])
  expect(await next).toEqual([address])
})
