// The policy's keys, defaults and limits: one zod schema, strict at every depth. docs/configuration.md explains each
// key.
import type { Duration } from 'luxon'
import { z } from 'zod'
import type { ProviderRule } from '../domain/policy.ts'
import { parseDurationWithin } from './durations.ts'
import { isWallTime, parseLadder, quietHoursProblem } from './ladder.ts'

/** Returns undefined for a cron pattern that the queue accepts, otherwise what is wrong with the pattern. */
export type CheckCron = (pattern: string) => string | undefined

const duration = (least: string, most: string) =>
  z.unknown().transform((value, context): Duration => {
    const parsed = parseDurationWithin(value, [least, most])
    if (!('problem' in parsed)) return parsed
    context.issues.push({ code: 'custom', message: parsed.problem, input: value })
    return z.NEVER
  })

const count = (least: number, most: number) => z.int().min(least).max(most)

const wallTime = z.custom<string>((value) => typeof value === 'string' && isWallTime(value), {
  error: ({ input }) =>
    input === undefined ? "is missing: write a time of day, such as '20:00'" : "must be a time of day, such as '20:00'",
})

const quietHours = z.strictObject({ from: wallTime, to: wallTime }).superRefine((hours, context) => {
  const problem = quietHoursProblem(hours)
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
})

const ladder = z.array(z.unknown()).transform((entries, context) => {
  const parsed = parseLadder(entries)
  if ('value' in parsed) return parsed.value
  for (const { at, what } of parsed.problems) {
    context.issues.push({ code: 'custom', message: what, input: entries, path: at === undefined ? [] : [at] })
  }
  return z.NEVER
})

const routes = z
  .array(z.enum(['reauth', 'full']))
  .min(1)
  .refine((list) => new Set(list).size === list.length, { error: 'names a route twice' })

const providerRule = z.strictObject({
  reauth: z.enum(['yes', 'no', 'auth-inputs']).optional(),
  routes: routes.optional(),
  validity: duration('1h', '3650d').optional(),
  grace: duration('0d', '3650d').optional(),
})

const regionNames = new Intl.DisplayNames('en', { type: 'region', fallback: 'none' })

/**
 * The key in the form that the domain uses: `uk` and `gb` become `GB`, a provider id stays as it is. Undefined when the
 * key is neither a country nor a provider id.
 */
const providerKey = (key: string): string | undefined => {
  if (/^uk$/i.test(key)) return 'GB'
  if (/^[A-Za-z]{2}$/.test(key)) return regionNames.of(key.toUpperCase()) === undefined ? undefined : key.toUpperCase()
  return /^[a-z0-9][a-z0-9_-]{2,99}$/.test(key) ? key : undefined
}

const providers = z.record(z.string(), providerRule).transform((rules, context) => {
  // The object has no prototype, so that a lookup by a provider id can only find rules.
  const known = Object.create(null) as Record<string, ProviderRule>
  for (const [written, rule] of Object.entries(rules)) {
    const key = providerKey(written)
    const problem =
      key === undefined
        ? 'is neither a provider id (lower-case letters, digits, - and _) nor a two-letter country code'
        : key in known
          ? `means ${key}, which has a rule already`
          : undefined
    if (problem !== undefined) context.issues.push({ code: 'custom', message: problem, input: rules, path: [written] })
    else if (key !== undefined) known[key] = rule
  }
  return known as Readonly<Record<string, ProviderRule>>
})

/** The company's name appears in the subjects of messages, so it must be a single line. */
const companyName = z
  .string()
  .trim()
  .max(100)
  .refine((name) => !/\p{Cc}/u.test(name), { error: 'must be one line without control characters' })

const timing = z
  .strictObject({
    lease: duration('10ms', '1h').prefault('60s'),
    queuedFor: duration('10ms', '1d').prefault('10m'),
    codeTimer: duration('10ms', '1m').prefault('10s'),
    jobDeadline: duration('10ms', '1h').prefault('50s'),
    stopWithin: duration('10ms', '10m').prefault('25s'),
    unreadyFor: duration('0ms', '1m').prefault('3s'),
    requestTimeout: duration('10ms', '2m').prefault('20s'),
    pageSize: count(1, 1000).prefault(500),
    maxWaiting: count(1, 1_000_000).prefault(5000),
    concurrency: z
      .strictObject({
        reauth: count(1, 500).prefault(8),
        notify: count(1, 500).prefault(4),
        exchange: count(1, 500).prefault(8),
      })
      .prefault({}),
    retry: z
      .strictObject({ attempts: count(1, 20).prefault(4), firstDelay: duration('1ms', '10m').prefault('5s') })
      .prefault({}),
  })
  .superRefine(({ lease, jobDeadline, requestTimeout, stopWithin, unreadyFor }, context) => {
    // A job that runs longer than its lease would go on working after another worker has claimed the same record.
    if (jobDeadline.toMillis() >= lease.toMillis()) {
      context.addIssue({ code: 'custom', message: 'must be shorter than timing.lease', path: ['jobDeadline'] })
    }
    if (requestTimeout.toMillis() >= jobDeadline.toMillis()) {
      context.addIssue({ code: 'custom', message: 'must be shorter than timing.jobDeadline', path: ['requestTimeout'] })
    }
    if (unreadyFor.toMillis() >= stopWithin.toMillis()) {
      context.addIssue({ code: 'custom', message: 'must be shorter than timing.stopWithin', path: ['unreadyFor'] })
    }
  })

const hasCronFields = (pattern: string): boolean => [5, 6].includes(pattern.trim().split(/\s+/).length)

export const makePolicySchema = (checkCron: CheckCron) =>
  z.strictObject({
    sweep: z
      .strictObject({
        cron: z
          .string()
          .superRefine((pattern, context) => {
            const problem = hasCronFields(pattern) ? checkCron(pattern) : 'is not a cron pattern of five or six fields'
            if (problem !== undefined)
              context.addIssue({ code: 'custom', message: `${problem} (for example '*/5 * * * *')` })
          })
          .prefault('*/5 * * * *'),
      })
      .prefault({}),
    ladder: ladder.prefault(['-14d', '-7d', '-3d', '-1d', '0d', '+7d', '+30d', '+60d', '+83d']),
    quietHours: z.union([z.literal(false), quietHours]).prefault({ from: '20:00', to: '08:00' }),
    spread: z.union([z.literal(false), duration('1s', '1d')]).prefault('2h'),
    link: z.strictObject({ freshFor: duration('1ms', '1d').prefault('8m') }).prefault({}),
    routes: routes.prefault(['reauth']),
    providers: providers.prefault({}),
    afterGrace: z.enum(['nothing', 'ask-once']).prefault('nothing'),
    limits: z.strictObject({ messagesPerHour: count(1, 1_000_000).prefault(2000) }).prefault({}),
    company: z.strictObject({ name: companyName.prefault('') }).prefault({}),
    board: z.strictObject({ allowDestructive: z.boolean().prefault(false) }).prefault({}),
    timing: timing.prefault({}),
  })

export type PolicySchema = ReturnType<typeof makePolicySchema>
/** The parsed policy file: the domain's Policy and the timing together. */
export type ParsedPolicy = z.output<PolicySchema>
