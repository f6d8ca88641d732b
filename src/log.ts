// The log: JSON lines by pino, pretty-printed on a terminal. Everything is cleaned (log/clean.ts) before pino sees it.
import { createRequire } from 'node:module'
import { pino } from 'pino'
import type { DestinationStream, Logger } from 'pino'
import { clean, scrub } from './log/clean.ts'

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** The alerts that a line of the log may raise; each is counted in the metrics. */
export const alertNames = [
  'messages-per-hour',
  'messages-repeated',
  'message-unavailable',
  'provider-circuit-open',
  'sweep-late',
] as const
export type AlertName = (typeof alertNames)[number]
export type LogFields = { readonly alert?: AlertName; readonly [name: string]: unknown } | Error

/**
 * The log as the rest of the program uses it. `message` is a fixed sentence; values that vary go into `fields`: ids,
 * codes, counts.
 */
export interface Log {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
  /** A log that adds these fields to each line. */
  child(fields: object): Log
}

/** pino-pretty is for development and may not be installed: then lines stay JSON. */
const prettyStream = (fd: number): DestinationStream | undefined => {
  try {
    const makePretty = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty')
    return makePretty({ destination: fd, sync: true, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l' })
  } catch {
    return undefined
  }
}

const wrap = (sink: Logger): Log => {
  // An Error passed as the fields themselves is cleaned like an Error in one of the fields. A line that nobody asks for
  // is not cleaned: there are several for each job.
  const write = (level: 'debug' | 'info' | 'warn' | 'error') => (fields: LogFields, message: string) => {
    if (sink.isLevelEnabled(level)) sink[level](cleanFields(fields), scrub(message))
  }
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => wrap(sink.child(cleanFields(fields))),
  }
}

const cleanFields = (fields: object): Record<string, unknown> => {
  const cleaned = fields instanceof Error ? { err: clean(fields) } : clean(fields)
  return typeof cleaned === 'object' && cleaned !== null && !Array.isArray(cleaned)
    ? (cleaned as Record<string, unknown>)
    : { fields: cleaned }
}

/**
 * Makes the program's log. By default, lines are pretty-printed if the destination is a terminal, and `to` is standard
 * output (commands that print data log to `stderr`). Lines are written synchronously, so no line is lost when the
 * process ends.
 */
export const makeLog = ({
  level,
  pretty,
  to = 'stdout',
}: {
  level: LogLevel
  pretty?: boolean | undefined
  to?: 'stdout' | 'stderr' | DestinationStream
}): Log => {
  const fd = to === 'stderr' ? 2 : 1
  const terminal = to === 'stderr' ? process.stderr.isTTY : to === 'stdout' && process.stdout.isTTY
  const stream =
    typeof to === 'object'
      ? to
      : (((pretty ?? terminal) ? prettyStream(fd) : undefined) ?? pino.destination({ fd, sync: true }))
  return wrap(
    pino(
      {
        level,
        timestamp: pino.stdTimeFunctions.isoTime,
        // pino's own serializer of `err` expects a stack and a message; our cleaning has already replaced the error.
        serializers: { err: (value: unknown) => value },
        formatters: { level: (label) => ({ level: label }) },
      },
      stream,
    ),
  )
}
