import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { statesDocument } from '../../scripts/generate-states.ts'
import {
  authorisationTransitions,
  consentTransitions,
  notificationTransitions,
  renewalTransitions,
} from '../../src/domain/lifecycle.ts'

it('docs/states.md is what the transition tables say', () => {
  expect(readFileSync('docs/states.md', 'utf8')).toBe(statesDocument())
})

it('every transition stands in a table and in a diagram', () => {
  const document = statesDocument()
  for (const table of [authorisationTransitions, consentTransitions, notificationTransitions, renewalTransitions]) {
    for (const [from, targets] of Object.entries(table)) {
      for (const [to, when] of Object.entries(targets)) {
        expect(document).toContain(`| \`${from}\` | \`${to}\` | ${when} |`)
        expect(document).toContain(`    ${from} --> ${to}\n`)
      }
    }
  }
})
