// `verify`: checks the stored data against the promises of docs/reliability.md.
import { intervalOf } from '../queue/cron.ts'
import { roleOf } from '../store/rights.ts'
import { verify } from '../verify/verify.ts'
import { type Define, examples, json } from './command.ts'
import { withStore } from './open.ts'
import { count, table } from './text.ts'

export const define: Define = (command, { terminal, exits }) =>
  command
    .description(
      `Checks every record against the invariants of docs/reliability.md, by their numbers there:
   1  open rows have a date and are not overdue
   4  stored secrets decrypt
   5  each success is the only one and proven
   6  no message is sent twice, or after a stop
   7  an intent is stored before its effect
  10  events have no gap, their hashes form a chain that replays to what is stored, each has its place in
      the feed or waits for one, and the program's own role, if it has one, cannot change them
Prints the row and the number of each broken invariant. Reads one snapshot and writes nothing: safe on a
running system. Exit code 1 if anything is found.`,
    )
    .option('--quick', 'do not decrypt each stored secret')
    .addOption(json)
    .addHelpText('after', examples('reconsent verify', 'reconsent verify --json'))
    .action(
      exits(async ({ quick = false, ...options }) =>
        withStore(['keys'], async ({ db, clock, config }) => {
          const violations = await verify(db, {
            now: clock.now(),
            sweepInterval: intervalOf(config.policy.sweep.cron),
            deep: !quick,
            keys: config.keys,
            hasOwnRole: roleOf(config.database.url) !== roleOf(config.database.migrateUrl),
          })
          if (options.json) await terminal.json({ ok: violations.length === 0, violations })
          else if (violations.length === 0) await terminal.line('every promise is kept')
          else {
            await terminal.line(
              table([
                ['INVARIANT', 'RECORD', 'WHAT'],
                ...violations.map(({ invariant, record, what }) => [String(invariant), record, what]),
              ]),
            )
            await terminal.line(`\n${count(violations.length, 'violation')}: see docs/runbook.md`)
          }
          return violations.length === 0 ? 0 : 1
        }),
      ),
    )
