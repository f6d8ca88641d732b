// The policy as one zod schema, strict at every depth: the type, limits and default of each key, and its row in
// docs/configuration.md.
import type { Duration } from 'luxon'
import { z } from 'zod'
import { type ChannelName, channelNames } from '../domain/channels.ts'
import { type BankRule, routeNames, traitsOf } from '../domain/routes.ts'
import { checkCron } from '../queue/cron.ts'
import { type DurationText, parseDurationWithin } from './durations.ts'
import { isWallTime, type OffsetText, parseLadder, quietHoursProblem } from './ladder.ts'
import { described } from './notes.ts'
import { whenValid } from './problems.ts'

const section = <S extends z.core.$ZodLooseShape>(shape: S) => z.strictObject(shape).readonly()

const duration = (least: DurationText, most: DurationText) =>
  described(
    z.custom<DurationText>().transform((value: unknown, context): Duration => {
      const parsed = parseDurationWithin(value, [least, most])
      if (!('problem' in parsed)) return parsed
      context.addIssue(parsed.problem)
      return z.NEVER
    }),
    { values: `a duration, \`'${least}'\` to \`'${most}'\`` },
  )

const count = (least: number, most: number) => z.int().min(least).max(most)

const cron = described(
  z.string().superRefine((pattern, context) => {
    const problem = checkCron(pattern)
    if (problem !== undefined) context.addIssue(`${problem} (for example '*/5 * * * *')`)
  }),
  { values: 'a cron pattern' },
)

const ladder = described(
  z
    .array(z.custom<OffsetText>())
    .readonly()
    .transform((entries, context) => {
      const parsed = parseLadder(entries)
      if ('value' in parsed) return parsed.value
      for (const { at, what } of parsed.problems)
        context.addIssue({ code: 'custom', message: what, path: at === undefined ? [] : [at] })
      return z.NEVER
    }),
  { values: "a list of `'-…d'`, `'0d'`, `'+…d'`" },
)

const TIME_EXAMPLE = "a time of day, such as '20:00'"
const wallTime = described(
  z
    .string({
      error: ({ input }) => (input === undefined ? `is missing: write ${TIME_EXAMPLE}` : `must be ${TIME_EXAMPLE}`),
    })
    .refine(isWallTime, { error: `must be ${TIME_EXAMPLE}` }),
  { values: "`'HH:mm'`" },
)

const quietHours = z
  .union([
    z.literal(false),
    section({
      from: wallTime.describe(
        "Hours of the user's own day in which nothing is sent; may cross midnight and must leave an hour. Before " +
          'expiry a message moves earlier, after it later. `quietHours: false`: none',
      ),
      to: wallTime.describe('The end of these hours'),
    }),
  ])
  .superRefine((hours, context) => {
    const problem = hours === false ? undefined : quietHoursProblem(hours)
    if (problem !== undefined) context.addIssue(problem)
  })

/** Without the key `channels`. */
export const usualChannels: readonly ChannelName[] = ['email']

const channels = described(
  z
    .array(
      z.custom<ChannelName>((name) => (channelNames() as unknown[]).includes(name), {
        error: () => `is no channel: there are ${channelNames().join(', ')}`,
      }),
    )
    .min(1)
    .refine((list) => new Set(list).size === list.length, { error: 'names a channel twice' })
    .readonly(),
  {
    values: `a list of ${channelNames()
      .map((name) => `\`'${name}'\``)
      .join(', ')}`,
  },
)

const routes = z
  .array(z.enum(routeNames))
  .min(1)
  .refine((list) => new Set(list).size === list.length, { error: 'names a route twice' })
  .readonly()

const bankAnswer = (title: string) =>
  described(z.enum(['yes', 'no', 'auth-inputs']).optional(), {
    unset: "`'yes'` in the UK, else `'no'`",
    description:
      `Whether ${title} works at this bank or in this country; \`auth-inputs\`: only with extra inputs, which it ` +
      'cannot carry',
  })

const bankAnswers = Object.fromEntries(
  routeNames
    .map(traitsOf)
    .flatMap(({ bankRule, title }) => (bankRule === undefined ? [] : [[bankRule, bankAnswer(title)]])),
) as Readonly<Record<BankRule, ReturnType<typeof bankAnswer>>>

const providerRule = section({
  ...bankAnswers,
  routes: described(routes.optional(), { unset: '`routes`', description: 'As `routes`, for this bank or country' }),
  validity: described(duration('1h', '3650d').optional(), {
    unset: "`'90d'`",
    description: 'How long a consent is valid, where the provider gives no date',
  }),
  grace: described(duration('0d', '3650d').optional(), {
    unset: "`'90d'`",
    description: "How long after expiry it can still be renewed. `'0d'`: not at all",
  }),
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
  const known = Object.create(null) as Record<string, z.output<typeof providerRule>>
  for (const [written, rule] of Object.entries(rules)) {
    const key = providerKey(written)
    const problem =
      key === undefined
        ? 'is neither a provider id (lower-case letters, digits, - and _) nor a two-letter country code'
        : key in known
          ? `means ${key}, which has a rule already`
          : undefined
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem, path: [written] })
    else if (key !== undefined) known[key] = rule
  }
  return known
})

/** The company's name appears in the subjects of messages, so it must be a single line. */
const companyName = z
  .string()
  .trim()
  .max(100)
  .refine((name) => !/\p{Cc}/u.test(name), { error: 'must be one line without control characters' })

const timing = section({
  lease: duration('10ms', '1h')
    .prefault('60s')
    .describe('How long a worker may hold a record before another may take it over'),
  queuedFor: duration('10ms', '1d')
    .prefault('10m')
    .describe('How long a dispatched record is left alone, waiting in the queue, before the sweep dispatches it again'),
  codeTimer: duration('10ms', '1m')
    .prefault('10s')
    .describe('How often codes waiting for their exchange are looked for, whatever the queue does'),
  jobDeadline: duration('10ms', '1h')
    .prefault('50s')
    .describe('When a running job is aborted. Shorter than `timing.lease`'),
  stopWithin: duration('10ms', '10m')
    .prefault('25s')
    .describe(
      'How long a graceful stop may take, all in all; what still runs then is let go, and taken up by another ' +
        'process. Give the container a few seconds more',
    ),
  unreadyFor: duration('0ms', '1m')
    .prefault('3s')
    .describe(
      'How long a stopping process of the role `web` answers 503 at `/readyz`, and everything else as before, until ' +
        'it stops listening: as long as your load balancer takes to notice. Shorter than `timing.stopWithin`',
    ),
  requestTimeout: duration('10ms', '2m')
    .prefault('20s')
    .describe('The longest one call to the provider or mail server may take. Shorter than `timing.jobDeadline`'),
  pageSize: count(1, 1000).prefault(500).describe('Records per page of a sweep'),
  maxWaiting: count(1, 1_000_000)
    .prefault(5000)
    .describe('The sweep stops dispatching to a queue while more jobs than this wait in it'),
  concurrency: section({
    reauth: count(1, 500).prefault(8).describe('Jobs running at once in one worker process: making links'),
    notify: count(1, 500).prefault(4).describe('… sending messages'),
    exchange: count(1, 500).prefault(8).describe('… exchanging codes'),
  }).prefault({}),
  retry: section({
    attempts: count(1, 20)
      .prefault(4)
      .describe(
        'Runs of a job in all, the first included; then the record backs off, for minutes after an outage, for hours ' +
          'to days after an answer',
      ),
    firstDelay: duration('1ms', '10m').prefault('5s').describe('Wait before the second run; it doubles each time'),
  }).prefault({}),
})
  // A job that runs longer than its lease would go on working after another worker has claimed the same record.
  .refine(({ jobDeadline, lease }) => jobDeadline < lease, {
    path: ['jobDeadline'],
    error: 'must be shorter than timing.lease',
    ...whenValid('jobDeadline', 'lease'),
  })
  .refine(({ requestTimeout, jobDeadline }) => requestTimeout < jobDeadline, {
    path: ['requestTimeout'],
    error: 'must be shorter than timing.jobDeadline',
    ...whenValid('requestTimeout', 'jobDeadline'),
  })
  .refine(({ unreadyFor, stopWithin }) => unreadyFor < stopWithin, {
    path: ['unreadyFor'],
    error: 'must be shorter than timing.stopWithin',
    ...whenValid('unreadyFor', 'stopWithin'),
  })

export const policySchema = section({
  company: section({
    name: described(companyName.prefault(''), {
      values: 'text',
      unset: 'none: needed',
      description: 'Who asks: stands in messages and on pages. One line, at most 100 characters',
    }),
  }).prefault({}),
  sweep: section({
    cron: cron
      .prefault('*/5 * * * *')
      .describe('When due consents are looked for, in UTC; five fields, or six with seconds first'),
  }).prefault({}),
  channels: channels
    .prefault([...usualChannels])
    .describe('By what users are written to: a message of a rung goes by each for which the user has an address'),
  ladder: ladder
    .prefault(['-14d', '-7d', '-3d', '-1d', '0d', '+7d', '+30d', '+60d', '+83d'])
    .describe(
      'When users are asked, in calendar days from expiry; any order, each once. Later than the consent was given, ' +
        'earlier than grace ends',
    ),
  quietHours: quietHours.prefault({ from: '20:00', to: '08:00' }),
  spread: z
    .union([z.literal(false), duration('1s', '1d')])
    .prefault('2h')
    .describe('Messages of one rung are spread over at most this long. `false`: not spread'),
  link: section({
    freshFor: duration('1ms', '1d')
      .prefault('8m')
      .describe(
        "How long a bank's link is handed out after it was made; then a new one is made. Banks' links live about ten " +
          'minutes',
      ),
  }).prefault({}),
  routes: routes
    .prefault(['reauth'])
    .describe(
      'How renewals may be made, in order: ' +
        routeNames.map((route) => `\`${route}\` ${traitsOf(route).description}`).join(', '),
    ),
  providers: providers.prefault({}),
  afterGrace: z
    .enum(['nothing', 'ask-once'])
    .prefault('nothing')
    .describe("When grace is over: `'nothing'`, or `'ask-once'` for a full authentication"),
  limits: section({
    messagesPerHour: count(1, 1_000_000)
      .prefault(2000)
      .describe('Everything above is held back, with an alert: a wrong clock or policy must not mail everyone'),
  }).prefault({}),
  sync: section({
    pauseAtMost: count(0, 100)
      .prefault(5)
      .describe(
        'Per cent of the active consents that closing a sync of the API may pause: a list that lacks more is a ' +
          'broken list, and nothing is paused',
      ),
  }).prefault({}),
  board: section({
    allowDestructive: z
      .boolean()
      .prefault(false)
      .describe('Whether the board may do what destroys or forges work (empty, obliterate, add, edit, clean)'),
  }).prefault({}),
  timing: timing.prefault({}),
})

/** The parsed policy file: the domain's Policy and the timing together. */
export type ParsedPolicy = z.output<typeof policySchema>

/** Time limits, intervals and numbers of parallel jobs. Tests and large sites change them. */
export type Timing = ParsedPolicy['timing']
