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
        file: 'src/processors/hand-over.ts',
        find: "      start = await begin()\n      return start.kind === 'reserved'",
        replace: '      return true',
      },
      {
        file: 'src/processors/hand-over.ts',
        find: '    const delivery = await send(handover)\n',
        replace: '    const delivery = await send(handover)\n    start = await begin()\n',
      },
    ],
    caughtBy: [
      { file: tests.send, only: 'a crash' },
      { file: tests.holds, only: 'a code comes in at the last moment' },
    ],
  },
  {
    id: 'intent-before-the-server',
    mistake: 'send before reserving the ledger row',
    how: 'the answer "do not begin" is for messages that nobody wants; the rows of all others are reserved anyway',
    breaks: 'rule 5, invariants 6 and 7',
    edits: [
      {
        file: 'src/notify/email/smtp-channel.ts',
        find: "if (!(await begun)) throw new Error('the message is not to be sent')",
        replace: 'await begun',
      },
    ],
    caughtBy: [{ file: 'test/notify/email/handover.test.ts', only: 'is told not to begin' }],
  },
  {
    id: 'second-connection-after-intent',
    mistake: 'repeat an answer lost after the dot',
    how: 'a kept connection that ends has not delivered the message, so a new one gets it, whatever was begun',
    breaks: 'rule 5, invariant 6',
    edits: [
      {
        file: 'src/notify/email/smtp-channel.ts',
        find: 'failure !== undefined && begun === undefined && !refusesMessage(failure)',
        replace: 'failure !== undefined && !refusesMessage(failure)',
      },
    ],
    caughtBy: [{ file: 'test/notify/email/smtp-connections.test.ts', only: 'after the last byte: uncertain' }],
  },
  {
    id: 'repeat-after-the-dot',
    mistake: 'repeat an answer lost after the dot',
    how: 'a message in `sending` has lost its worker, so its user has no mail: when the last byte left is a detail',
    breaks: 'rule 5, invariant 6',
    edits: [
      {
        file: 'src/domain/repeat-decision.ts',
        find: 'return handedOverAt === undefined ? undefined :',
        replace: 'return handedOverAt === undefined || repeatedAt === undefined ? undefined :',
      },
    ],
    caughtBy: [{ file: 'test/domain/repeat-decision.test.ts' }, { file: tests.repeat, only: 'the answer is late' }],
  },
  {
    id: 'repeat-uncertain',
    mistake: 'repeat an answer lost after the dot',
    how:
      'the server cut the connection after the dot: the living worker leaves the row to the next claim, which ' +
      'repeats it',
    breaks: 'rule 5, invariant 6',
    edits: [
      {
        file: 'src/processors/sending-courses.ts',
        find:
          "leave: async (detail) => settle('uncertain', `uncertain: ${detail}; not sent again`, " +
          '{ code: UNCERTAIN }),',
        replace: 'leave: async (detail) => Promise.reject(new Error(detail)),',
      },
    ],
    caughtBy: [{ file: tests.send, only: 'the connection is cut after the final dot' }],
  },
  {
    id: 'repeat-not-marked',
    mistake: 'repeat twice',
    how: 'the repetition is an event and a place in the cap; that the row itself must say so is forgotten',
    breaks: 'rule 5, invariant 6',
    edits: [
      {
        file: 'src/store/notifications.ts',
        find: '{ repeatedAt: now.toJSDate(), attempts: { increment: 1 } }',
        replace: '{ attempts: { increment: 1 } }',
      },
    ],
    caughtBy: [{ file: tests.repeat, only: 'dies over the repetition too' }],
  },
  {
    id: 'repeat-put-back',
    mistake: 'repeat twice',
    how: 'the server deferred the second copy, which is certain: the message goes back to be tried by its own schedule',
    breaks: 'rule 5, invariant 6',
    edits: [
      {
        file: 'src/processors/send-notification.ts',
        find: 'const isLast = course.isRepeat && begun',
        replace: 'const isLast = false',
      },
    ],
    caughtBy: [{ file: tests.repeat, only: 'does not take the second copy' }],
  },
  {
    id: 'repeat-unasked',
    mistake: 'repeat a message that is no longer wanted',
    how: 'the message was wanted when it was sent, and a repetition is the same message',
    breaks: 'invariant 6',
    edits: [
      {
        file: 'src/domain/repeat-decision.ts',
        find: "if (decision.kind === 'cancel') return { kind: 'leave', reason: decision.reason }",
        replace: "if (decision.kind === 'cancel') return { kind: 'repeat' }",
      },
      {
        file: 'src/store/notifications.ts',
        find:
          '      if (await hasLaterMessage(tx, row)) ' +
          "return { kind: 'not-wanted', reason: 'a later message was made since' }\n" +
          '      const obstacle = await findObstacle(tx, locked, now)\n',
        replace: '      const obstacle = undefined as SendingStart | undefined\n',
      },
    ],
    caughtBy: [{ file: tests.repeat, only: 'is not repeated' }],
  },
  {
    id: 'repeat-unlocked',
    mistake: 'repeat a message that is no longer wanted',
    how: 'the domain has just decided that the message is wanted: to ask again under the lock costs a statement',
    breaks: 'rule 5, invariant 6',
    edits: [
      {
        file: 'src/store/notifications.ts',
        find:
          '      if (await hasLaterMessage(tx, row)) ' +
          "return { kind: 'not-wanted', reason: 'a later message was made since' }\n" +
          '      const obstacle = await findObstacle(tx, locked, now)\n',
        replace: '      const obstacle = undefined as SendingStart | undefined\n',
      },
    ],
    caughtBy: [{ file: tests.repeat, only: 'after the look' }],
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
        file: 'src/processors/visit-start-page.ts',
        find: ' && handedOutAt === undefined',
        replace: '',
      },
      {
        file: 'src/store/at-the-bank.ts',
        find: ' || handedOutAt !== null',
        replace: '',
      },
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
    how: 'the write of a step locks the rows that were read, and does not compare them: two presses choose the same',
    breaks: 'rule 5, invariant 7',
    edits: [
      {
        file: 'src/store/pending-writes.ts',
        find: '.id = ${id}::uuid AND ${names[at]}.xmin = ${version}::xid`',
        replace: ".id = ${id}::uuid AND ${version} <> ''`",
      },
      {
        file: 'src/store/at-the-bank.ts',
        find: ' AND handed_out_at IS NULL AND link IS NOT NULL',
        replace: ' AND link IS NOT NULL',
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
        find: '{ ...row, link: null, handedOutAt: now.toJSDate() }',
        replace: 'row',
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
        find: "error: write('error'),",
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
