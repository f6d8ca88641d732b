// `repair-times`: corrects the instants that release 0.1.0 stored under another time zone than UTC. Connects as the
// role that owns the tables.
import { InvalidArgumentError } from '@commander-js/extra-typings'
import { systemClock } from '../clock.ts'
import { type Config, configFromProcess } from '../config.ts'
import { lockedVault } from '../crypto/vault.ts'
import { isZone, type ZoneFound } from '../domain/shifted-instant.ts'
import { placeOf } from '../postgres/client.ts'
import { type Repair, repairTimes } from '../repair/repair-times.ts'
import { Secret } from '../secret.ts'
import { openDatabase } from '../store/database.ts'
import { missingMigrations } from '../store/health.ts'
import { schemaToMigrate } from '../store/our-schema.ts'
import { ABOUT_CONNECTED_ROLE, type AboutRole } from '../store/rights.ts'
import { CommandFailed, type Define, didYouMean, each, examples, json } from './command.ts'
import { interruptible } from './signals.ts'
import { makeProgress, type Terminal } from './terminal.ts'
import { count, table } from './text.ts'

/** The most rows that a printed table shows; the JSON has them all. */
const MAX_SHOWN = 50

const knownZone = (name: string): string => {
  if (isZone(name)) return name
  const zones = Intl.supportedValuesOf('timeZone')
  throw new InvalidArgumentError(`It must be a name like America/New_York.${didYouMean(name, zones)}`)
}

export const define: Define = (command, { terminal, exits }) =>
  command
    .description(
      `Corrects the instants that release 0.1.0 stored while the server, the database or the role had a time zone
other than UTC: it then wrote most instants shifted by the zone's offset, and imports moved those that they
read and wrote back. Each value is corrected by what proves it: an event's instant by its hash, an expiry by
what the events say, most others by the event that was written with them. Next dates are computed anew. What
nothing proves is listed and left alone.

Without --apply it only prints what it would do. Uses MIGRATE_DATABASE_URL if it is set: it needs the role that
owns the tables, because the program's own role cannot change events. Stop every process of release 0.1.0
first. It may run beside the present release, be interrupted, and be run again; a second run finds nothing.
See docs/runbook.md#shifted-instants.`,
    )
    .option('--apply', 'write the corrections; else they are only printed')
    .option(
      '--zone <ZONE>',
      'only what this zone explains, such as America/New_York; may be given again (default: what the hashes prove)',
      each(knownZone),
    )
    .addOption(json)
    .addHelpText('after', examples('reconsent repair-times', 'reconsent repair-times --apply'))
    .action(exits(async (options) => repair(terminal, options)))

interface Options {
  readonly apply?: boolean
  readonly zone?: readonly string[]
  readonly json?: boolean
}

const repair = async (
  terminal: Terminal,
  { apply = false, zone: zones, json: asJson = false }: Options,
): Promise<number> => {
  const config = await configFromProcess({ needs: ['database'] })
  const db = openDatabase({ url: await whereTheTablesAre(config.database), vault: lockedVault, connections: 2 })
  const progress = makeProgress(terminal)
  try {
    const missing = await missingMigrations(db)
    if (missing.length > 0)
      throw new CommandFailed(`the database lacks ${missing.join(', ')}: run reconsent migrate first`)
    if (apply) await demandRights(db.prisma)
    return await interruptible(async (signal) => {
      const found = await repairTimes(db, {
        now: () => systemClock.now(),
        policy: config.policy,
        zones,
        apply,
        signal,
        onPage: (looked) => progress(() => `${count(looked, 'consent')} so far`),
      })
      return report(terminal, found, { apply, interrupted: signal.aborted, asJson })
    })
  } finally {
    await db.prisma.$disconnect()
  }
}

/** The owner's session may use another default schema than the program's session. */
const whereTheTablesAre = async ({ url, migrateUrl }: Config<'database'>['database']): Promise<Secret> => {
  const schema = await schemaToMigrate(url, migrateUrl)
  const text = migrateUrl.reveal()
  if (schema === undefined || placeOf(migrateUrl).address.schema !== undefined) return migrateUrl
  return new Secret(`${text}${text.includes('?') ? '&' : '?'}schema=${encodeURIComponent(schema)}`)
}

const demandRights = async (prisma: ReturnType<typeof openDatabase>['prisma']): Promise<void> => {
  const [about] = await prisma.$queryRawUnsafe<AboutRole[]>(ABOUT_CONNECTED_ROLE)
  if (about?.rewrites === true) return
  throw new CommandFailed(
    `the role ${about?.role ?? '?'} may not change events: set MIGRATE_DATABASE_URL to connect with the role ` +
      'that owns the tables',
  )
}

const namesOf = ({ names }: ZoneFound): string =>
  `${names.slice(0, 3).join(', ')}${names.length > 3 ? ` or ${names.length - 3} more that keep the same time` : ''}`

const zonesLine = ({ zones, shifted }: Repair): string => {
  if (zones.length > 0) return `written under ${zones.map(namesOf).join('; and under ')}`
  if (shifted === 0) return 'nothing shows another time zone than UTC'
  return 'written under another time zone than UTC; what is shifted does not tell which'
}

const report = async (
  terminal: Terminal,
  found: Repair,
  { apply, interrupted, asJson }: { apply: boolean; interrupted: boolean; asJson: boolean },
): Promise<number> => {
  const { zones, looked, shifted, changes, unproven, aftermath, busy, stillWritten } = found
  const isLeft = busy > 0 || interrupted || stillWritten
  if (asJson) {
    await terminal.json({
      applied: apply,
      zones: zones.map(({ names }) => names),
      consents: looked,
      shifted,
      changes,
      busy,
      interrupted,
      still_written: stillWritten,
      unproven: unproven.map(({ consentId, credentialsId, record, reason }) => ({
        id: consentId,
        credentials_id: credentialsId,
        record,
        reason,
      })),
      aftermath: aftermath.map(({ kind, consentId, credentialsId, detail }) => ({
        kind,
        id: consentId,
        credentials_id: credentialsId,
        detail,
      })),
    })
  } else {
    await terminal.line(zonesLine(found))
    await terminal.line(
      `${count(looked, 'consent')} looked at, ${shifted.toLocaleString('en')} with instants ` +
        (apply ? 'corrected' : 'to correct'),
    )
    if (changes.length > 0)
      await terminal.line(
        `\n` +
          table([
            ['VALUES', 'COLUMN', 'PROVEN BY'],
            ...changes.map(({ what, by, rows }) => [rows.toLocaleString('en'), what, by]),
          ]),
      )
    await list(
      terminal,
      'Without proof, left alone: import these consents, or look at them',
      unproven.map((value) => [value.credentialsId, value.record, value.reason]),
    )
    await list(
      terminal,
      'What the wrong instants led to, for an operator: see docs/runbook.md',
      aftermath.map((consent) => [consent.credentialsId, consent.kind, consent.detail]),
    )
  }
  if (!apply && shifted > 0) terminal.note('nothing was changed: run it with --apply')
  if (busy > 0) terminal.note(`${count(busy, 'consent')} skipped, because workers held them: run it again`)
  if (interrupted) terminal.note('interrupted: run it again to go on')
  if (stillWritten)
    terminal.note('shifted instants are still being written: stop every process of release 0.1.0, then run it again')
  return isLeft || (apply && unproven.length > 0) ? 1 : 0
}

const list = async (terminal: Terminal, title: string, rows: readonly (readonly string[])[]): Promise<void> => {
  if (rows.length === 0) return
  const more =
    rows.length > MAX_SHOWN ? `\n… and ${(rows.length - MAX_SHOWN).toLocaleString('en')} more: see --json` : ''
  await terminal.line(`\n${title}:\n${table(rows.slice(0, MAX_SHOWN))}${more}`)
}
