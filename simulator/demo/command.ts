// Runs `reconsent demo`: starts everything, then either shows the addresses until Ctrl-C, or plays all users and checks
// the results.
import { once } from 'node:events'
import { packagesMissing } from '../../src/commands/development.ts'
import { PackageMissing } from '../embedded/postgres.ts'
import { playUsers, summaryOf, tableOf } from './play-users.ts'
import { type Demo, startDemo } from './run-demo.ts'

/** A stop must not wait longer than this: anything still running ends with the process. */
const STOP_AT_MOST_MS = 4_500

const LETS_GO_AFTER_MS = 200

const say = (line: string): void => void process.stdout.write(`${line}\n`)

/** Returns the exit code. */
export const runDemo = async ({ auto }: { auto: boolean }): Promise<number> => {
  const interrupted = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]).then(
    () => 'interrupted' as const,
  )
  say('starting PostgreSQL, the simulated bank and Reconsent …')
  const demo = await startDemo().catch((error: unknown) => {
    throw error instanceof PackageMissing ? packagesMissing(error) : error
  })
  try {
    const work = auto ? play(demo) : watch(demo)
    const ended = await Promise.race([work, interrupted])
    if (ended !== 'interrupted') return ended
    say('\nstopping …')
    return auto ? 1 : 0
  } finally {
    await stop(demo)
    // Open connections to the stopped PostgreSQL would keep the process running.
    setTimeout(() => process.exit(), LETS_GO_AFTER_MS).unref()
  }
}

const play = async (demo: Demo): Promise<number> => {
  const started = performance.now()
  const verdicts = await playUsers(demo, say)
  say(`\n${tableOf(verdicts)}\n`)
  say(`${summaryOf(verdicts)}; ${((performance.now() - started) / 1000).toFixed(1)} s`)
  return verdicts.every(({ wrong }) => wrong.length === 0) ? 0 : 1
}

const watch = async ({ addresses, simulator, cast }: Demo): Promise<number> => {
  const first = await firstStartLink(simulator)
  const asked = cast.filter((role) => role.deed !== 'is not asked').length
  say(`
  Inbox       ${addresses.inbox}
              ${asked} users have mail: open one, press the button, approve at the bank
  Start page  ${first ?? 'in every mail'}
  Board       ${addresses.board}   (login ${addresses.operator})
  Clock       ${simulator.url}/_control   moves the time for everybody

  Ctrl-C stops everything.
`)
  return new Promise(() => undefined)
}

const firstStartLink = async (simulator: Demo['simulator']): Promise<string | undefined> => {
  const end = Date.now() + 20_000
  while (Date.now() < end) {
    const link = simulator.mails().flatMap((mail) => mail.links)[0]
    if (link !== undefined) return link
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return undefined
}

const stop = async (demo: Demo): Promise<void> => {
  const late = new Promise<void>((resolve) => setTimeout(resolve, STOP_AT_MOST_MS).unref())
  await Promise.race([demo.stop(), late])
}
