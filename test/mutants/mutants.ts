// The mistakes that the suite must catch, as edits of the sources: each is one that a tired engineer could make and defend. A mutant that
// survives is answered by a better test, never by a cruder mutant. `npm run test:mutants` applies them to a copy.

export const mistakes = [
  'drop the epoch from a write',
  'retry the code after a time-out',
  'answer the browser before the commit',
  'reuse job ids',
  'send before reserving the ledger row',
  'skip the same-connection check',
  'accept a success without proof',
  'remove FOR UPDATE SKIP LOCKED',
  "count an outage as the consent's failure",
  'log an error object raw',
  'hand out a link twice',
  'let an import move the expiry back',
  'conclude "not renewed" at once',
  'throw away a late token response',
] as const
export type Mistake = (typeof mistakes)[number]

export interface Edit {
  readonly file: string
  /** Stands exactly once in the file. */
  readonly find: string
  readonly replace: string
}

export interface Judge {
  readonly file: string
  /** The title of a test or of a `describe`, or a part of it; all tests of the file unless said. */
  readonly only?: string
}

export interface Mutant {
  readonly id: string
  readonly mistake: Mistake
  /** What was done, and why it looked right. */
  readonly how: string
  /** Of the seven rules in docs/architecture.md, or the invariants of docs/reliability.md. */
  readonly breaks: string
  readonly edits: readonly Edit[]
  /** At least one of these tests must fail. */
  readonly caughtBy: readonly Judge[]
}

const tests = {
  settle: 'test/processors/settle-unknown.test.ts',
  codes: 'test/processors/codes-and-claims.test.ts',
  verify: 'test/processors/verify-renewal.test.ts',
  renew: 'test/processors/renew-consent.test.ts',
  send: 'test/processors/send-notification.test.ts',
  holds: 'test/processors/send-holds.test.ts',
  sweep: 'test/processors/sweep.test.ts',
  timers: 'test/processors/timers.test.ts',
  start: 'test/processors/visit-start-page.test.ts',
  callback: 'test/http/callback.test.ts',
  logs: 'test/http/logs.test.ts',
  queue: 'test/queue/redis.test.ts',
  import: 'test/store/import.test.ts',
  proof: 'test/domain/proof.test.ts',
} as const

const epoch: readonly Mutant[] = [
  {
    id: 'epoch-consent',
    mistake: 'drop the epoch from a write',
    how: 'the writes of a reauth job take the row they find: they hold its lock, after all',
    breaks: 'rule 3, invariant 11',
    edits: [{
      file: 'src/store/locks.ts',
      find: 'return consent !== undefined && consent.epoch === claim.epoch ? consent : overtaken()',
      replace: 'return consent ?? overtaken()',
    }],
    caughtBy: [{ file: tests.sweep, only: 'twenty claims of one record' }, { file: tests.renew, only: 'overtaken while the link was made' }],
  },
  {
    id: 'epoch-authorisation',
    mistake: 'drop the epoch from a write',
    how: 'the same for the ends of an exchange: the table of transitions guards them, does it not?',
    breaks: 'rule 3, invariant 11',
    edits: [{
      file: 'src/store/locks.ts',
      find: 'return locked !== undefined && locked.authorisation.epoch === claim.epoch ? locked : overtaken()',
      replace: 'return locked ?? overtaken()',
    }],
    caughtBy: [{ file: tests.codes, only: 'a worker that was overtaken' }],
  },
  {
    id: 'epoch-exchange-dates',
    mistake: 'drop the epoch from a write',
    how: 'the one-statement write of an exchange names the status, which looks like fence enough',
    breaks: 'rule 3, invariant 11',
    edits: [{
      file: 'src/store/exchanges.ts',
      find: 'where: { id: claim.id, epoch: claim.epoch, status: { in: from } }',
      replace: 'where: { id: claim.id, status: { in: from } }',
    }],
    caughtBy: [{ file: tests.codes, only: 'that asked in vain' }],
  },
  {
    id: 'epoch-message',
    mistake: 'drop the epoch from a write',
    how: 'the ledger row is locked and its status is checked; the epoch went in a refactoring',
    breaks: 'rule 3, invariants 6 and 11',
    edits: [{
      file: 'src/store/notifications.ts',
      find: 'if (row === null || consent === undefined || renewal === undefined || row.epoch !== claim.epoch) return overtaken()',
      replace: 'if (row === null || consent === undefined || renewal === undefined) return overtaken()',
    }],
    caughtBy: [{ file: tests.send, only: 'a sender that sleeps past its lease' }],
  },
  {
    id: 'epoch-message-postponed',
    mistake: 'drop the epoch from a write',
    how: 'putting a message off is harmless, so the statement names only id and status',
    breaks: 'rule 3, invariants 6 and 11',
    edits: [{
      file: 'src/store/notifications.ts',
      find: "where: { id: claim.id, epoch: claim.epoch, status: { in: ['pending', 'sending'] } }",
      replace: "where: { id: claim.id, status: { in: ['pending', 'sending'] } }",
    }],
    caughtBy: [{ file: tests.send, only: 'a sender that falls asleep' }],
  },
  {
    id: 'epoch-release',
    mistake: 'drop the epoch from a write',
    how: 'giving a lease back by id alone',
    breaks: 'rule 3, invariant 11',
    edits: [{
      file: 'src/store/dispatching.ts',
      find: 'SET lease_until = NULL WHERE id = ${claim.id}::uuid AND epoch = ${claim.epoch}`',
      replace: 'SET lease_until = NULL WHERE id = ${claim.id}::uuid`',
    }],
    caughtBy: [{ file: tests.sweep, only: 'twenty claims of one record' }],
  },
  {
    id: 'epoch-not-moved-by-stop',
    mistake: 'drop the epoch from a write',
    how: 'pausing and closing clear the lease; that the job at work still holds its epoch is forgotten',
    breaks: 'rule 3, invariant 11',
    edits: [{
      file: 'src/store/renewals.ts',
      find: 'nextActionReason: null,\n      epoch: { increment: 1 },',
      replace: 'nextActionReason: null,',
    }],
    caughtBy: [{ file: 'test/store/administration.test.ts', only: 'fences the job at work' }],
  },
  {
    id: 'epoch-not-moved-by-import',
    mistake: 'drop the epoch from a write',
    how: 'an import clears lease and mark of a repaired consent, not the epoch',
    breaks: 'rule 3, invariant 11',
    edits: [{ file: 'src/store/import-batch.ts', find: 'epoch: row.epoch + 1, leaseUntil: null', replace: 'leaseUntil: null' }],
    caughtBy: [{ file: tests.import, only: 'closes the cycle as repaired' }],
  },
]

const code: readonly Mutant[] = [
  {
    id: 'code-again-after-time-out',
    mistake: 'retry the code after a time-out',
    how: 'no answer within our patience is taken for "not processed", so the code is sent again while it lives',
    breaks: 'rule 5, invariant 2',
    edits: [{
      file: 'src/provider/truelayer/failures.ts',
      find: "return reply.sent === 'no'\n",
      replace: "return reply.sent === 'no' || reply.code === 'provider-timeout'\n",
    }],
    caughtBy: [{ file: tests.settle, only: 'the answer was lost after the provider had processed it' }],
  },
  {
    id: 'code-again-after-408',
    mistake: 'retry the code after a time-out',
    how: 'a 408 is treated like the 429 above it: RFC 9110 says that such a request may be repeated',
    breaks: 'rule 5, invariant 2',
    edits: [{
      file: 'src/provider/truelayer/failures.ts',
      find: "if (status === 408) return { kind: 'unknown', code: 'provider-timeout' }",
      replace: "if (status === 408) return { kind: 'not-processed', code: 'provider-timeout', retryAfterMs }",
    }],
    caughtBy: [{ file: 'test/provider/truelayer/token-answers.test.ts' }],
  },
  {
    id: 'code-again-after-lease',
    mistake: 'retry the code after a time-out',
    how: 'a worker whose lease ran out while it was sending is taken for dead, and its code for unsent',
    breaks: 'rule 5, invariant 2',
    edits: [
      {
        file: 'src/processors/advance-authorisation.ts',
        find: "if (!(await store.markUnknown(claim, clock.now(), 'exchange-interrupted', clock.now()))) return OVERTAKEN\n      return settleUnknown(deps, claim, loaded, run)",
        replace: "return (await store.returnCode(claim, clock.now(), 'exchange-interrupted')) ? snooze(clock.now(), 'the exchange was interrupted: it is taken up again') : OVERTAKEN",
      },
    ],
    caughtBy: [{ file: tests.settle, only: 'the worker died while it was sending' }],
  },
]

const callback: readonly Mutant[] = [
  {
    id: 'answer-without-waiting',
    mistake: 'answer the browser before the commit',
    how: 'every state gets the same answer anyway, so the browser need not wait for the database',
    breaks: 'rule 5, invariant 3',
    edits: [
      {
        file: 'src/http/routes/callback.ts',
        find: [
          'const taken = await commitCallback(deps, callback, deps.commitWithinMs)',
          "      await crashPoint('before-callback-answer')",
          "      if (taken.kind !== 'unknown-state') return reply.redirect(`/done/${taken.doneId}`, 303)",
        ].join('\n'),
        replace: [
          'commitCallback(deps, callback, deps.commitWithinMs).catch((error: unknown) => logFailure(deps.log, request, error))',
          "      await crashPoint('before-callback-answer')",
          '      return reply.redirect(`/done/${newDoneId()}`, 303)',
        ].join('\n'),
      },
    ],
    caughtBy: [{ file: tests.callback, only: 'with the database away' }],
  },
  {
    id: 'answer-when-slow',
    mistake: 'answer the browser before the commit',
    how: 'a commit that takes too long is answered neutrally; it will surely come through in a moment',
    breaks: 'rule 5, invariant 3',
    edits: [{
      file: 'src/http/routes/callback.ts',
      find: "const answer = await within(ms, receiveCallback(callback), () => {\n      throw new TransientError('database-unavailable')\n    })",
      replace: "const answer = await within(ms, receiveCallback(callback), (): CallbackAnswer => ({ kind: 'unknown-state' }))",
    }],
    caughtBy: [{ file: tests.callback, only: 'a database that does not answer at all' }],
  },
]

const jobIds: readonly Mutant[] = [
  {
    id: 'job-id-of-record',
    mistake: 'reuse job ids',
    how: 'the record’s id alone as job id, so that a record is never queued twice',
    breaks: 'rule 3, invariant 1',
    edits: [{
      file: 'src/queue/catalogue.ts',
      find: 'export const jobIdOf = ({ id, dispatchNo }: Dispatch): string => `${id}-${dispatchNo}`',
      replace: 'export const jobIdOf = ({ id }: Dispatch): string => id',
    }],
    caughtBy: [{ file: tests.queue, only: 'an id it still holds is ignored' }],
  },
  {
    id: 'job-id-not-counted',
    mistake: 'reuse job ids',
    how: 'only the sweep counts its dispatches; a record handed over at once keeps its number',
    breaks: 'rule 3, invariant 1',
    edits: [{
      file: 'src/store/dispatching.ts',
      find: 'UPDATE ${name} SET queued_until = ${later(hold)}, dispatch_no = dispatch_no + 1\n',
      replace: 'UPDATE ${name} SET queued_until = ${later(hold)}\n',
    }],
    caughtBy: [{ file: tests.sweep, only: 'again, when its job was lost' }],
  },
  {
    id: 'job-id-given-back',
    mistake: 'reuse job ids',
    how: 'a dispatch that the queue refused gives its number back with its mark',
    breaks: 'rule 3, invariant 1',
    edits: [{
      file: 'src/store/dispatching.ts',
      find: 'AS row SET queued_until = NULL\n',
      replace: 'AS row SET queued_until = NULL, dispatch_no = row.dispatch_no - 1\n',
    }],
    caughtBy: [{ file: tests.sweep, only: 'the queue goes away in the middle' }],
  },
]

const ledger: readonly Mutant[] = [
  {
    id: 'sent-before-reserved',
    mistake: 'send before reserving the ledger row',
    how: 'the row is reserved once the mail server has answered, so that a refused mail uses up nothing of the hour’s cap',
    breaks: 'rule 5, invariants 6 and 7',
    edits: [
      {
        file: 'src/processors/send-notification.ts',
        find: '  const start = await store.beginSending(',
        replace: '  const delivery = await channel.send(message)\n  const start = await store.beginSending(',
      },
      {
        file: 'src/processors/send-notification.ts',
        find: "await crashPoint('sending-committed')\n      const delivery = await channel.send(message)",
        replace: "await crashPoint('sending-committed')",
      },
    ],
    caughtBy: [{ file: tests.send, only: 'a crash' }, { file: tests.holds, only: 'a code comes in at the last moment' }],
  },
]

const connection: readonly Mutant[] = [
  {
    id: 'connection-of-tokens',
    mistake: 'skip the same-connection check',
    how: 'tokens that answer the code of our own link are taken for ours',
    breaks: 'rule 6, invariant 4',
    edits: [{
      file: 'src/processors/exchange-code.ts',
      find: 'const ours = tokens.credentialsId === consent.credentialsId ||',
      replace: "const ours = authorisation.route === 'reauth' || tokens.credentialsId === consent.credentialsId ||",
    }],
    caughtBy: [{ file: 'test/processors/loop.test.ts', only: 'somebody else approved' }],
  },
  {
    id: 'connection-of-me',
    mistake: 'skip the same-connection check',
    how: 'the exchange has looked at `sub` already, so /me is read for its dates alone; not every token has a `sub`',
    breaks: 'rule 6, invariant 4',
    edits: [{
      file: 'src/processors/judge-me.ts',
      find: 'const ours = owner === consent.credentialsId',
      replace: "const ours = authorisation.route === 'reauth' || owner === consent.credentialsId",
    }],
    caughtBy: [{ file: tests.verify, only: 'whose tokens they are' }],
  },
  {
    id: 'connection-nowhere',
    mistake: 'skip the same-connection check',
    how: 'both at once: whoever approves, it is a renewal',
    breaks: 'rule 6, invariants 4 and 5',
    edits: [
      {
        file: 'src/processors/exchange-code.ts',
        find: 'const ours = tokens.credentialsId === consent.credentialsId ||',
        replace: "const ours = authorisation.route === 'reauth' || tokens.credentialsId === consent.credentialsId ||",
      },
      {
        file: 'src/processors/judge-me.ts',
        find: 'const ours = owner === consent.credentialsId',
        replace: "const ours = authorisation.route === 'reauth' || owner === consent.credentialsId",
      },
    ],
    caughtBy: [{ file: 'test/processors/loop.test.ts', only: 'somebody else approved' }],
  },
  {
    id: 'connection-of-another-bank',
    mistake: 'skip the same-connection check',
    how: 'the connection is compared, the bank behind it is not',
    breaks: 'rule 6',
    edits: [{
      file: 'src/processors/judge-me.ts',
      find: "  if (me.providerId !== undefined && me.providerId !== consent.providerId) return { kind: 'mismatched' }\n",
      replace: '',
    }],
    caughtBy: [{ file: 'test/processors/full-route.test.ts', only: 'at a different bank' }],
  },
]

const proof: readonly Mutant[] = [
  {
    id: 'proof-by-tokens',
    mistake: 'accept a success without proof',
    how: 'the provider gave tokens for the code, so it is renewed for ninety days; nobody reads /me',
    breaks: 'rule 6, invariant 5',
    edits: [
      { file: 'src/processors/exchange-code.ts', find: "import { askAgain, closeMismatched } from './conclude.ts'", replace: "import { askAgain, closeMismatched, commitProof } from './conclude.ts'" },
      {
        file: 'src/processors/exchange-code.ts',
        find: "=== 'verifying' ? verifyRenewal(deps, claim, fresh, run) :",
        replace:
          "=== 'verifying' ? commitProof(deps, claim, fresh, { proof: { proven: true, basis: 'clean-exchange-without-dates', expiresAt: received.answeredAt.plus({ days: 90 }), expiresSource: 'assumed' }, owner: 'ours' }) :",
      },
    ],
    caughtBy: [{ file: tests.verify, only: '/me lags behind' }],
  },
  {
    id: 'proof-by-clean-answer',
    mistake: 'accept a success without proof',
    how: 'a clean 200 is the proof where /me gives no dates; here also where it gives the old one',
    breaks: 'rule 6, invariant 5',
    edits: [
      { file: 'src/domain/proof.ts', find: '? laterThanKnown(input)', replace: '? (laterThanKnown(input) ?? withoutExpiry(input))' },
      { file: 'src/domain/proof.ts', find: ': (changedSince(input) ?? fullValiditySince(input))', replace: ': (changedSince(input) ?? fullValiditySince(input) ?? withoutExpiry(input))' },
    ],
    caughtBy: [{ file: tests.proof }],
  },
  {
    id: 'proof-by-any-later-date',
    mistake: 'accept a success without proof',
    how: 'a date later than an imported one, which may itself be days off, is believed',
    breaks: 'rule 6, invariant 5',
    edits: [{ file: 'src/domain/proof.ts', find: "input.known.source === 'me'", replace: "input.known.source !== 'assumed'" }],
    caughtBy: [{ file: tests.proof }],
  },
  {
    id: 'proof-by-a-moment',
    mistake: 'accept a success without proof',
    how: 'against a date of /me any later one is enough, however little it moved',
    breaks: 'rule 6, invariant 5',
    edits: [{ file: 'src/domain/proof.ts', find: 'if (me.consentExpiresAt.toMillis() - known.expiresAt.toMillis() >= leastMs) return', replace: 'if (me.consentExpiresAt > known.expiresAt) return' }],
    caughtBy: [{ file: tests.proof }],
  },
  {
    id: 'proof-by-refresh',
    mistake: 'accept a success without proof',
    how: 'a refresh that works proves the renewal; before the old expiry it works in any case',
    breaks: 'rule 6, invariant 5',
    edits: [{
      file: 'src/domain/proof.ts',
      find: 'const renewedSince = refreshedAt !== undefined && refreshedAt >= known.expiresAt.plus(EXPIRY_SETTLED)',
      replace: 'const renewedSince = refreshedAt !== undefined',
    }],
    caughtBy: [{ file: tests.settle, only: 'unknown and /me gives no dates' }],
  },
  {
    id: 'proof-not-recorded',
    mistake: 'accept a success without proof',
    how: 'the renewal is closed as renewed and the proof left to the event, which names its basis',
    breaks: 'rule 6, invariant 5',
    edits: [{
      file: 'src/store/settlement.ts',
      find: '      proof: { basis: proof.basis, authorisation_id: claim.id, expires_at: iso(proof.expiresAt), expires_source: proof.expiresSource, proven_at: iso(proof.provenAt) },\n',
      replace: '',
    }],
    caughtBy: [{ file: tests.verify, only: '/me without dates' }],
  },
]

const dispatch: readonly Mutant[] = [
  {
    id: 'dispatch-unlocked',
    mistake: 'remove FOR UPDATE SKIP LOCKED',
    how: 'the page is chosen without locks: one statement is atomic, is it not?',
    breaks: 'rule 3',
    edits: [{ file: 'src/store/dispatching.ts', find: '        LIMIT ${limit}\n        FOR UPDATE SKIP LOCKED\n', replace: '        LIMIT ${limit}\n' }],
    caughtBy: [{ file: tests.sweep, only: 'two schedulers over two pools' }],
  },
  {
    id: 'dispatch-waits',
    mistake: 'remove FOR UPDATE SKIP LOCKED',
    how: 'locked, but waiting: one long transaction on one consent holds up every sweep',
    breaks: 'rule 3, invariant 1',
    edits: [{ file: 'src/store/dispatching.ts', find: '        LIMIT ${limit}\n        FOR UPDATE SKIP LOCKED\n', replace: '        LIMIT ${limit}\n        FOR UPDATE\n' }],
    caughtBy: [{ file: tests.sweep, only: 'a row that a long transaction holds' }],
  },
]

const outage: readonly Mutant[] = [
  {
    id: 'outage-counts',
    mistake: "count an outage as the consent's failure",
    how: 'when the queue has given up on a job, the consent has failed once more',
    breaks: 'rule 4, "an outage is nobody’s failure"',
    edits: [{ file: 'src/processors/renew-consent.ts', find: 'code: error.code, counts: false', replace: 'code: error.code, counts: true' }],
    caughtBy: [{ file: tests.renew, only: 'the provider is away' }],
  },
  {
    id: 'hold-counts',
    mistake: "count an outage as the consent's failure",
    how: 'a consent that is held back because our own credentials are refused is counted like a refused one',
    breaks: 'rule 4, "an outage is nobody’s failure"',
    edits: [{ file: 'src/processors/renew-consent.ts', find: "code: 'provider-paused', counts: false", replace: "code: 'provider-paused', counts: true" }],
    caughtBy: [{ file: 'test/processors/provider-gate.test.ts', only: 'many 401 for links' }],
  },
  {
    id: 'gateway-page-rejects',
    mistake: "count an outage as the consent's failure",
    how: 'every 4xx is the provider’s no to this connection, also a gateway’s page in HTML',
    breaks: 'rule 4, "an outage is nobody’s failure"',
    edits: [
      { file: 'src/provider/truelayer/link.ts', find: '&& status !== 429 && body !== undefined', replace: '&& status !== 429' },
      { file: 'src/provider/truelayer/link.ts', find: 'providerError: errorWord(body) }', replace: 'providerError: errorWord(body ?? {}) }' },
    ],
    caughtBy: [{ file: tests.renew, only: 'the provider is away' }],
  },
]

const logged: readonly Mutant[] = [
  {
    id: 'raw-past-cleaning',
    mistake: 'log an error object raw',
    how: 'pino has serializers of its own, so the error level hands its fields over as they are',
    breaks: 'rule 7, invariant 8',
    edits: [{
      file: 'src/log.ts',
      find: 'error: (fields, message) => sink.error(cleanFields(fields), scrub(message)),',
      replace: 'error: (fields, message) => sink.error(fields instanceof Error ? { err: fields } : fields, scrub(message)),',
    }],
    caughtBy: [{ file: 'test/log.test.ts' }],
  },
  {
    id: 'raw-message-scrubbed',
    mistake: 'log an error object raw',
    how: 'a foreign error’s message is logged after all: scrubbed, which is a net and not a licence',
    breaks: 'rule 7, invariant 8',
    edits: [{
      file: 'src/log/clean.ts',
      find: "name: typeof name === 'string' && FOREIGN_NAME.test(name) ? name : 'Error',",
      replace: "name: typeof name === 'string' && FOREIGN_NAME.test(name) ? name : 'Error',\n    message: scrub(error.message),",
    }],
    caughtBy: [{ file: 'test/log.test.ts', only: 'errors' }, { file: tests.logs, only: 'nor of requests that fail' }],
  },
  {
    id: 'raw-in-web',
    mistake: 'log an error object raw',
    how: 'the reason of a failed request beside its code, to spare the night shift a search',
    breaks: 'rule 7, invariant 8',
    edits: [{
      file: 'src/http/fallback.ts',
      find: 'log.error({ method: request.method, route: routeOf(request), err }',
      replace: 'log.error({ method: request.method, route: routeOf(request), err, reason: String(error) }',
    }],
    caughtBy: [{ file: tests.logs, only: 'nor of requests that fail' }],
  },
  {
    id: 'raw-in-job',
    mistake: 'log an error object raw',
    how: 'the same for an unexpected error in a job',
    breaks: 'rule 7, invariant 8',
    edits: [{
      file: 'src/queue/process-job.ts',
      find: "log.error({ ...fields, err: error }, 'unexpected error in a job')",
      replace: "log.error({ ...fields, err: error, reason: String(error) }, 'unexpected error in a job')",
    }],
    caughtBy: [{ file: tests.queue, only: 'the text of any other error' }],
  },
  {
    id: 'raw-on-board',
    mistake: 'log an error object raw',
    how: 'the error itself is given to BullMQ, which stores its message and stack for the board',
    breaks: 'rule 7, invariant 8',
    edits: [{ file: 'src/queue/process-job.ts', find: '    throw stored\n', replace: '    throw mayBeTold(error) ? stored : error\n' }, {
      file: 'src/queue/process-job.ts',
      find: '/** Makes what BullMQ calls for each job.',
      replace: 'const mayBeTold = (error: unknown): boolean => error instanceof TransientError || error instanceof PermanentError\n\n/** Makes what BullMQ calls for each job.',
    }],
    caughtBy: [{ file: tests.queue, only: 'the text of any other error' }],
  },
  {
    id: 'raw-in-timer',
    mistake: 'log an error object raw',
    how: 'a timer’s round failed: why, in the error’s own words',
    breaks: 'rule 7, invariant 8',
    edits: [{ file: 'src/processors/keep-time.ts', find: '{ timer: name, err: error }', replace: '{ timer: name, reason: String(error) }' }],
    caughtBy: [{ file: tests.timers, only: 'a round that fails is logged' }],
  },
  {
    id: 'raw-in-code-timer',
    mistake: 'log an error object raw',
    how: 'the same where a code is exchanged outside the queue',
    breaks: 'rule 7, invariant 8',
    edits: [{ file: 'src/processors/exchange-stuck-codes.ts', find: '{ authorisation_id: id, err: error }', replace: '{ authorisation_id: id, reason: String(error) }' }],
    caughtBy: [{ file: tests.timers, only: 'one that fails is logged' }],
  },
]

const links: readonly Mutant[] = [
  {
    id: 'link-not-asked',
    mistake: 'hand out a link twice',
    how: 'a fresh link is as good for the second press: the one that was handed out is not excluded',
    breaks: 'rule 5, invariant 7',
    edits: [{ file: 'src/store/at-the-bank.ts', find: ' AND handed_out_at IS NULL AND link IS NOT NULL', replace: ' AND link IS NOT NULL' }],
    caughtBy: [{ file: tests.start, only: 'a new one at each further press' }],
  },
  {
    id: 'link-looked-then-taken',
    mistake: 'hand out a link twice',
    how: 'consent and renewal are read instead of locked, and the row is not locked while it is chosen: two presses at once choose the same',
    breaks: 'rule 5, invariant 7',
    edits: [
      {
        file: 'src/store/at-the-bank.ts',
        find: "const consent = found === null ? undefined : await lockConsent(tx, found.consentId)\n  const renewal = consent === undefined ? undefined : await lockRenewal(tx, renewalId)\n  return consent?.status",
        replace: "const consent = found === null ? undefined : await tx.consent.findUniqueOrThrow({ where: { id: found.consentId } })\n  const renewal = consent === undefined ? undefined : await tx.renewal.findUniqueOrThrow({ where: { id: renewalId } })\n  return consent?.status",
      },
      { file: 'src/store/at-the-bank.ts', find: 'ORDER BY issued_at DESC LIMIT 1 FOR UPDATE', replace: 'ORDER BY issued_at DESC LIMIT 1' },
    ],
    caughtBy: [{ file: tests.start, only: 'two presses that meet' }],
  },
  {
    id: 'link-kept-in-stock',
    mistake: 'hand out a link twice',
    how: 'a link made for the press is stored like any other, and given to the next press too',
    breaks: 'rule 5, invariant 7',
    edits: [{ file: 'src/store/at-the-bank.ts', find: 'data: { ...row, link: null, handedOutAt: now.toJSDate() }', replace: 'data: row' }],
    caughtBy: [{ file: tests.start, only: 'one press after the other' }],
  },
]

const imported: readonly Mutant[] = [
  {
    id: 'import-any-other-date',
    mistake: 'let an import move the expiry back',
    how: 'a row whose date differs is news, whatever the direction',
    breaks: 'rule 6, "a row never moves the expiry back"',
    edits: [{ file: 'src/domain/import-decision.ts', find: 'const isLater = movedByMs >= SAME_DATE_MS', replace: 'const isLater = Math.abs(movedByMs) >= SAME_DATE_MS' }],
    caughtBy: [{ file: tests.import, only: 'moves nothing back' }],
  },
  {
    id: 'import-unlocked',
    mistake: 'let an import move the expiry back',
    how: 'the rows of a batch are read without their locks: one that is renewed meanwhile is written back as it was',
    breaks: 'rule 3, "a row never moves the expiry back"',
    edits: [{ file: 'src/store/import-writes.ts', find: 'IN (SELECT id FROM wanted) ORDER BY id FOR UPDATE`', replace: 'IN (SELECT id FROM wanted) ORDER BY id`' }],
    caughtBy: [{ file: tests.import, only: 'which is being committed just now' }],
  },
]

const conclusions: readonly Mutant[] = [
  {
    id: 'concluded-at-once',
    mistake: 'conclude "not renewed" at once',
    how: 'the provider shows the old date: the user is asked again without six minutes’ delay',
    breaks: 'rule 5, invariant 3',
    edits: [{
      file: 'src/processors/settle-unknown.ts',
      find: [
        'const { authorisation } = loaded',
        '  return mayConcludeNotRenewed(authorisation.codeReceivedAt ?? authorisation.issuedAt, deps.clock.now())',
        '    ? concludeNotRenewed(deps, claim, loaded, code)',
        '    : askLater(deps, claim, loaded, code)',
      ].join('\n'),
      replace: 'return concludeNotRenewed(deps, claim, loaded, code)',
    }],
    caughtBy: [{ file: tests.settle, only: 'the provider had not processed it' }],
  },
  {
    id: 'concluded-since-issue',
    mistake: 'conclude "not renewed" at once',
    how: 'the six minutes count from the making of the link: a user who took ten at the bank is told at once',
    breaks: 'rule 5, invariant 3',
    edits: [{
      file: 'src/processors/settle-unknown.ts',
      find: 'return mayConcludeNotRenewed(authorisation.codeReceivedAt ?? authorisation.issuedAt,',
      replace: 'return mayConcludeNotRenewed(authorisation.issuedAt,',
    }],
    caughtBy: [{ file: tests.settle, only: 'after ten minutes at the bank' }],
  },
  {
    id: 'concluded-from-silence',
    mistake: 'conclude "not renewed" at once',
    how: 'no date in /me is taken for the old one',
    breaks: 'rule 6, invariant 3',
    edits: [{
      file: 'src/processors/settle-unknown.ts',
      find: "if (judgement.kind === 'unproven' && judgement.reason === 'date-not-moved') return",
      replace: "if (judgement.kind === 'unproven') return",
    }],
    caughtBy: [{ file: tests.settle, only: 'unknown and /me gives no dates' }],
  },
  {
    id: 'concluded-from-lag',
    mistake: 'conclude "not renewed" at once',
    how: 'after a clean exchange /me is asked once: an old date there is a no, not a "not yet"',
    breaks: 'rule 6, invariant 3',
    edits: [{ file: 'src/processors/verify-renewal.ts', find: 'if (at !== undefined) return', replace: "if (at !== undefined && code !== 'not-proven') return" }],
    caughtBy: [{ file: tests.verify, only: '/me lags behind' }],
  },
]

const late: readonly Mutant[] = [
  {
    id: 'tokens-only-while-exchanging',
    mistake: 'throw away a late token response',
    how: 'an answer is taken only by an authorisation that still waits for it: the next worker has called it unknown',
    breaks: 'rule 3 (its exception), invariant 4',
    edits: [{
      file: 'src/store/exchanges.ts',
      find: "locked.authorisation.status === 'renewed') return 'already-renewed'",
      replace: "locked.authorisation.status !== 'exchanging') return 'already-renewed'",
    }],
    caughtBy: [{ file: tests.codes, only: 'a worker that was overtaken' }],
  },
  {
    id: 'tokens-only-in-open-cycle',
    mistake: 'throw away a late token response',
    how: 'the cycle was closed while the code was out, so its answer is nobody’s any more; the old token is dead',
    breaks: 'rule 3 (its exception), invariant 4',
    edits: [{
      file: 'src/store/exchanges.ts',
      find: "locked.authorisation.status === 'renewed') return 'already-renewed'",
      replace: "locked.authorisation.status === 'renewed' || locked.renewal.status !== 'open') return 'already-renewed'",
    }],
    caughtBy: [{ file: tests.codes, only: 'the cycle was closed while a code was out' }],
  },
  {
    id: 'tokens-tried-once',
    mistake: 'throw away a late token response',
    how: 'one try to store the answer; if the database is away, the queue tries the job again',
    breaks: 'rule 3 (its exception), invariant 4',
    edits: [{
      file: 'src/processors/exchange-code.ts',
      find: 'await persist(async () => store.storeTokenResponse(authorisation.id, response), run.signal)',
      replace: 'await store.storeTokenResponse(authorisation.id, response)',
    }],
    caughtBy: [{ file: tests.verify, only: 'the database is away when the tokens come' }],
  },
  {
    id: 'rotated-token-tried-once',
    mistake: 'throw away a late token response',
    how: 'the same for the token that a settling refresh rotated',
    breaks: 'rule 3 (its exception), invariant 4',
    edits: [{ file: 'src/processors/settle-unknown.ts', find: '  await persist(keep, signal)\n', replace: '  if (!signal.aborted) await keep()\n' }],
    caughtBy: [{ file: tests.settle, only: 'the settling refresh rotates the token' }],
  },
  {
    id: 'tokens-behind-note',
    mistake: 'throw away a late token response',
    how: 'what an answer says of the provider is noted first, and a database that is away for a moment costs the answer',
    breaks: 'rule 3 (its exception), invariant 4',
    edits: [{ file: 'src/processors/provider-gate.ts', find: "await noteIfPossible('client-rejected', connection, verdictOnClient(answer))", replace: "await note('client-rejected', connection, verdictOnClient(answer))" }],
    caughtBy: [{ file: 'test/processors/answer-in-hand.test.ts' }],
  },
]

export const mutants: readonly Mutant[] = [
  ...epoch, ...code, ...callback, ...jobIds, ...ledger, ...connection, ...proof, ...dispatch, ...outage, ...logged, ...links, ...imported, ...conclusions, ...late,
]
