// The kinds of faults, as data: each kind's name, its settings, and where it applies. faults.ts decides when a fault
// occurs.
import { z } from 'zod'

// How often a fault occurs: for every matching request unless `rate`; at most `count` times; not before `skip` matching
// requests have passed.
const when = {
  rate: z.number().gt(0).max(1).default(1),
  count: z.int().min(1).optional(),
  skip: z.int().min(0).default(0),
  only: z.string().min(1).optional(),
}
const waitMs = z.int().min(0).max(600_000)
const processed = z.boolean().default(false)

const http = <Shape extends z.ZodRawShape>(shape: Shape, help: string) => ({
  on: 'http' as const,
  schema: z.strictObject({ ...when, ...shape }),
  help,
})
const mail = <Shape extends z.ZodRawShape>(shape: Shape, help: string) => ({
  on: 'mail' as const,
  schema: z.strictObject({ ...when, ...shape }),
  help,
})

export const faultKinds = {
  'rate-limited': http(
    { retry_after: z.union([z.int().min(0), z.string().min(1).max(100)]).optional() },
    '429, not processed; `retry_after` (seconds, or any text) becomes the Retry-After header',
  ),
  'error-json': http(
    {
      status: z.int().min(400).max(599).default(500),
      error: z.string().min(1).max(100).default('internal_server_error'),
      processed,
    },
    'an error status (500) with a JSON body; with `processed: true` only the answer is lost',
  ),
  'error-html': http(
    { status: z.int().min(400).max(599).default(502), processed },
    'an error status (502) with the HTML page of a gateway; with `processed: true` only the answer is lost',
  ),
  slow: http(
    { ms: waitMs, processed },
    'waits `ms`, then processes and answers; with `processed: true` processes first and waits then',
  ),
  drip: http({ interval_ms: waitMs.min(1).default(1000) }, 'processed; the body comes one byte every `interval_ms`'),
  'reset-before': http({}, 'the connection is reset, nothing was processed'),
  'reset-after': http({}, 'the connection is reset, everything was processed'),
  'bad-json': http({ processed: z.boolean().default(true) }, '200 with a JSON body that stops in the middle'),
  'rcpt-4xx': mail({}, '451 at RCPT TO: try again later'),
  'rcpt-5xx': mail({}, '550 at RCPT TO: no such mailbox'),
  'data-4xx': mail({}, '451 after the message: not stored'),
  'data-5xx': mail({}, '554 after the message: not stored'),
  'cut-after-dot': mail(
    { stored: z.boolean().default(true) },
    'the connection is cut after the final dot, before an answer; `stored` says whether the mail arrived',
  ),
  'slow-mail': mail({ ms: waitMs }, 'the answer to the message comes `ms` late; stored'),
} as const

export type FaultKind = keyof typeof faultKinds
export const kindNames = Object.keys(faultKinds) as readonly FaultKind[]

/** A fault's kind with its settings as the caller writes them. */
export type FaultSettings = {
  [Kind in FaultKind]: { kind: Kind } & z.input<(typeof faultKinds)[Kind]['schema']>
}[FaultKind]
/** The same settings with all defaults filled in. */
export type ActiveSettings = {
  [Kind in FaultKind]: { kind: Kind } & z.output<(typeof faultKinds)[Kind]['schema']>
}[FaultKind]
