// Makes values fit to be logged: a copy of plain data without secrets, addresses and the insides of foreign objects. A
// value in doubt is left out: a log line that says too little can be mended, one that says too much cannot.
import { DateTime, Duration } from 'luxon'
import { errorTable, PermanentError, TransientError } from '../errors.ts'
import { Secret } from '../secret.ts'

const CENSORED = '[censored]'
const MAX_DEPTH = 6
const MAX_ENTRIES = 100
const MAX_LENGTH = 2000

const words = (text: string): string[] => text.trim().split(/\s+/)

/** Keys are compared without case, `_` and `-`. */
const sensitiveKeys = new Set(
  words(`
  code state to cc bcc recipient address name login credentials authorization cookie setcookie pass passphrase
  signature html text subject body query params headers search location options config cause stack request
  response args encryptionkey encryptionkeys env
`),
)
/** A key with one of these endings is as sensitive: `pendingRefreshToken`, `bankLink`, `smtp_url`, `user_email`. */
const sensitiveEnding = new RegExp(
  `(?:${words(`
    token tokens secret password verifier email mail phone phonenumber link links url urls uri href state
    authcode exchangecode apikey username fullname
  `).join('|')})$`,
)

/** Nearly all lines have the same few keys. */
const verdicts = new Map<string, boolean>()

const isSensitive = (key: string): boolean => {
  const known = verdicts.get(key)
  if (known !== undefined) return known
  const plain = key.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
  const verdict = sensitiveKeys.has(plain) || sensitiveEnding.test(plain)
  if (verdicts.size < 1000) verdicts.set(key, verdict)
  return verdict
}

/**
 * Booleans, null, undefined and small numbers (counts, exit and SMTP codes) reveal no secret; `code` may also be one of
 * our own error codes.
 */
const isHarmless = (key: string, value: unknown): boolean =>
  value === null ||
  value === undefined ||
  typeof value === 'boolean' ||
  (typeof value === 'number' && Math.abs(value) < 1000) ||
  (key === 'code' && typeof value === 'string' && Object.hasOwn(errorTable, value))

/** Also drops the word that the cut would halve: half an address is no longer recognised as an address. */
const shortened = (text: string): string =>
  text.length <= MAX_LENGTH ? text : `${text.slice(0, MAX_LENGTH).replace(/\S*$/, '')}…`

/** Nothing that `scrub` removes is without one of these; the words of most lines are. */
const SUSPICIOUS = /[.@=]|:\/\/|eyJ/

/**
 * Removes from free text everything that looks like a secret or an address. This is a safety net under the rules above,
 * not a licence to log such text.
 */
export const scrub = (text: string): string => {
  const short = shortened(text)
  return SUSPICIOUS.test(short) ? scrubbed(short) : short
}

const scrubbed = (text: string): string =>
  text
    // Values of encrypted columns, and JSON Web Tokens.
    .replaceAll(/\bv1\.[\w-]{1,16}\.[\w-]{16}\.[\w-]+/g, CENSORED)
    .replaceAll(/\beyJ[\w-]+(\.[\w-]*)+/g, CENSORED)
    // Of a network address only scheme and host are kept: user, path and query may each hold a secret.
    .replaceAll(
      /\b([a-z][a-z0-9+.-]*:\/\/)(?:[^\s/?#]*@)?([^\s/?#"'<>]*)([/?#][^\s"'<>]*)?/gi,
      (_, scheme: string, host: string, rest?: string) =>
        rest === undefined || rest === '/' ? `${scheme}${host}` : `${scheme}${host}/…`,
    )
    .replaceAll(/[^\s<>"'(),;:]+@[^\s<>"'(),;:]+\.[^\s<>"'(),;:]+/g, CENSORED)
    // Pairs of name=value, as in a query or a form.
    .replaceAll(
      /\b(code|state|token|access_token|refresh_token|client_secret|code_verifier|password)=[^\s&"'<>]+/gi,
      `$1=${CENSORED}`,
    )

/**
 * Up to three places in our own source, from the stack. A stack repeats the error's message, which is cut off first.
 */
const placesOf = (error: Error): string[] | undefined => {
  const stack = typeof error.stack === 'string' ? error.stack : ''
  const heading = /^[A-Za-z]*(?: \[[A-Z0-9_]+\])?(?:: )?/.exec(stack)?.[0] ?? ''
  const frames = stack.slice(heading.length + error.message.length)
  // A stack that does not repeat its own message may hide another message among its lines: none of them is trusted.
  if (!stack.startsWith(error.message, heading.length) || !frames.startsWith('\n')) return undefined
  const places = frames.matchAll(/^ {4}at .*?\/(src\/(?:[a-z-]+\/)*[a-z-]+\.ts):(\d+):\d+\)?$/gm)
  const found = [...places].slice(0, 3).map(([, file, line]) => `${file}:${line}`)
  return found.length > 0 ? found : undefined
}

/**
 * Codes in the forms that libraries use: `ECONNREFUSED`, `P2002`, `ERR_INVALID_URL`, `FST_ERR_…`, SQLSTATE `23505`. No
 * other text counts as a code.
 */
const FOREIGN_CODE = /^(?:E[A-Z2_]{2,30}|(?:[A-Z]{2,6}_)?ERR_[A-Z0-9_]{2,50}|P\d{4}|[0-9A-Z]{5})$/
const FOREIGN_NAME = /^[A-Za-z]{0,50}(?:Error|Exception)$/

/**
 * An error as its name and code. Only our own coded errors also show a message, which comes from the error table, and a
 * cause that is one short word.
 */
const cleanError = (error: Error): Record<string, unknown> => {
  if (error instanceof TransientError || error instanceof PermanentError) {
    const { name, code, cause } = error
    const reason = typeof cause === 'string' && /^[a-z-]{1,30}$/.test(cause) ? cause : undefined
    return { name, code, message: errorTable[code].message, reason }
  }
  const { name, code } = error as { name: unknown; code?: unknown }
  return {
    name: typeof name === 'string' && FOREIGN_NAME.test(name) ? name : 'Error',
    code: typeof code === 'string' && FOREIGN_CODE.test(code) ? code : undefined,
    at: placesOf(error),
  }
}

const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

const cleanObject = (value: object, path: readonly object[]): unknown => {
  if (value instanceof Secret) return String(value)
  if (value instanceof Error) return cleanError(value)
  if (DateTime.isDateTime(value) || Duration.isDuration(value)) return value.toISO()
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'invalid date' : value.toISOString()
  if (path.includes(value)) return '[circular]'
  if (path.length >= MAX_DEPTH) return '[too deep]'
  const inside = [...path, value]
  if (Array.isArray(value)) return value.slice(0, MAX_ENTRIES).map((entry: unknown) => cleanValue(entry, inside))
  // Requests, responses, clients, buffers, maps: their insides are not logged.
  if (!isPlain(value)) return '[object]'
  const keys = Object.keys(value)
  return Object.fromEntries(
    keys.slice(0, MAX_ENTRIES).map((key): [string, unknown] => {
      // A getter is not run: it may throw, or reveal a secret.
      const descriptor = Object.getOwnPropertyDescriptor(value, key)
      const entry: unknown = descriptor !== undefined && 'value' in descriptor ? descriptor.value : CENSORED
      const shown = entry instanceof Secret || entry instanceof Error || !isSensitive(key) || isHarmless(key, entry)
      return [scrub(key), shown ? cleanValue(entry, inside) : CENSORED]
    }),
  )
}

const cleanValue = (value: unknown, path: readonly object[]): unknown => {
  if (typeof value === 'string') return scrub(value)
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'object' && value !== null) return cleanObject(value, path)
  return typeof value === 'function' || typeof value === 'symbol' ? undefined : value
}

/** A copy of the value that is fit to be logged; see the head of this file for what is left out. */
export const clean = (value: unknown): unknown => cleanValue(value, [])
