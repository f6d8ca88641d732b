// The policy: its defaults, the values that are valid, and what is reported of all others.
import fc from 'fast-check'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { defineConfig, type PolicyInput } from '../../src/config/define-config.ts'
import { policyKeys } from '../../src/config/policy-keys.ts'
import { readPolicy } from '../../src/config/policy.ts'
import type { PolicyAndTiming } from '../../src/config/policy.ts'
import type { ParsedPolicy } from '../../src/config/policy-schema.ts'
import { channelNames } from '../../src/domain/channels.ts'
import type { Policy, ProviderRule } from '../../src/domain/policy.ts'

const read = (input: object, options: { needsCompany?: boolean } = {}) => {
  const problems: string[] = []
  const report = (where: string, what: string) => void problems.push(`${where}: ${what}`)
  const result = readPolicy(input, { report, file: 'worker.config.ts', needsCompany: false, ...options })
  expect(result === undefined).toBe(problems.length > 0)
  return { problems, result }
}

const problemsOf = (input: object): string[] => read(input).problems

const policyOf = (input: PolicyInput): PolicyAndTiming => {
  const { problems, result } = read(input)
  expect(problems).toEqual([])
  if (result === undefined) throw new Error('the policy was refused')
  return result
}

/** Every policy key, with a value that differs from the default. */
const full = {
  sweep: { cron: '0 */10 * * * *' },
  ladder: ['+1d', '-2d', '0d'],
  quietHours: { from: '22:30', to: '06:15' },
  spread: '30m',
  link: { freshFor: '5m' },
  routes: ['reauth', 'full'],
  providers: {
    uk: { reauth: 'no', routes: ['full'], validity: '180d', grace: '30d' },
    'fr-ob-bank': { reauth: 'auth-inputs' },
  },
  channels: ['email'],
  afterGrace: 'ask-once',
  limits: { messagesPerHour: 10 },
  company: { name: '  Ärger & Söhne  ' },
  sync: { pauseAtMost: 12 },
  board: { allowDestructive: true },
  timing: {
    lease: '1s',
    queuedFor: '2s',
    codeTimer: '50ms',
    jobDeadline: '900ms',
    stopWithin: '5s',
    unreadyFor: '20ms',
    requestTimeout: '800ms',
    pageSize: 1000,
    maxWaiting: 7,
    concurrency: { reauth: 1, notify: 2, exchange: 3 },
    retry: { attempts: 2, firstDelay: '10ms' },
  },
} as const satisfies PolicyInput

const leaves = (value: object): string[] =>
  Object.entries(value).flatMap(([key, inner]: [string, unknown]) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? leaves(inner).map((leaf) => `${key}.${leaf}`)
      : [key],
  )

describe('the defaults', () => {
  const { policy, timing } = policyOf({})

  test('are those of the design', () => {
    expect(policy).toMatchObject({
      sweep: { cron: '*/5 * * * *' },
      quietHours: { from: '20:00', to: '08:00' },
      routes: ['reauth'],
      providers: {},
      afterGrace: 'nothing',
      channels: ['email'],
      limits: { messagesPerHour: 2000 },
      sync: { pauseAtMost: 5 },
      board: { allowDestructive: false },
    })
    expect(policy.ladder.map(({ name }) => name)).toEqual([
      '-14d',
      '-7d',
      '-3d',
      '-1d',
      '0d',
      '+7d',
      '+30d',
      '+60d',
      '+83d',
    ])
    expect(policy.ladder.map(({ days }) => days)).toEqual([-14, -7, -3, -1, 0, 7, 30, 60, 83])
    expect([policy.spread && policy.spread.as('minutes'), policy.link.freshFor.as('minutes')]).toEqual([120, 8])
  })

  test('of the timing too', () => {
    const { lease, queuedFor, codeTimer, jobDeadline, stopWithin, unreadyFor, requestTimeout, retry } = timing
    expect(
      [lease, queuedFor, codeTimer, jobDeadline, stopWithin, unreadyFor, requestTimeout, retry.firstDelay].map(
        (duration) => duration.as('seconds'),
      ),
    ).toEqual([60, 600, 10, 50, 25, 3, 20, 5])
    expect(timing).toMatchObject({
      pageSize: 500,
      maxWaiting: 5000,
      concurrency: { reauth: 8, notify: 4, exchange: 8 },
      retry: { attempts: 4 },
    })
  })
})

describe('a full policy', () => {
  const { policy, timing } = policyOf(full)

  test('names every key there is', () => {
    const named = leaves(full).map((leaf) => leaf.replace(/^providers\.[^.]+/, 'providers.*'))
    expect([...new Set(named)].sort()).toEqual([...policyKeys.map(({ path }) => path.join('.'))].sort())
  })

  test('arrives parsed, sorted and trimmed', () => {
    expect(policy.ladder).toEqual([
      { name: '-2d', days: -2 },
      { name: '0d', days: 0 },
      { name: '+1d', days: 1 },
    ])
    expect(policy.company.name).toBe('Ärger & Söhne')
    expect(policy).toMatchObject({
      quietHours: full.quietHours,
      routes: full.routes,
      afterGrace: 'ask-once',
      sweep: full.sweep,
    })
    expect(timing).toMatchObject({ pageSize: 1000, maxWaiting: 7, concurrency: full.timing.concurrency })
    expect(timing.retry.firstDelay.toMillis()).toBe(10)
  })

  test('its providers are found by country code or id, and nothing else is', () => {
    expect(Object.keys(policy.providers)).toEqual(['GB', 'fr-ob-bank'])
    expect(policy.providers['GB']).toMatchObject({ reauth: 'no', routes: ['full'] })
    expect(policy.providers['GB']?.validity?.as('days')).toBe(180)
    expect(policy.providers['GB']?.grace?.as('days')).toBe(30)
    for (const name of ['constructor', '__proto__', 'toString']) expect(policy.providers[name]).toBeUndefined()
  })

  test('quiet hours and spreading can be switched off', () => {
    expect(policyOf({ quietHours: false, spread: false }).policy).toMatchObject({ quietHours: false, spread: false })
  })
})

describe('the types', () => {
  test('of the schema and of the domain are the same', () => {
    expectTypeOf<Omit<ParsedPolicy, 'timing'>>().toExtend<Policy>()
    expectTypeOf<Policy>().toExtend<Omit<ParsedPolicy, 'timing'>>()
    expectTypeOf<keyof ParsedPolicy>().toEqualTypeOf<keyof Policy | 'timing'>()
    expectTypeOf<ParsedPolicy['providers'][string]>().toEqualTypeOf<ProviderRule>()
  })

  test('of a policy file refuse what the schema refuses', () => {
    // @ts-expect-error an offset has a sign and days
    defineConfig({ ladder: ['7d', '-3h'] })
    // @ts-expect-error a duration has a unit
    defineConfig({ timing: { lease: '60' } })
    // @ts-expect-error a key must be known
    defineConfig({ quiteHours: false })
    // @ts-expect-error a route must be known
    defineConfig({ providers: { GB: { routes: ['by-post'] } } })
    expectTypeOf(defineConfig).parameter(0).toEqualTypeOf<PolicyInput>()
  })
})

describe('an unknown key', () => {
  test.each([
    [{ quiteHours: false }, 'quiteHours: is not a key of the policy. Did you mean quietHours?'],
    [
      { import: { supersedeOlder: true } },
      expect.stringMatching(/^import: is not a key of the policy any more: import.supersedeOlder .*field supersedes/),
    ],
    [{ link: { freshfor: '5m' } }, 'link.freshfor: is not a key of the policy. Did you mean link.freshFor?'],
    [
      { timing: { retry: { attempt: 3 } } },
      'timing.retry.attempt: is not a key of the policy. Did you mean timing.retry.attempts?',
    ],
    [
      { providers: { GB: { gracePeriod: '1d', valdity: '1d' } } },
      'providers.GB.valdity: is not a key of the policy. Did you mean providers.GB.validity?',
    ],
    [
      { quietHours: { from: '20:00', to: '08:00', til: 1 } },
      'quietHours.til: is not a key of the policy. Known here: from, to.',
    ],
    [{ messagesPerHour: 5 }, 'messagesPerHour: is not a key of the policy. Did you mean limits.messagesPerHour?'],
    [{ cron: '* * * * *' }, 'cron: is not a key of the policy. Did you mean sweep.cron?'],
    [{ sweep: { every: '5m' } }, 'sweep.every: is not a key of the policy. Known here: cron.'],
  ])('%j', (input, problem) => {
    expect(problemsOf(input)).toContainEqual(problem)
  })

  test('one at each depth are all reported', () => {
    expect(
      problemsOf({ a1: 1, b1: 2, link: { c1: 3 }, timing: { retry: { d1: 4 } } }).map(
        (problem) => problem.split(':')[0],
      ),
    ).toEqual(expect.arrayContaining(['a1', 'b1', 'link.c1', 'timing.retry.d1']))
  })

  test('its value is not shown: it may be a secret in the wrong place', () => {
    expect(problemsOf({ databaseUrl: 'postgres://user:planted@db' }).join()).not.toContain('planted')
  })
})

describe('a wrong value', () => {
  test.each<[string, object, string]>([
    [
      'a cron pattern of four fields',
      { sweep: { cron: '* * * *' } },
      "sweep.cron: a cron pattern has five or six fields, this has 4 (for example '*/5 * * * *')",
    ],
    ['a cron pattern that is a number', { sweep: { cron: 5 } }, 'sweep.cron: must be text'],
    ['a section that is no object', { link: '8m' }, 'link: must be an object: { … }'],
    ['a section that is null', { company: null }, 'company: must be an object: { … }'],
    ['a ladder that is no list', { ladder: '-14d' }, 'ladder: must be a list: [ … ]'],
    ['an empty ladder', { ladder: [] }, 'ladder: is empty, so nobody would ever be asked: give at least one offset'],
    [
      'a rung without sign',
      { ladder: ['0d', '7d'] },
      "ladder[1]: '7d' has no sign: '-7d' is before expiry, '+7d' after it",
    ],
    [
      'a rung in hours',
      { ladder: ['-3h'] },
      "ladder[0]: '-3h' is not an offset: write the days from expiry with their sign, such as '-14d', '0d' or '+7d'",
    ],
    [
      'a rung that is a number',
      { ladder: [-3] },
      "ladder[0]: must be text: write the days from expiry with their sign, such as '-14d', '0d' or '+7d'",
    ],
    ['a rung twice', { ladder: ['-3d', '+1d', '-3d'] }, "ladder[2]: '-3d' is there twice"],
    ['zero with a sign', { ladder: ['-0d'] }, "ladder[0]: write '-0d' as '0d'"],
    ['a rung with a leading zero', { ladder: ['-07d'] }, "ladder[0]: write '-07d' as '-7d'"],
    [
      'a rung at the end of grace',
      { ladder: ['0d', '+90d'] },
      "ladder: '+90d' is not before the end of grace: consents can be renewed for 90 days after expiry",
    ],
    [
      'a rung before the consent',
      { ladder: ['-90d'] },
      "ladder: '-90d' is not after the consent was given: consents are valid for 90 days",
    ],
    [
      'too many rungs',
      { ladder: Array.from({ length: 51 }, (_, day) => `+${day + 1}d`) },
      'ladder: has 51 offsets: at most 50',
    ],
    [
      'quiet hours by hour',
      { quietHours: { from: '20', to: '08:00' } },
      "quietHours.from: must be a time of day, such as '20:00'",
    ],
    [
      'quiet hours until 24:00',
      { quietHours: { from: '20:00', to: '24:00' } },
      "quietHours.to: must be a time of day, such as '20:00'",
    ],
    [
      'quiet hours without end',
      { quietHours: { from: '20:00' } },
      "quietHours.to: is missing: write a time of day, such as '20:00'",
    ],
    ['quiet hours that are true', { quietHours: true }, 'quietHours: must be an object: { … }, or false'],
    [
      'quiet hours of the same times',
      { quietHours: { from: '08:00', to: '08:00' } },
      'quietHours: from and to are the same time, which could mean always or never: write false for never',
    ],
    [
      'quiet hours all day but 59 minutes',
      { quietHours: { from: '09:59', to: '09:00' } },
      'quietHours: leaves 59 minutes a day to send in: leave at least 60',
    ],
    [
      'a duration without unit',
      { link: { freshFor: 8 } },
      "link.freshFor: 8 has no unit: write a whole number and a unit (ms, s, m, h, d, w), such as '10m' or '90d'",
    ],
    [
      'a duration that is no number',
      { link: { freshFor: NaN } },
      "link.freshFor: NaN has no unit: write a whole number and a unit (ms, s, m, h, d, w), such as '10m' or '90d'",
    ],
    [
      'a duration of null',
      { link: { freshFor: null } },
      "link.freshFor: must be a duration: write a whole number and a unit (ms, s, m, h, d, w), such as '10m' or '90d'",
    ],
    [
      'a duration out of range',
      { spread: '2d' },
      "spread: '2d' is out of range: at least '1s', at most '1d', or false",
    ],
    ['a provider without a rule', { providers: { GB: null } }, 'providers.GB: must be an object: { … }'],
    ['no route', { routes: [] }, 'routes: must have at least 1 entry'],
    ['an unknown route', { routes: ['reauth', 'by-post'] }, "routes[1]: must be 'reauth' or 'full'"],
    ['a route twice', { routes: ['full', 'full'] }, 'routes: names a route twice'],
    [
      'a country there is not',
      { providers: { XX: {} } },
      'providers.XX: is neither a provider id (lower-case letters, digits, - and _) nor a two-letter country code',
    ],
    [
      'a provider in capitals',
      { providers: { 'UK-OB-MONZO': {} } },
      'providers.UK-OB-MONZO: is neither a provider id (lower-case letters, digits, - and _) nor a two-letter ' +
        'country code',
    ],
    ['a country twice', { providers: { GB: {}, uk: {} } }, 'providers.uk: means GB, which has a rule already'],
    [
      'a reauth of true',
      { providers: { GB: { reauth: true } } },
      "providers.GB.reauth: must be 'yes' or 'no' or 'auth-inputs'",
    ],
    [
      'a validity of nothing',
      { providers: { GB: { validity: '0d' } } },
      "providers.GB.validity: '0d' is out of range: at least '1h', at most '3650d'",
    ],
    [
      'an unknown channel',
      { channels: ['email', 'fax'] },
      `channels[1]: is no channel: there are ${channelNames().join(', ')}`,
    ],
    ['a channel twice', { channels: ['email', 'email'] }, 'channels: names a channel twice'],
    ['no channel at all', { channels: [] }, 'channels: must have at least 1 entry'],
    ['an unknown word', { afterGrace: 'ask' }, "afterGrace: must be 'nothing' or 'ask-once'"],
    ['a limit of zero', { limits: { messagesPerHour: 0 } }, 'limits.messagesPerHour: must be at least 1'],
    ['half a message', { limits: { messagesPerHour: 1.5 } }, 'limits.messagesPerHour: must be a whole number'],
    [
      'a limit that is no number',
      { limits: { messagesPerHour: NaN } },
      'limits.messagesPerHour: must be a whole number',
    ],
    ['no limit', { limits: { messagesPerHour: Infinity } }, 'limits.messagesPerHour: must be a whole number'],
    ['a limit below zero', { limits: { messagesPerHour: -0 } }, 'limits.messagesPerHour: must be at least 1'],
    ['a limit of null', { limits: { messagesPerHour: null } }, 'limits.messagesPerHour: must be a whole number'],
    ['a limit as text', { limits: { messagesPerHour: '5' } }, 'limits.messagesPerHour: must be a whole number'],
    [
      'a name of two lines',
      { company: { name: 'a\nBcc: b' } },
      'company.name: must be one line without control characters',
    ],
    ['a name too long', { company: { name: 'x'.repeat(101) } }, 'company.name: must have at most 100 characters'],
    ['yes for true', { board: { allowDestructive: 'yes' } }, 'board.allowDestructive: must be true or false'],
    ['a page too large', { timing: { pageSize: 1001 } }, 'timing.pageSize: must be at most 1000'],
    ['a page of nothing', { timing: { pageSize: 0 } }, 'timing.pageSize: must be at least 1'],
    [
      'a deadline after the lease',
      { timing: { lease: '50s' } },
      'timing.jobDeadline: must be shorter than timing.lease',
    ],
    [
      'a request longer than its job',
      { timing: { requestTimeout: '50s' } },
      'timing.requestTimeout: must be shorter than timing.jobDeadline',
    ],
    [
      'unready until the stop is over',
      { timing: { stopWithin: '3s' } },
      'timing.unreadyFor: must be shorter than timing.stopWithin',
    ],
    [
      'unready for more than a minute',
      { timing: { stopWithin: '5m', unreadyFor: '61s' } },
      "timing.unreadyFor: '61s' is out of range: at least '0ms', at most '1m'",
    ],
  ])('%s', (_, input, problem) => {
    expect(problemsOf(input)).toEqual([problem])
  })

  test('the boundaries themselves are allowed', () => {
    policyOf({
      ladder: ['-89d', '+89d'],
      quietHours: { from: '10:00', to: '09:00' },
      timing: { pageSize: 1, lease: '51s', unreadyFor: '0ms' },
    })
    // A longer grace window at one bank makes later rungs reachable.
    policyOf({ ladder: ['+170d', '-100d'], providers: { fr: { grace: '180d', validity: '180d' } } })
  })

  test('all are reported together, also those that span several keys', () => {
    const wrong = { ladder: ['+95d'], link: { freshFor: 1 }, board: 1, routes: 'full', company: {} }
    expect(read(wrong, { needsCompany: true }).problems.map((problem) => problem.split(':')[0])).toEqual([
      'link.freshFor',
      'routes',
      'board',
      'ladder',
      'company.name',
    ])
  })

  test('a policy that is no object is refused by its file, and nothing else is said of it', () => {
    for (const none of [[], () => ({})])
      expect(read(none, { needsCompany: true }).problems).toEqual(['worker.config.ts: must be an object: { … }'])
  })

  test('two durations are compared whatever the others are', () => {
    const timing = { pageSize: 0, lease: '50s', unreadyFor: 'x', stopWithin: '1s' }
    expect(problemsOf({ timing }).map((problem) => problem.split(':')[0])).toEqual([
      'timing.unreadyFor',
      'timing.pageSize',
      'timing.jobDeadline',
    ])
  })

  test('a cron pattern is checked by the queue that runs it', () => {
    expect(problemsOf({ sweep: { cron: '99 * * * *' } })).toEqual([
      expect.stringMatching(/^sweep\.cron: not a usable cron pattern: .* \(for example '\*\/5 \* \* \* \*'\)$/),
    ])
    expect(problemsOf({ sweep: { cron: '9 * * * *' } })).toEqual([])
  })

  test('the company has to have a name where users see it', () => {
    const problem =
      "company.name: is not set. Messages and pages name it: set company: { name: '…' } in worker.config.ts"
    expect(read({}, { needsCompany: true }).problems).toEqual([problem])
    expect(read({ company: { name: '  ' } }, { needsCompany: true }).problems).toEqual([problem])
    expect(read({ company: { name: 'Company' } }, { needsCompany: true }).problems).toEqual([])
  })

  test('nothing a policy can say makes reading it throw', () => {
    const anyPolicy = fc.dictionary(
      fc.constantFrom(...Object.keys(full), '__proto__', 'x'),
      fc.oneof(fc.anything(), fc.dictionary(fc.string(), fc.anything())),
    )
    fc.assert(fc.property(anyPolicy, (input) => Array.isArray(read(input, { needsCompany: true }).problems)))
  })
})
