// A mutant is a mistake that the suite must catch: edits of the sources, and the tests that must fail with them.

export const mistakes = [
  'drop the fencing token from a write',
  'retry the code after a time-out',
  'answer the browser before the commit',
  'reuse job ids',
  'send before reserving the ledger row',
  'repeat an answer lost after the dot',
  'repeat twice',
  'repeat a message that is no longer wanted',
  'skip the same-connection check',
  'accept a success without proof',
  'remove FOR UPDATE SKIP LOCKED',
  "count an outage as the consent's failure",
  'log an error object raw',
  'hand out a link twice',
  'let an import move the expiry back',
  'conclude "not renewed" at once',
  'throw away a late token response',
  'a date older than the provider’s',
  'take the newer arrival for the newer token',
  "count a connection's 401 as ours",
  'publish token.rejected at the first 401',
] as const
export type Mistake = (typeof mistakes)[number]

export interface Edit {
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly find: string
  readonly replace: string
}

export interface Judge {
  readonly file: string
  /** The title of a test or of a `describe`, or a part of it; by default all tests of the file. */
  readonly only?: string
}

export interface Mutant {
  readonly id: string
  readonly mistake: Mistake
  /** What was changed, and why the change looked right. */
  readonly how: string
  /** One of the seven rules in docs/architecture.md, or of the invariants in docs/reliability.md. */
  readonly breaks: string
  readonly edits: readonly Edit[]
  /** At least one of these tests must fail. */
  readonly caughtBy: readonly Judge[]
}

export const tests = {
  settle: 'test/processors/settle-in-doubt.test.ts',
  lateDate: 'test/processors/late-date.test.ts',
  codes: 'test/processors/codes-and-claims.test.ts',
  inHand: 'test/processors/answer-in-hand.test.ts',
  verify: 'test/processors/verify-renewal.test.ts',
  renew: 'test/processors/renew-consent.test.ts',
  send: 'test/processors/send-notification.test.ts',
  holds: 'test/processors/send-holds.test.ts',
  repeat: 'test/processors/repeat-message.test.ts',
  sweep: 'test/processors/sweep.test.ts',
  timers: 'test/processors/timers.test.ts',
  start: 'test/processors/visit-start-page.test.ts',
  callback: 'test/http/callback.test.ts',
  logs: 'test/http/logs.test.ts',
  queue: 'test/queue/redis.test.ts',
  import: 'test/store/import.test.ts',
  tokens: 'test/processors/tokens.test.ts',
  proof: 'test/domain/proof.test.ts',
} as const
