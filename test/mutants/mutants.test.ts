// The list of mutants fits the sources. The check is quick, so that a commit that moves the code of a promise also
// moves its mutant.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { applied, occurrences } from './apply.ts'
import { mistakes } from './mutant.ts'
import { mutants } from './mutants.ts'

const project = join(import.meta.dirname, '../..')
const read = (file: string): string => readFileSync(join(project, file), 'utf8')

test('every mistake of the list has a mutant, and every mutant a unique name', () => {
  expect(new Set(mutants.map(({ mistake }) => mistake))).toEqual(new Set(mistakes))
  expect(mistakes).toHaveLength(21)
  expect(new Set(mutants.map(({ id }) => id)).size).toBe(mutants.length)
})

describe.each(mutants.map((mutant) => [mutant.id, mutant] as const))('%s', (_id, { edits, caughtBy }) => {
  test('fits the sources: each edit fits exactly once, and the result is TypeScript', () => {
    for (const { file, find, replace } of edits) {
      expect([file, find, occurrences(read(file), find)]).toEqual([file, find, 1])
      expect(file).toMatch(/^src\//)
      expect(replace).not.toBe(find)
    }
    for (const [file, text] of applied(edits, read)) {
      expect(text).not.toBe(read(file))
      stripTypeScriptTypes(text)
    }
  })

  test('names tests that exist', () => {
    expect(caughtBy.length).toBeGreaterThan(0)
    for (const { file, only } of caughtBy) {
      expect([file, existsSync(join(project, file))]).toEqual([file, true])
      // The tests of a contract are in another file of the folder than the file that runs them.
      const folder = dirname(file)
      const text =
        only === undefined
          ? ''
          : readdirSync(join(project, folder))
              .filter((name) => name.endsWith('.ts'))
              .map((name) => read(join(folder, name)))
              .join('\n')
      expect([
        file,
        only,
        only === undefined || text.includes(only.replaceAll("'", String.raw`\'`)) || text.includes(only),
      ]).toEqual([file, only, true])
    }
  })
})
