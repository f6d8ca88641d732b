// A route is added to the table of a copy of the project, and to nothing else: the compiler names what is missing, the
// texts do not load, and what needs no more than the table works.
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Copy, makeCopy } from './mutants/copy.ts'

const ROUTES = 'src/domain/routes.ts'
const END = '} as const satisfies'
const ENTRY = `  'by-post': {
    title: 'post',
    description: 'is a letter',
    keepsConnection: true,
    worksPastGrace: false,
    bankRule: 'post',
    linkCall: 'letters',
    exchangeCall: 'stamps',
    isProvenByTokens: false,
  },
`

let copy: Copy
beforeAll(() => {
  copy = makeCopy(join(import.meta.dirname, '..'))
  const table = copy.read(ROUTES)
  expect(table.split(END)).toHaveLength(2)
  copy.write(ROUTES, table.replace(END, ENTRY + END))
  copy.write('tsconfig.src.json', JSON.stringify({ extends: './tsconfig.json', include: ['src'] }))
}, 60_000)
afterAll(() => copy.remove())

/** What a program in the copy prints. */
const printed = (program: string): unknown => {
  copy.write('printed.ts', program)
  return JSON.parse(execFileSync(process.execPath, ['printed.ts'], { cwd: copy.tree, encoding: 'utf8' }))
}

test('the compiler names the one table that needs an entry of its own', () => {
  const compiler = spawnSync(join(copy.tree, 'node_modules/.bin/tsc'), ['--project', 'tsconfig.src.json'], {
    cwd: copy.tree,
    encoding: 'utf8',
  })
  const errors = compiler.stdout.split('\n').filter((line) => line.startsWith('src/'))
  expect(errors.map((line) => [line.split('(')[0], /Property '[^']+' is missing/.exec(line)?.[0]])).toEqual([
    ['src/provider/truelayer/routes.ts', `Property '"by-post"' is missing`],
  ])
}, 120_000)

test('no role starts without its texts: every language is named', () => {
  const message = printed(`
    import { loadTexts } from './src/texts/load-texts.ts'
    let message = ''
    try { loadTexts() } catch (error) { message = error.message }
    console.log(JSON.stringify(message))`)
  for (const language of ['en', 'fr', 'de', 'es', 'it', 'pl'])
    expect(message).toMatch(new RegExp(`${language}\\.yaml:\\d+: pages\\.start\\.routes\\.by-post: is missing`))
})

test('the policy, its documentation and the metrics have it from the table', () => {
  const found = printed(`
    import { readPolicy } from './src/config/policy.ts'
    import { policyKeys } from './src/config/policy-keys.ts'
    import { makeMetrics } from './src/metrics.ts'
    const input = { routes: ['by-post', 'reauth'], providers: { GB: { post: 'no' } } }
    const policy = readPolicy(input, { report: () => {}, file: '', needsCompany: false })
    const key = policyKeys.find(({ path }) => path.join('.') === 'routes')
    const collectCounts = async () => Promise.reject(new Error('no database'))
    const metrics = await makeMetrics({ collectCounts }).registry.metrics()
    console.log(JSON.stringify({
      routes: policy.policy.routes,
      bank: policy.policy.providers.GB,
      values: key.schema.items.enum,
      description: key.schema.description,
      calls: ['letters', 'stamps'].map((call) => metrics.includes('endpoint="' + call + '",answer="tokens"} 0')),
    }))`)
  expect(found).toEqual({
    routes: ['by-post', 'reauth'],
    bank: { post: 'no' },
    values: ['reauth', 'full', 'by-post'],
    description: expect.stringContaining('`by-post` is a letter'),
    calls: [true, true],
  })
})

test('it counts as no other route: neither open past grace, nor a new connection, nor proven without dates', () => {
  const decisions = printed(`
    import { DateTime } from 'luxon'
    import { openRoutes } from './src/domain/open-routes.ts'
    import { judgeReading } from './src/domain/reading.ts'
    import { aConsent, aPolicy } from './test/builders.ts'
    const now = DateTime.utc()
    const consent = aConsent({ expiresAt: now.plus({ days: 10 }) })
    const french = { ...consent, country: 'FR' }
    const policy = aPolicy({ routes: ['by-post', 'full'] })
    const attempt = { route: 'by-post', issuedAt: now, answeredAt: now, exchangeStartedAt: now, tokenOwner: 'ours' }
    const judge = (credentialsId) => {
      const reading = { me: { credentialsId }, by: 'exchange', isLastPoll: true }
      return judgeReading({ attempt, consent, others: [] }, reading, policy)
    }
    console.log(JSON.stringify({
      inTheUk: openRoutes(consent, undefined, now, policy).routes,
      elsewhere: openRoutes(french, undefined, now, policy).routes,
      pastGrace: openRoutes(consent, undefined, now.plus({ days: 101 }), policy).routes,
      ofAnotherConnection: judge('another').kind,
      withoutDates: judge(consent.credentialsId).kind,
    }))`)
  expect(decisions).toEqual({
    inTheUk: ['by-post', 'full'],
    elsewhere: ['full'],
    pastGrace: ['full'],
    ofAnotherConnection: 'mismatched',
    withoutDates: 'unproven',
  })
})
