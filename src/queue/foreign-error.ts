// The parts of an error from Redis, PostgreSQL or their drivers that may be logged or shown: its class, a code, the
// first word of the server's answer and the server. The text is never shown, because it repeats addresses, keys and
// arguments.

export interface ForeignError {
  readonly class: string
  /** The first word of Redis's answer: `READONLY`, `NOPERM`, `OOM`. */
  readonly answer: string | undefined
  /** The driver's or PostgreSQL's code: `ECONNREFUSED`, `42501`. */
  readonly code: string | undefined
  /** `host:port`. */
  readonly server: string | undefined
}

/**
 * After one of these answers the connection leads to the wrong server or has no valid password. A new connection may do
 * better.
 */
const STALE = ['READONLY', 'LOADING', 'MASTERDOWN', 'UNBLOCKED', 'NOREPLICAS', 'NOAUTH', 'WRONGPASS'] as const

/** Answers whose text begins with `ERR` or with no word at all, with the phrase that identifies each. */
const unnamed: readonly (readonly [RegExp, string])[] = [
  [/cluster support disabled/i, 'NOCLUSTER'],
  [/max number of clients/i, 'MAXCLIENTS'],
  [/can't run this command or subcommand|no permissions to/i, 'NOPERM'],
  [/non local key in a cluster/i, 'MOVED'],
  [/unknown command/i, 'UNKNOWNCOMMAND'],
  [/DB index is out of range/i, 'NODATABASE'],
  [/No such master|invalid reply: (?:null|undefined)$/, 'NOPRIMARY'],
  [/^All sentinels are unreachable|^failed to connect to sentinel/, 'NOSENTINEL'],
  [/^connect ETIMEDOUT|^Command timed out|^Socket timeout/, 'ETIMEDOUT'],
]

/**
 * These words may stand behind other text: Redis up to 6 answers `ERR Error running script (…): @user_script:1:
 * -READONLY …`, and ioredis reports of a cluster `Too many Cluster redirections. Last error: ReplyError: CLUSTERDOWN
 * …`.
 */
const words = [...STALE, 'OOM', 'MISCONF', 'NOPERM', 'MOVED', 'ASK', 'TRYAGAIN', 'CLUSTERDOWN']
const within = new RegExp(`(?:^|[\\s:-])(${words.join('|')})\\b`)

const answerOf = ({ name, message }: Error): string | undefined => {
  const first = name === 'ReplyError' ? /^-?([A-Z][A-Z0-9]{1,29})(?: |$)/.exec(message)?.[1] : undefined
  if (first !== undefined && first !== 'ERR') return first
  return within.exec(message)?.[1] ?? unnamed.find(([pattern]) => pattern.test(message))?.[1] ?? first
}

const readable = (text: unknown): string | undefined =>
  typeof text === 'string' && /^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$/.test(text) ? text : undefined

const serverOf = ({ address, port }: { address?: unknown; port?: unknown }): string | undefined =>
  typeof address === 'string' && /^[\w.:-]{1,100}$/.test(address) && typeof port === 'number'
    ? `${address}:${port}`
    : undefined

/**
 * The parts of any error that may be shown. When the error wraps others (several connection attempts at once for IPv4
 * and IPv6, or a cluster's last node), the inner error tells the cause.
 */
export const foreignError = (error: unknown): ForeignError => {
  if (!(error instanceof Error)) return { class: typeof error, answer: undefined, code: undefined, server: undefined }
  const { errors, lastNodeError, code } = error as { errors?: unknown; lastNodeError?: unknown; code?: unknown }
  const inner: unknown = Array.isArray(errors) ? errors[0] : lastNodeError
  if (inner instanceof Error) return { ...foreignError(inner), class: readable(error.name) ?? 'Error' }
  const ownCode = readable(code) ?? (typeof code === 'number' ? String(code) : undefined)
  return {
    class: readable(error.name) ?? 'Error',
    answer: ownCode === undefined ? answerOf(error) : undefined,
    code: ownCode,
    server: serverOf(error as { address?: unknown; port?: unknown }),
  }
}

/** The one word that names the error. */
export const wordOf = (error: unknown): string => {
  const { answer, code, class: name } = foreignError(error)
  return answer ?? code ?? name
}

/** Whether a new connection may lead to a server that accepts what this server refused. */
export const isStale = (error: Error): boolean => {
  const { answer } = foreignError(error)
  return answer !== undefined && (STALE as readonly string[]).includes(answer)
}
