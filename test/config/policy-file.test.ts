// Where the program looks for the policy, which kinds of file it accepts, and what it reports when it cannot load one.
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ConfigError, loadConfig } from '../../src/config.ts'
import { aDirectory, soundEnv } from './environment.ts'

const nameFrom = async (cwd: string, named?: string): Promise<string> => {
  const config = await loadConfig({ env: { ...soundEnv, RECONSENT_CONFIG: named }, cwd, needs: ['web'] })
  return config.policy.company.name
}

const problemsFrom = async (cwd: string, named?: string): Promise<string[]> => {
  const error = await nameFrom(cwd, named).catch((thrown: unknown) => thrown)
  return error instanceof ConfigError ? error.problems.map(({ where, what }) => `${where}: ${what}`) : []
}

describe('the policy file', () => {
  test('is worker.config.ts in the working directory', async () => {
    const cwd = aDirectory({ 'worker.config.ts': "const name: string = 'Typed'\nexport default { company: { name } }" })
    expect(await nameFrom(cwd)).toBe('Typed')
  })

  test('of this repository is sound', async () => {
    expect(await nameFrom(join(import.meta.dirname, '../..'))).toBe('Example Company')
  })

  test('may use defineConfig, which adds nothing', async () => {
    const defineConfig = new URL('../../src/config/define-config.ts', import.meta.url).href
    const text =
      `import { defineConfig } from ${JSON.stringify(defineConfig)}\nexport default defineConfig({ company: { ` +
      "name: 'Defined' } })"
    expect(await nameFrom(aDirectory({ 'worker.config.ts': text }))).toBe('Defined')
  })

  test.each([
    ['policy.mjs', "export default { company: { name: 'Named' } }"],
    ['policy.cjs', "module.exports = { company: { name: 'Named' } }"],
    ['policy.mts', "export default { company: { name: 'Named' as string } }"],
    ['policy.json', '{ "company": { "name": "Named" } }'],
  ])('may be another file, named by path or file URL: %s', async (file, text) => {
    const cwd = aDirectory({ [file]: text, 'worker.config.ts': 'throw new Error("not this one")' })
    expect(await nameFrom(cwd, file)).toBe('Named')
    expect(await nameFrom('/nowhere', join(cwd, file))).toBe('Named')
    expect(await nameFrom('/nowhere', pathToFileURL(join(cwd, file)).href)).toBe('Named')
  })

  test('may be missing: then only the company has no default', async () => {
    expect(await problemsFrom(aDirectory())).toEqual([
      "company.name: is not set. Messages and pages name it: set company: { name: '…' } in worker.config.ts",
    ])
  })

  test('must be there when it was named', async () => {
    const cwd = aDirectory()
    expect(await problemsFrom(cwd, 'other.ts')).toEqual([
      `RECONSENT_CONFIG: names a file that does not exist: ${join(cwd, 'other.ts')}`,
    ])
    expect(await problemsFrom(cwd, 'file://host/x.ts')).toEqual([
      'RECONSENT_CONFIG: is not a usable file URL: write file:///path/to/worker.config.ts, or a path',
    ])
  })

  test.each([
    [
      'throws an Error',
      "throw new RangeError('out of luck\\nsecond line')",
      'could not be loaded: RangeError: out of luck',
    ],
    ['throws something else', 'throw 5', 'could not be loaded: it threw something that is not an Error'],
    [
      'has no default export',
      'export const policy = {}',
      'has no default export: write export default defineConfig({ … })',
    ],
    ['exports a function', 'export default () => ({})', 'must export a policy object, not a function'],
    ['exports a list', 'export default []', 'must export a policy object, not a list'],
    ['exports null', 'export default null', 'must export a policy object, not null'],
    ['exports text', "export default 'policy'", 'must export a policy object, not a string'],
    ['exports nothing', 'export default undefined', 'must export a policy object, not undefined'],
    ['exports a Map', "export default new Map([['ladder', []]])", 'must export a policy object, not a Map'],
    ['exports a promise', 'export default Promise.resolve({})', 'must export a policy object, not a Promise'],
    [
      'exports an instance',
      'export default new (class { ladder = [] })()',
      'must export a policy object, not an instance of a class',
    ],
    [
      'has a getter that throws',
      "export default { get ladder() { throw new TypeError('no ladder') } }",
      'could not be loaded: TypeError: no ladder',
    ],
    [
      'exports a Proxy that throws',
      "export default new Proxy({}, { getPrototypeOf() { throw new Error('no access') } })",
      'could not be loaded: Error: no access',
    ],
  ])('that %s is refused, once', async (_, text, what) => {
    expect(await problemsFrom(aDirectory({ 'worker.config.ts': text }))).toEqual([`worker.config.ts: ${what}`])
  })

  test('may be made by a Proxy, getters, another object without prototype', async () => {
    const text = `const company = Object.assign(Object.create(null), { name: 'Made' })
      export default new Proxy({ get company() { return company } }, {})`
    expect(await nameFrom(aDirectory({ 'worker.config.ts': text }))).toBe('Made')
  })

  test.each([
    ['link: new Map()', 'link: must be an object: { … }'],
    ['link: () => ({})', 'link: must be an object: { … }'],
    ['link: []', 'link: must be an object: { … }'],
    ['providers: new Map()', 'providers: must be an object: { … }'],
    ['timing: { retry: Promise.resolve({}) }', 'timing.retry: must be an object: { … }'],
    ['ladder: new Set()', 'ladder: must be a list: [ … ]'],
    ["spread: new String('2h')", /^spread: must be a duration: .*, or false$/],
    ['link: { freshFor: new Date() }', /^link\.freshFor: must be a duration: /],
  ])('with %s is refused, instead of taking its defaults', async (text, problem) => {
    const file = `export default { company: { name: 'x' }, ${text} }`
    expect(await problemsFrom(aDirectory({ 'worker.config.ts': file }))).toEqual([
      typeof problem === 'string' ? problem : expect.stringMatching(problem),
    ])
  })

  test.each(['{ "__proto__": { "company": {} } }', '{ "providers": { "__proto__": { "reauth": "no" } } }'])(
    'with a prototype is refused: %s',
    async (text) => {
      expect(await problemsFrom(aDirectory({ 'p.json': text }), 'p.json')).toEqual([
        'p.json: could not be loaded: TypeError: __proto__ is no key of a policy',
      ])
    },
  )

  test('with a circle in it is refused', async () => {
    const file = "const policy = { company: { name: 'x' } }; policy.company.policy = policy; export default policy"
    expect(await problemsFrom(aDirectory({ 'worker.config.ts': file }))).toEqual([
      'company.policy: is not a key of the policy. Known here: name.',
    ])
  })

  test('with a mistake in its syntax is refused with the reason', async () => {
    expect(await problemsFrom(aDirectory({ 'worker.config.ts': 'export default {' }))).toEqual([
      expect.stringMatching(/^worker\.config\.ts: could not be loaded: /),
    ])
    expect(await problemsFrom(aDirectory({ 'p.json': '{' }), 'p.json')).toEqual([
      expect.stringMatching(/^p\.json: could not be loaded: SyntaxError: /),
    ])
  })

  test('of an unknown kind is refused', async () => {
    expect(await problemsFrom(aDirectory({ 'policy.yaml': '' }), 'policy.yaml')).toEqual([
      'RECONSENT_CONFIG: names a file of an unknown kind: it must end in .ts, .mts, .js, .mjs, .cjs, .json',
    ])
  })

  test('with an unknown key is refused, with the nearest', async () => {
    expect(
      await problemsFrom(
        aDirectory({ 'worker.config.ts': "export default { company: { name: 'x' }, quiteHours: false }" }),
      ),
    ).toEqual(['quiteHours: is not a key of the policy. Did you mean quietHours?'])
  })
})
