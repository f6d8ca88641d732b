// Mistakes in what leaves the program: messages, links, log lines.
import { type Mutant, tests } from '../mutant.ts'

const ledger: readonly Mutant[] = [
  {
    id: 'sent-before-reserved',
    mistake: 'send before reserving the ledger row',
    how:
      'the row is reserved once the mail server has answered, so that a refused mail uses up nothing of the ' +
      'hour’s cap',
    breaks: 'rule 5, invariants 6 and 7',
    edits: [
      {
        file: 'src/processors/send-notification.ts',
        find: '  const { store, clock, policy, log } = deps\n  const now = clock.now()',
        replace:
          '  const { store, clock, policy, log } = deps\n' +
          '  const now = clock.now()\n' +
          '  const delivery = await send()',
      },
      {
        file: 'src/processors/send-notification.ts',
        find: 'return deliver(deps, claim, notification, await send())',
        replace: 'return deliver(deps, claim, notification, delivery)',
      },
    ],
    caughtBy: [
      { file: tests.send, only: 'a crash' },
      { file: tests.holds, only: 'a code comes in at the last moment' },
    ],
  },
]

const links: readonly Mutant[] = [
  {
    id: 'link-not-asked',
    mistake: 'hand out a link twice',
    how: 'a fresh link is as good for the second press: the one that was handed out is not excluded',
    breaks: 'rule 5, invariant 7',
    edits: [
      {
        file: 'src/store/at-the-bank.ts',
        find: ' AND handed_out_at IS NULL AND link IS NOT NULL',
        replace: ' AND link IS NOT NULL',
      },
    ],
    caughtBy: [{ file: tests.start, only: 'a new one at each further press' }],
  },
  {
    id: 'link-looked-then-taken',
    mistake: 'hand out a link twice',
    how:
      'consent and renewal are read instead of locked, and the row is not locked while it is chosen: two presses ' +
      'at once choose the same',
    breaks: 'rule 5, invariant 7',
    edits: [
      {
        file: 'src/store/at-the-bank.ts',
        find:
          'const consent = found === null ? undefined : await lockConsent(tx, found.consentId)\n' +
          '  const renewal = consent === undefined ? undefined : await lockRenewal(tx, renewalId)',
        replace:
          'const consent = found === null ? undefined : await tx.consent.findUniqueOrThrow({ where: { id: ' +
          'found.consentId } })\n' +
          '  const renewal = consent === undefined ? undefined : await tx.renewal.findUniqueOrThrow({ where: { ' +
          'id: renewalId } })',
      },
      {
        file: 'src/store/at-the-bank.ts',
        find: 'ORDER BY issued_at DESC LIMIT 1 FOR UPDATE',
        replace: 'ORDER BY issued_at DESC LIMIT 1',
      },
    ],
    caughtBy: [{ file: tests.start, only: 'two presses that meet' }],
  },
  {
    id: 'link-kept-in-stock',
    mistake: 'hand out a link twice',
    how: 'a link made for the press is stored like any other, and given to the next press too',
    breaks: 'rule 5, invariant 7',
    edits: [
      {
        file: 'src/store/at-the-bank.ts',
        find: 'data: { ...row, link: null, handedOutAt: now.toJSDate() }',
        replace: 'data: row',
      },
    ],
    caughtBy: [{ file: tests.start, only: 'one press after the other' }],
  },
]

const logged: readonly Mutant[] = [
  {
    id: 'raw-past-cleaning',
    mistake: 'log an error object raw',
    how: 'pino has serializers of its own, so the error level hands its fields over as they are',
    breaks: 'rule 7, invariant 8',
    edits: [
      {
        file: 'src/log.ts',
        find: 'error: (fields, message) => sink.error(cleanFields(fields), scrub(message)),',
        replace:
          'error: (fields, message) => sink.error(fields instanceof Error ? { err: fields } : fields, scrub(message)),',
      },
    ],
    caughtBy: [{ file: 'test/log.test.ts' }],
  },
  {
    id: 'raw-message-scrubbed',
    mistake: 'log an error object raw',
    how: 'a foreign error’s message is logged after all: scrubbed, which is a net and not a licence',
    breaks: 'rule 7, invariant 8',
    edits: [
      {
        file: 'src/log/clean.ts',
        find: "name: typeof name === 'string' && FOREIGN_NAME.test(name) ? name : 'Error',",
        replace:
          "name: typeof name === 'string' && FOREIGN_NAME.test(name) ? name : 'Error',\n" +
          '    message: scrub(error.message),',
      },
    ],
    caughtBy: [
      { file: 'test/log.test.ts', only: 'errors' },
      { file: tests.logs, only: 'nor of requests that fail' },
    ],
  },
  {
    id: 'raw-in-web',
    mistake: 'log an error object raw',
    how: 'the reason of a failed request beside its code, to spare the night shift a search',
    breaks: 'rule 7, invariant 8',
    edits: [
      {
        file: 'src/http/fallback.ts',
        find: 'log.error({ method: request.method, route: routeOf(request), err }',
        replace: 'log.error({ method: request.method, route: routeOf(request), err, reason: String(error) }',
      },
    ],
    caughtBy: [{ file: tests.logs, only: 'nor of requests that fail' }],
  },
  {
    id: 'raw-in-job',
    mistake: 'log an error object raw',
    how: 'the same for an unexpected error in a job',
    breaks: 'rule 7, invariant 8',
    edits: [
      {
        file: 'src/queue/process-job.ts',
        find: "log.error({ ...fields, err: error }, 'unexpected error in a job')",
        replace: "log.error({ ...fields, err: error, reason: String(error) }, 'unexpected error in a job')",
      },
    ],
    caughtBy: [{ file: tests.queue, only: 'the text of any other error' }],
  },
  {
    id: 'raw-on-board',
    mistake: 'log an error object raw',
    how: 'the error itself is given to BullMQ, which stores its message and stack for the board',
    breaks: 'rule 7, invariant 8',
    edits: [
      {
        file: 'src/queue/process-job.ts',
        find: 'throw stored',
        replace: 'throw mayBeTold(error) ? stored : error',
      },
      {
        file: 'src/queue/process-job.ts',
        find: "    return storedError(failureOf(new TransientError('stopped')), true)\n  }\n}\n",
        replace:
          "    return storedError(failureOf(new TransientError('stopped')), true)\n" +
          '  }\n' +
          '}\n' +
          '\n' +
          'const mayBeTold = (error: unknown): boolean => error instanceof TransientError || error instanceof ' +
          'PermanentError\n',
      },
    ],
    caughtBy: [{ file: tests.queue, only: 'the text of any other error' }],
  },
  {
    id: 'raw-in-timer',
    mistake: 'log an error object raw',
    how: 'a timer’s round failed: why, in the error’s own words',
    breaks: 'rule 7, invariant 8',
    edits: [
      {
        file: 'src/processors/run-every.ts',
        find: '{ timer: name, err: error }',
        replace: '{ timer: name, reason: String(error) }',
      },
    ],
    caughtBy: [{ file: tests.timers, only: 'a tick that fails is logged' }],
  },
  {
    id: 'raw-in-code-timer',
    mistake: 'log an error object raw',
    how: 'the same where a code is exchanged outside the queue',
    breaks: 'rule 7, invariant 8',
    edits: [
      {
        file: 'src/processors/exchange-stuck-codes.ts',
        find: '{ authorisation_id: id, err: error }',
        replace: '{ authorisation_id: id, reason: String(error) }',
      },
    ],
    caughtBy: [{ file: tests.timers, only: 'one that fails is logged' }],
  },
]

export const surface: readonly Mutant[] = [...ledger, ...links, ...logged]
