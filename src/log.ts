// The log: JSON lines by pino, pretty on a terminal. Everything passes through cleaning (log/clean.ts) before pino sees
// it.
import { createRequire } from 'node:module'
import { pino } from 'pino'
import type { DestinationStream, Logger } from 'pino'
import { clean, scrub } from './log/clean.ts'

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/**
 * What the rest of the program logs with. `message` is a fixed sentence; what varies goes into `fields`: ids, codes,
 * counts.
 */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
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

const wrap = (sink: Logger): Log => ({
  // An Error given as the fields themselves is cleaned like one given under a name.
  debug: (fields, message) => sink.debug(cleanFields(fields), scrub(message)),
  info: (fields, message) => sink.info(cleanFields(fields), scrub(message)),
  warn: (fields, message) => sink.warn(cleanFields(fields), scrub(message)),
  error: (fields, message) => sink.error(cleanFields(fields), scrub(message)),
  child: (fields) => wrap(sink.child(cleanFields(fields))),
})

const cleanFields = (fields: object): Record<string, unknown> => {
  const cleaned = fields instanceof Error ? { err: clean(fields) } : clean(fields)
  return typeof cleaned === 'object' && cleaned !== null && !Array.isArray(cleaned)
    ? (cleaned as Record<string, unknown>)
    : { fields: cleaned }
}

/**
 * Makes the program's log. `pretty` defaults to whether the destination is a terminal; `to` is standard output unless
 * said (commands that print data log to `stderr`). Lines are written synchronously, so none is lost when the process
 * ends.
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
        // pino's own serializer of `err` would look for a stack and a message; ours has run already.
        serializers: { err: (value: unknown) => value },
        formatters: { level: (label) => ({ level: label }) },
      },
      stream,
    ),
  )
}
