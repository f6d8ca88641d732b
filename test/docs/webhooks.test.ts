// docs/webhooks.md against the tables that it describes.
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { webhookDelays } from '../../src/domain/webhook-retries.ts'
import { webhookTypes } from '../../src/domain/webhook-types.ts'

const page = readFileSync('docs/webhooks.md', 'utf8')

it('docs/webhooks.md has each type, and none that is not told', () => {
  const named = [...page.matchAll(/^\| `([a-z]+\.[a-z_]+)` \|/gm)].map(([, type]) => type)
  expect(named.toSorted()).toEqual([...webhookTypes].toSorted())
})

it('docs/webhooks.md tells the delays between tries', () => {
  const words = webhookDelays.map((delay) => {
    const [hours, minutes] = [Math.floor(delay.as('hours')), Math.floor(delay.as('minutes'))]
    return hours > 0 ? `${hours} h` : minutes > 0 ? `${minutes} min` : `${delay.as('seconds')} s`
  })
  expect(page.replaceAll(/\s+/g, ' ')).toContain(`after ${words.slice(0, -1).join(', ')} and ${words.at(-1)}`)
})
