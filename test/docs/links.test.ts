import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'

const files = globSync('**/*', { exclude: ['node_modules', '**/node_modules', '.git'] })
const pages = globSync(['*.md', 'docs/**/*.md', 'deploy/*.md', 'simulator/*.md'])

const anchorsOf = (page: string): string[] =>
  [...readFileSync(page, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\d _-]/gu, '')
      .trim()
      .replaceAll(' ', '-'),
  )

describe.each(pages)('%s', (page) => {
  const text = readFileSync(page, 'utf8')

  it('links to files and headings that exist', () => {
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^[a-z]+:/.test(target))
    for (const target of targets) {
      const [file = '', anchor] = target.split('#')
      const path = file === '' ? page : join(dirname(page), file)
      expect(existsSync(path), `${page} links to ${target}`).toBe(true)
      if (anchor !== undefined) expect(anchorsOf(path), `${page} links to ${target}`).toContain(anchor)
    }
  })

  it('names files that exist', () => {
    const named = [...text.matchAll(/`([\w./-]+\.(?:ts|ya?ml|sql|json|css|html))`/g)].map(([, name = '']) => name)
    for (const name of named)
      expect(
        files.some((file) => file === name || file.endsWith(`/${name}`)),
        `${page} names ${name}`,
      ).toBe(true)
  })
})

it('decisions are numbered without gaps and fit a page', () => {
  const decisions = pages
    .filter((page) => page.startsWith(join('docs', 'decisions')))
    .map((page) => page.split(/[/\\]/).at(-1) ?? '')
  expect(decisions.map((name) => Number(name.slice(0, 4))).sort((a, b) => a - b)).toEqual(
    decisions.map((_, index) => index + 1),
  )
  for (const name of decisions)
    expect(readFileSync(join('docs', 'decisions', name), 'utf8').split('\n').length).toBeLessThanOrEqual(41)
})
