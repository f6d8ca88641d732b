// docs/configuration.md has the tables that the schemas make: every variable and policy key and no other, with the
// defaults of the code.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { withTables } from '../../scripts/generate-configuration.ts'
import { environment } from '../../src/config/environment.ts'
import { policyKeys } from '../../src/config/policy-keys.ts'
import { readPolicy } from '../../src/config/policy.ts'
import { addressParameters } from '../../src/postgres/address.ts'
import { variables } from '../../src/config/variables.ts'

const text = readFileSync(join(import.meta.dirname, '../../docs/configuration.md'), 'utf8')

/** The rows of every table whose first column has this title. */
const rowsUnder = (title: string): string[] =>
  text
    .split('\n\n')
    .filter((block) => block.startsWith(`| ${title} |`))
    .flatMap((block) => block.split('\n').slice(2))

/** The first cell of each row, and its default, once for every name in the first cell. */
const rows = [...rowsUnder('variable'), ...rowsUnder('key')].flatMap((line) => {
  const [, first, , usual] = line.split(/(?<!\\)\|/).map((cell) => cell.trim())
  const names = [...(first ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? '')
  return names.map((name) => ({ name, first: first ?? '', usual: usual ?? '' }))
})
const documented = rows.map(({ name }) => name)

describe('docs/configuration.md', () => {
  test('is what the schemas say', () => {
    expect(text).toBe(withTables(text))
  })

  test('is stale when a row differs, and cannot be checked without its markers', () => {
    const changed = text.replace('| `timing.lease` |', '| `timing.least` |')
    expect(changed).not.toBe(text)
    expect(withTables(changed)).toBe(text)
    expect(withTables(text.replace(/^\| `PORT` .*\n/m, ''))).toBe(text)
    expect(() => withTables(text.replace('<!-- timing keys', '<!-- keys'))).toThrow('timing keys')
  })

  test('says that a variable is needed, or what holds without it', () => {
    const { required = [] } = z.toJSONSchema(environment, { io: 'input', unrepresentable: 'any' })
    const needed = rows.filter(({ usual }) => usual.startsWith('needed by')).map(({ name }) => name)
    expect(needed.toSorted()).toEqual([...required].toSorted())
  })

  test('has every variable and every policy key, once, and no other', () => {
    expect(documented.toSorted()).toEqual(
      [...Object.keys(variables), ...policyKeys.map(({ path }) => path.join('.'))].toSorted(),
    )
  })

  test('has every parameter of DATABASE_URL, once, and no other', () => {
    const names = rowsUnder('parameter').flatMap((line) =>
      [...(line.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? ''),
    )
    expect(names.toSorted()).toEqual([...addressParameters].toSorted())
  })

  test('marks the variables that may come from a file', () => {
    const marked = rows.filter(({ first }) => first.includes('†')).map(({ name }) => name)
    const secrets = Object.entries(variables).flatMap(([name, { secret }]) => (secret ? [name] : []))
    expect(marked.toSorted()).toEqual(secrets.toSorted())
  })

  test('gives the real defaults of the timing', () => {
    const written = rows.filter(
      ({ name }) => name.startsWith('timing.') || name.startsWith('limits.') || name === 'link.freshFor',
    )
    const policy: Record<string, unknown> = {}
    for (const { name, usual } of written) {
      const path = name.split('.')
      const value: unknown = JSON.parse(usual.replaceAll('`', '').replaceAll("'", '"'))
      const inner = path.slice(0, -1).reduce((at, key) => (at[key] ??= {}) as Record<string, unknown>, policy)
      inner[path.at(-1) ?? ''] = value
    }
    const options = { report: () => {}, file: 'worker.config.ts', needsCompany: false }
    expect(written).toHaveLength(16)
    expect(JSON.stringify(readPolicy(policy, options))).toBe(JSON.stringify(readPolicy({}, options)))
  })
})
