// Mistakes with two workers at one record: fencing tokens, job ids, the sweep's locks.
import { type Mutant, tests } from '../mutant.ts'

const fencingToken: readonly Mutant[] = [
  {
    id: 'fencing-consent',
    mistake: 'drop the fencing token from a write',
    how: 'the writes of a reauth job take the row they find: they hold its lock, after all',
    breaks: 'rule 3, invariant 11',
    edits: [
      {
        file: 'src/store/locks.ts',
        find: 'if (consent === undefined || consent.fencingToken !== claim.fencingToken) throw new StaleClaim()',
        replace: 'if (consent === undefined) throw new StaleClaim()',
      },
    ],
    caughtBy: [
      { file: tests.sweep, only: 'twenty claims of one record' },
      { file: tests.renew, only: 'overtaken while the link was made' },
    ],
  },
  {
    id: 'fencing-authorisation',
    mistake: 'drop the fencing token from a write',
    how: 'the same for the ends of an exchange: the table of transitions guards them, does it not?',
    breaks: 'rule 3, invariant 11',
    edits: [
      {
        file: 'src/store/locks.ts',
        find: ' || locked.authorisation.fencingToken !== claim.fencingToken',
        replace: '',
      },
    ],
    caughtBy: [{ file: tests.codes, only: 'a worker with a stale claim' }],
  },
  {
    id: 'fencing-exchange-dates',
    mistake: 'drop the fencing token from a write',
    how: 'the one-statement write of an exchange names the status, which looks like fence enough',
    breaks: 'rule 3, invariant 11',
    edits: [
      {
        file: 'src/store/exchanges.ts',
        find: '{ id: claim.id, fencingToken: claim.fencingToken, status: { in: during } }',
        replace: '{ id: claim.id, status: { in: during } }',
      },
    ],
    caughtBy: [{ file: tests.codes, only: 'that polled in vain' }],
  },
  {
    id: 'fencing-code-requeued',
    mistake: 'drop the fencing token from a write',
    how: 'the code that was not processed goes back by id: the gate takes it from `exchanging` alone, after all',
    breaks: 'rule 3, invariant 11',
    edits: [
      {
        file: 'src/store/exchanges.ts',
        find: "from: ['exchanging'],\n        where: { id: claim.id, fencingToken: claim.fencingToken },",
        replace: "from: ['exchanging'],\n        where: { id: claim.id },",
      },
    ],
    caughtBy: [{ file: tests.codes, only: 'that was told "not processed"' }],
  },
  {
    id: 'fencing-message',
    mistake: 'drop the fencing token from a write',
    how: 'the ledger row is locked and its status is checked; the fencing token went in a refactoring',
    breaks: 'rule 3, invariants 6 and 11',
    edits: [
      {
        file: 'src/store/locks.ts',
        find: 'if (cycle === undefined || message === undefined || message.fencingToken !== claim.fencingToken)\n',
        replace: 'if (cycle === undefined || message === undefined)\n',
      },
    ],
    caughtBy: [{ file: tests.repeat, only: 'wakes after the repetition' }],
  },
  {
    id: 'fencing-message-postponed',
    mistake: 'drop the fencing token from a write',
    how: 'putting a message off is harmless, so the statement names only id and status',
    breaks: 'rule 3, invariants 6 and 11',
    edits: [
      {
        file: 'src/store/notifications.ts',
        find: 'orAlready: true,\n        where: { id: claim.id, fencingToken: claim.fencingToken },',
        replace: 'orAlready: true,\n        where: { id: claim.id },',
      },
    ],
    caughtBy: [{ file: tests.send, only: 'a sender that falls asleep' }],
  },
  {
    id: 'fencing-release',
    mistake: 'drop the fencing token from a write',
    how: 'giving a lease back by id alone',
    breaks: 'rule 3, invariant 11',
    edits: [
      {
        file: 'src/store/dispatching.ts',
        find:
          'UPDATE ${recordTables[claim.kind].name} SET queued_until = ${mark}, lease_until = NULL\n' +
          '      WHERE id = ${claim.id}::uuid AND fencing_token = ${claim.fencingToken}`',
        replace:
          'UPDATE ${recordTables[claim.kind].name} SET queued_until = ${mark}, lease_until = NULL\n' +
          '      WHERE id = ${claim.id}::uuid`',
      },
    ],
    caughtBy: [{ file: tests.sweep, only: 'twenty claims of one record' }],
  },
  {
    id: 'fencing-not-moved-by-stop',
    mistake: 'drop the fencing token from a write',
    how: 'pausing and closing clear the lease; that the job at work still holds its fencing token is forgotten',
    breaks: 'rule 3, invariant 11',
    edits: [
      {
        file: 'src/store/renewals.ts',
        find: 'nextActionReason: null,\n      fencingToken: { increment: 1 },',
        replace: 'nextActionReason: null,',
      },
    ],
    caughtBy: [{ file: 'test/store/administration.test.ts', only: 'fences the job' }],
  },
  {
    id: 'fencing-not-moved-by-import',
    mistake: 'drop the fencing token from a write',
    how: 'an import clears lease and mark of a repaired consent, not the fencing token',
    breaks: 'rule 3, invariant 11',
    edits: [
      {
        file: 'src/store/import-batch.ts',
        find: 'fencingToken: row.fencingToken + 1, leaseUntil: null',
        replace: 'leaseUntil: null',
      },
    ],
    caughtBy: [{ file: tests.import, only: 'closes the cycle as repaired' }],
  },
]

const jobIds: readonly Mutant[] = [
  {
    id: 'job-id-of-record',
    mistake: 'reuse job ids',
    how: 'the record’s id alone as job id, so that a record is never queued twice',
    breaks: 'rule 3, invariant 1',
    edits: [
      {
        file: 'src/queue/catalogue.ts',
        find: 'export const jobIdOf = ({ id, dispatchNo }: Dispatch): string => `${id}-${dispatchNo}`',
        replace: 'export const jobIdOf = ({ id }: Dispatch): string => id',
      },
    ],
    caughtBy: [{ file: tests.queue, only: 'an id it still holds is ignored' }],
  },
  {
    id: 'job-id-not-counted',
    mistake: 'reuse job ids',
    how: 'only the sweep counts its dispatches; a record handed over at once keeps its number',
    breaks: 'rule 3, invariant 1',
    edits: [
      {
        file: 'src/store/dispatching.ts',
        find: ', dispatch_no = dispatch_no + 1\n      WHERE id = ${id}::uuid',
        replace: '\n      WHERE id = ${id}::uuid',
      },
    ],
    caughtBy: [{ file: tests.sweep, only: 'again, when its job was lost' }],
  },
  {
    id: 'job-id-given-back',
    mistake: 'reuse job ids',
    how: 'a dispatch that the queue refused gives its number back with its mark',
    breaks: 'rule 3, invariant 1',
    edits: [
      {
        file: 'src/store/dispatching.ts',
        find: 'UPDATE ${recordTables[kind].name} AS row SET queued_until = NULL',
        replace: 'UPDATE ${recordTables[kind].name} AS row SET queued_until = NULL, dispatch_no = row.dispatch_no - 1',
      },
    ],
    caughtBy: [{ file: tests.sweep, only: 'the queue fails in the middle' }],
  },
]

const dispatch: readonly Mutant[] = [
  {
    id: 'dispatch-unlocked',
    mistake: 'remove FOR UPDATE SKIP LOCKED',
    how: 'the page is chosen without locks: one statement is atomic, is it not?',
    breaks: 'rule 3',
    edits: [
      {
        file: 'src/store/dispatching.ts',
        find: '        FOR UPDATE SKIP LOCKED\n',
        replace: '',
      },
    ],
    caughtBy: [{ file: tests.sweep, only: 'two schedulers over two pools' }],
  },
  {
    id: 'dispatch-waits',
    mistake: 'remove FOR UPDATE SKIP LOCKED',
    how: 'locked, but waiting: one long transaction on one consent holds up every sweep',
    breaks: 'rule 3, invariant 1',
    edits: [
      {
        file: 'src/store/dispatching.ts',
        find: '        LIMIT ${limit}\n        FOR UPDATE SKIP LOCKED',
        replace: '        LIMIT ${limit}\n        FOR UPDATE',
      },
    ],
    caughtBy: [{ file: tests.sweep, only: 'a row that a long transaction holds' }],
  },
]

export const fencing: readonly Mutant[] = [...fencingToken, ...jobIds, ...dispatch]
