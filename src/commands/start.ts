// `start`: runs Reconsent until a signal stops it. main.ts puts the parts together.
import { InvalidArgumentError } from '@commander-js/extra-typings'
import { ConfigError, configFromProcess } from '../config.ts'
import { makeLog } from '../log.ts'
import type { Role } from '../main.ts'
import { checkStored, watchStored } from './check-stored.ts'
import { type Define, didYouMean, examples, once } from './command.ts'
import { untilStopped } from './signals.ts'

/** How long a stopped process may take to end by itself before it is ended. */
const ENDS_WITHIN_MS = 500
const known: readonly Role[] = ['web', 'worker', 'scheduler']

const someRoles = once((text): readonly Role[] => {
  const named = text
    .split(',')
    .map((role) => role.trim())
    .filter((role) => role !== '')
  for (const name of named) {
    if (known.some((role) => role === name)) continue
    throw new InvalidArgumentError(
      `Unknown role ${JSON.stringify(name.slice(0, 40))}: known are ${known.join(', ')}.${didYouMean(name, known)}`,
    )
  }
  if (named.length === 0) throw new InvalidArgumentError(`It names no role: known are ${known.join(', ')}.`)
  return known.filter((role) => named.includes(role))
})

export const define: Define = (command, { exits }) =>
  command
    .description(
      `Runs Reconsent until SIGTERM or SIGINT. It then turns unready, takes no new work, finishes or gives back
the work that it has, and ends with exit code 0, or 1 if something still ran after timing.stopWithin. A
second signal ends it at once (130, 143). Any number of processes of each role may run.
  web        start page, callback, API, board, health, metrics
  worker     makes links, sends messages, exchanges codes
  scheduler  finds what is due

Reads its configuration from the environment (each secret also as NAME_FILE) and worker.config.ts. Refuses
to start (exit code 2), and lists every problem, when something is missing or wrong, such as a key that
stored secrets need, or a stored callback that is not https. See docs/configuration.md.`,
    )
    .option('--roles <LIST>', 'only these, separated by commas (default: all)', someRoles)
    .addHelpText('after', examples('reconsent start', 'reconsent start --roles worker'))
    .action(exits(async (options) => runRoles(options.roles)))

const runRoles = async (roles = known): Promise<number> => {
  const alsoNeeds = roles.includes('worker') ? (['channels'] as const) : []
  const config = await configFromProcess({
    needs: ['database', 'queue', 'provider', 'keys', 'web'],
    alsoNeeds,
  })
  const log = makeLog({ level: config.logLevel })
  for (const warning of config.warnings) log.warn({}, warning)
  const stopped = untilStopped()
  const stopping = new AbortController()
  void stopped.then(() => stopping.abort())
  const fits = await checkStored(config, log)
  const { startReconsent } = await import('../main.ts')
  const running = await startReconsent({ config, roles, log })
  log.info({ roles }, 'reconsent runs')
  const cause = await (fits ? stopped : Promise.race([stopped, watchStored(config, log, stopping.signal)]))
  if (cause instanceof ConfigError) {
    await running.stop()
    exitSoon(2)
    throw cause
  }
  log.info({ signal: cause }, 'stopping')
  const inTime = await running.stop()
  if (inTime) log.info({}, 'stopped')
  else log.warn({}, 'stopped before everything had ended: another process takes up what was let go')
  const code = inTime ? 0 : 1
  exitSoon(code)
  return code
}

/**
 * Work that did not end in time was abandoned: its lease expires, and another process takes up its record. That work
 * must not keep this process running.
 */
const exitSoon = (code: number): void => void setTimeout(() => process.exit(code), ENDS_WITHIN_MS).unref()
