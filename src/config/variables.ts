// The one list of environment variables, and how each is read: directly or, for secrets, from the file that NAME_FILE
// names.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Report } from './problems.ts'
import { nearest } from './suggest.ts'

interface Variable {
  /** Whether the variable may also be read from the file in `NAME_FILE`. */
  readonly secret: boolean
  /** What to do when the variable is missing. */
  readonly hint: string
}

const open = (hint: string): Variable => ({ secret: false, hint })
const secret = (hint: string): Variable => ({ secret: true, hint })

export const variables = {
  NODE_ENV: open('Say production, development or test.'),
  LOG_LEVEL: open('Say how much to log.'),
  RECONSENT_CONFIG: open('Name the policy file.'),
  DATABASE_URL: secret('Give the address of the PostgreSQL database: postgres://user:password@host:5432/database.'),
  MIGRATE_DATABASE_URL: secret("Give the database's address with the role that owns its tables."),
  QUEUE: open('Say redis or postgres.'),
  REDIS_URL: secret(
    'Give the address of Redis, redis://host:6379 (redis-cluster:// and redis-sentinel:// name several), or ' +
      'run the queue on the database with QUEUE=postgres.',
  ),
  TRUELAYER_AUTH_URL: open("Give the address of TrueLayer's authentication host."),
  TRUELAYER_API_URL: open("Give the address of TrueLayer's data host."),
  TRUELAYER_CLIENT_ID: secret("Give the client id from TrueLayer's console."),
  TRUELAYER_CLIENT_SECRET: secret("Give the client secret from TrueLayer's console."),
  HTTPS_PROXY: secret('Give the address of the proxy through which the provider is reached.'),
  NO_PROXY: open('Name the hosts that are reached without the proxy.'),
  https_proxy: open('Give the address of the proxy through which the provider is reached.'),
  no_proxy: open('Name the hosts that are reached without the proxy.'),
  PUBLIC_URL: open(
    "Give the address at which users' browsers reach this service, such as https://consents.example.com.",
  ),
  HOST: open('Give the address to listen on.'),
  PORT: open('Give the port to listen on.'),
  ENCRYPTION_KEYS: secret('Give at least one key as id:base64; make one with: echo "k1:$(openssl rand -base64 32)".'),
  SMTP_URL: secret('Give the address of the mail server: smtps://user:password@host:465 or smtp://host:25.'),
  MAIL_FROM: open("Give the sender of the messages: 'Company <consents@example.com>'."),
  OPS_USER: open('The board needs both OPS_USER and OPS_PASSWORD; without either it is not mounted.'),
  OPS_PASSWORD: secret('The board needs both OPS_USER and OPS_PASSWORD; without either it is not mounted.'),
  TRUSTED_PROXIES: open('Name the load balancers whose X-Forwarded-For is believed.'),
  API_KEYS_SHA256: secret('Give the SHA-256 of each API key, in hex.'),
} as const satisfies Record<string, Variable>

export type VariableName = keyof typeof variables
export type Environment = Readonly<Record<string, string | undefined>>

const isKnown = (name: string): boolean =>
  Object.hasOwn(variables, name.endsWith('_FILE') ? name.slice(0, -'_FILE'.length) : name)

/** Whether the environment sets this variable, directly or through its file. An empty value counts as unset. */
export const isSet = (env: Environment, name: VariableName): boolean =>
  Boolean(env[name]?.trim()) || (variables[name].secret && Boolean(env[`${name}_FILE`]?.trim()))

export interface VariableReader {
  /**
   * The value, or undefined when the variable is not set or cannot be read. A variable that cannot be read is reported,
   * once.
   */
  find(name: VariableName): string | undefined
  /** Like `find`, but also reports a missing variable. */
  need(name: VariableName): string | undefined
  /**
   * The current value of a variable that may change while the program runs. Undefined, without a report, when it cannot
   * be read.
   */
  reread(name: VariableName): string | undefined
}

const MAX_LENGTH = 65_536

export const makeVariableReader = ({
  env,
  cwd,
  report,
}: {
  env: Environment
  cwd: string
  report: Report
}): VariableReader => {
  const readFile = (name: VariableName, file: string): string | undefined => {
    const where = `${name}_FILE`
    let text: string
    try {
      text = readFileSync(resolve(cwd, file), 'utf8')
    } catch (error) {
      // The path is not reported: an operator may have put the secret itself here, and it must not appear in a log.
      const code = (error as NodeJS.ErrnoException).code
      report(where, `names a file that cannot be read${code === undefined ? '' : ` (${code})`}`)
      return undefined
    }
    const value = text.trim()
    if (value === '') report(where, 'names a file that is empty')
    return value === '' ? undefined : value
  }

  const read = (name: VariableName): string | undefined => {
    // Editors and `echo` end a file with a line break that is not part of the value, and people leave spaces in both.
    const value = env[name]?.trim() || undefined
    const file = (variables[name].secret && env[`${name}_FILE`]?.trim()) || undefined
    if (value !== undefined && file !== undefined) {
      report(name, `and ${name}_FILE are both set: unset one of them`)
      return undefined
    }
    const found = file === undefined ? value : readFile(name, file)
    if (found === undefined) return undefined
    if (found.length > MAX_LENGTH || /\p{Cc}/u.test(found)) {
      report(
        file === undefined ? name : `${name}_FILE`,
        'holds a line break or another control character, or is far too long',
      )
      return undefined
    }
    return found
  }

  const reportMissing = (name: VariableName): void => {
    const { hint, secret: hasFile } = variables[name]
    const others = Object.keys(env).filter((other) => Boolean(env[other]) && !isKnown(other))
    const meant = nearest(name, others)
    const file = hasFile ? ` ${name}_FILE may name a file that holds it.` : ''
    report(name, `is not set.${meant === undefined ? '' : ` Did you mean it by ${meant}?`} ${hint}${file}`)
  }

  // A variable that several parts need is read and reported only once.
  const values = new Map<VariableName, string | undefined>()
  const missing = new Set<VariableName>()
  const find = (name: VariableName): string | undefined => {
    if (!values.has(name)) values.set(name, read(name))
    return values.get(name)
  }
  return {
    find,
    need(name) {
      const value = find(name)
      if (value === undefined && !isSet(env, name) && !missing.has(name)) {
        missing.add(name)
        reportMissing(name)
      }
      return value
    },
    reread: (name) => makeVariableReader({ env, cwd, report: () => undefined }).find(name),
  }
}
