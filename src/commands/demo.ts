// `demo`: runs a simulated company on this machine.
import { type Define, examples } from './command.ts'
import { fromDevelopment } from './development.ts'

export const define: Define = (command, { exits }) =>
  command
    .description(
      `Starts PostgreSQL, a simulated TrueLayer with a bank and an inbox, and all of Reconsent on this machine,
with about thirty consents in every phase, and prints where to look. Open a mail in the inbox, press the
button, approve at the bank. Ctrl-C stops everything. Needs no configuration, no database and no Redis.

With --auto it plays the users itself, prints what became of each consent, and exits with 0 only if each one
ended as it should.`,
    )
    .option('--auto', 'play the users, check the ends, exit')
    .addHelpText('after', examples('reconsent demo', 'reconsent demo --auto'))
    .action(
      exits(async ({ auto = false }) => {
        // Loaded only here, because the demo needs development packages that production must not load.
        const { runDemo } = await fromDevelopment(async () => import('../../simulator/demo/command.ts'))
        return runDemo({ auto })
      }),
    )
