// Every error code that this program can record, defined once: whether the error may pass by itself, its message, and
// where the runbook explains it. Operators see the messages unchanged (board, logs, records), so no message may hold a
// secret or an address.

type Kind = 'transient' | 'permanent'

interface Entry {
  readonly kind: Kind
  readonly message: string
}

export const errorTable = {
  'provider-unreachable': { kind: 'transient', message: 'the provider could not be reached' },
  'proxy-failed': {
    kind: 'transient',
    message: 'the proxy in HTTPS_PROXY could not be reached, refused us, or got no connection to the provider',
  },
  'provider-timeout': { kind: 'transient', message: 'the provider did not answer in time' },
  'provider-rate-limited': { kind: 'transient', message: 'the provider asked us to slow down (429)' },
  'provider-failed': { kind: 'transient', message: 'the provider answered with a server error' },
  'provider-garbled': { kind: 'transient', message: 'the provider answered with something that is not its protocol' },
  'provider-circuit-open': {
    kind: 'transient',
    message: 'the circuit of calls to the provider is open: it rejects our credentials for many connections at once',
  },
  'client-rejected': { kind: 'transient', message: 'the provider rejected our client id or secret (invalid_client)' },
  'link-rejected': { kind: 'permanent', message: 'the provider refused to make a re-authentication link' },
  'token-rejected': {
    kind: 'permanent',
    message: 'the provider rejected every refresh token that we have for this connection',
  },
  'link-unusable': { kind: 'transient', message: 'the provider answered without a usable https link' },
  'grant-refused': { kind: 'permanent', message: 'the provider refused the code (invalid_grant)' },
  'code-refused': { kind: 'permanent', message: 'the provider refused the code (invalid_authorization_code)' },
  'code-too-old': { kind: 'permanent', message: 'the code could not be sent within its five minutes' },
  'bank-refused': { kind: 'permanent', message: 'the user or the bank refused at the bank' },
  'exchange-in-doubt': {
    kind: 'permanent',
    message: 'the code was sent and no answer came: it may or may not have been used',
  },
  'exchange-interrupted': { kind: 'permanent', message: 'the process stopped while a code was being sent' },
  'token-changed': { kind: 'permanent', message: 'the stored refresh token changed while a code was being exchanged' },
  'other-connection': { kind: 'permanent', message: 'the user approved a different connection' },
  'not-proven': { kind: 'transient', message: 'the provider does not yet show a new expiry date' },
  'not-renewed': { kind: 'permanent', message: 'the provider shows that the consent was not renewed' },
  'token-invalid': { kind: 'permanent', message: 'the stored refresh token no longer works' },
  'message-refused': { kind: 'permanent', message: 'the channel refused the message for good' },
  'message-unavailable': {
    kind: 'transient',
    message: 'the channel could not be used: not reached, at its limit, or it does not let us send',
  },
  'message-too-large': { kind: 'permanent', message: 'the channel takes no message of this size' },
  'message-deferred': { kind: 'transient', message: 'the channel did not take the message yet' },
  'message-uncertain': {
    kind: 'permanent',
    message: 'the message was handed over and no answer came: it may or may not have been delivered',
  },
  'no-channel': { kind: 'permanent', message: 'there is no address for this user that messages could reach' },
  'consent-suspended': {
    kind: 'transient',
    message: 'the consent is paused or quarantined: the message waits until it comes back',
  },
  'decryption-failed': {
    kind: 'permanent',
    message: 'a stored secret does not decrypt: wrong key, wrong row or altered data',
  },
  'database-unavailable': { kind: 'transient', message: 'the database could not be reached' },
  'queue-unavailable': { kind: 'transient', message: 'the queue could not be reached' },
  stopped: { kind: 'transient', message: 'the process stopped before the work was done' },
  'timed-out': { kind: 'transient', message: 'the work took longer than its deadline' },
  'cycle-closed': {
    kind: 'permanent',
    message: 'the cycle was over before the code could be used: renewed by another attempt, or closed',
  },
  internal: { kind: 'permanent', message: 'an unexpected error in Reconsent itself' },
} as const satisfies Record<string, Entry>

export type ErrorCode = keyof typeof errorTable

/** Base of the two errors a processor may throw. `code` is stable; `message` comes from the table. */
abstract class CodedError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode) {
    super(`${code}: ${errorTable[code].message}`)
    this.code = code
  }
}

/** An error that may pass by itself: the queue retries in seconds to minutes, then the record backs off. */
export class TransientError extends CodedError {
  override readonly name = 'TransientError'
  /** Milliseconds the other side asked us to wait (`Retry-After`), if it did. */
  readonly retryAfterMs: number | undefined

  constructor(code: ErrorCode, options: { retryAfterMs?: number | undefined } = {}) {
    super(code)
    this.retryAfterMs = options.retryAfterMs
  }
}

/** An error that a retry does not cure: recorded, shown to the operator, explained in the runbook. */
export class PermanentError extends CodedError {
  override readonly name = 'PermanentError'
}

/**
 * A write was refused because another worker, a stop or an import has taken the claim over; nothing of the write was
 * kept. The store throws this error, and the frame of every job (processors/with-claim.ts) turns it into the job's
 * outcome. A step that catches errors must throw this one again, as renew-consent.ts and persist.ts do. Only the
 * back-off after a bug of ours (renew-consent.ts) ignores it, because the job then fails with the bug's own error.
 */
export class StaleClaim extends Error {
  override readonly name = 'StaleClaim'

  constructor() {
    super('the claim is stale')
  }
}

/**
 * A cursor of the event feed that this database's history does not have: the cursor comes from another history, or was
 * given out after the backup that this database was restored from.
 */
export class CursorUnknown extends Error {
  override readonly name = 'CursorUnknown'
}

/** Where `docs/runbook.md` explains the code: the anchor of its heading. */
export const runbookAnchor = (code: ErrorCode): string => `docs/runbook.md#${code}`
