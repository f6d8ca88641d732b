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
      `Checks every record against what Reconsent promises: open rows are dated and not overdue (1), stored
secrets decrypt (4), each success is single and proven (5), no message twice or after a stop (6), intents
before effects (7), events without gap, their hashes a chain that replays to what is stored, each with its
place in the feed or noted as waiting for one, and out of reach for the program's own role, where it has
one (10). Names the row and the number of the invariant. Reads one snapshot and writes nothing: safe on a
running system. Exit code 1 if anything is found.`,
    )
    .option('--quick', 'do not open each stored secret')
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
                ['invariant', 'record', 'what'],
                ...violations.map(({ invariant, record, what }) => [String(invariant), record, what]),
              ]),
            )
            await terminal.line(`\n${count(violations.length, 'violation')}: see docs/runbook.md`)
          }
          return violations.length === 0 ? 0 : 1
        }),
      ),
    )
