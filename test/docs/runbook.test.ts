import { globSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { commandNames } from '../../src/commands/catalogue.ts'
import { errorTable, runbookAnchor, type ErrorCode } from '../../src/errors.ts'

const runbook = readFileSync('docs/runbook.md', 'utf8')
const codes = Object.keys(errorTable) as ErrorCode[]
const headings = (level: string): string[] =>
  [...runbook.matchAll(new RegExp(`^${level} (.+)$`, 'gm'))].map(([, title = '']) => title)

describe('docs/runbook.md', () => {
  it('has a heading for each error code, in the order of the table, and none for a code that no longer exists', () => {
    expect(headings('###')).toEqual(codes)
  })

  it.each(codes)('explains what Reconsent does about %s and what an operator does', (code) => {
    const section = runbook.split(`\n### ${code}\n`)[1]?.split(/\n#+ /)[0] ?? ''
    expect(section).toContain('**You**')
    expect(runbookAnchor(code)).toBe(`docs/runbook.md#${code}`)
  })

  it('links to headings that exist', () => {
    const targets = [...runbook.matchAll(/\]\(#([a-z-]+)\)/g)].map(([, anchor]) => anchor)
    for (const target of targets) expect([...headings('##'), ...headings('###')]).toContain(target)
  })

  it('has the headings to which the program links', () => {
    const sources = globSync('src/**/*.ts')
      .map((file) => readFileSync(file, 'utf8'))
      .join('\n')
    const targets = [...sources.matchAll(/docs\/runbook\.md#([a-z-]+)/g)].map(([, anchor]) => anchor)
    expect(targets.length).toBeGreaterThan(0)
    for (const target of targets) expect([...headings('##'), ...headings('###')]).toContain(target)
  })

  it('calls commands that exist', () => {
    const called = [...runbook.matchAll(/reconsent ([a-z]+) /g)].map(([, command]) => command)
    expect(called.length).toBeGreaterThan(10)
    for (const command of called) expect(commandNames).toContain(command)
  })
})
