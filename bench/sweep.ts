// Measures whether a sweep costs more when more is stored that is not due: `npm run bench:sweep`. For each number of
// stored consents a database; in each, the same number is due, spread over all. The databases take turns, so that a
// machine that is busier at one time than at another weighs on all alike.
import { DateTime, Duration } from 'luxon'
import { makeVault } from '../src/crypto/vault.ts'
import { openStore } from '../src/store/open-store.ts'
import { type SideDatabase, startDatabaseServer } from './database.ts'
import { readWords, UsageError, wholeNumber } from './options.ts'
import { makeConsents } from './population.ts'
import { runProgram } from './program.ts'
import { SideFailed } from './side-process.ts'
import { orderForNobody } from './sides/order.ts'
import { configFor } from './sides/reconsent-config.ts'
import { fillReconsent } from './sides/reconsent-database.ts'
import { spreadOf } from './statistics.ts'

const USAGE = `npm run bench:sweep -- [options]
  --stored A,B    so many consents are stored (1000000,10000000)
  --due N         so many of them are due (11000: what a million has due in a day)
  --rounds N      sweeps of each (5)`

/** As `timing.pageSize`. */
const PAGE = 500
const QUEUED_FOR = Duration.fromObject({ hours: 1 })

/**
 * Less than PostgreSQL writes by itself while a table is filled: rows that come in the transaction that has emptied
 * their table are written once, without the log. Sweeps are logged as always.
 */
const FILLS_QUICKLY = {
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_wal_size: '8GB',
  maintenance_work_mem: '1GB',
  max_parallel_maintenance_workers: '2',
}

interface Filled {
  readonly stored: number
  /** Dispatches all that is due; rows a second. */
  sweep(): Promise<number>
  close(): Promise<void>
}

type Measured = Filled & { readonly rates: number[] }

const secondsSince = (beganAt: number): number => (performance.now() - beganAt) / 1_000

/** The statements that build the indexes of consents other than its keys. */
const indexesOf = async (database: SideDatabase): Promise<readonly { name: string; definition: string }[]> =>
  database.query(
    `SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
     FROM pg_index WHERE indrelid = 'consents'::regclass AND NOT indisunique`,
  )

/**
 * Copies one consent that the import has made, with ids and credentials_ids in order: a key that grows is added to its
 * index's end. The copies have no events and no fingerprints, which a sweep does not read.
 */
const copyConsent = async (database: SideDatabase, stored: number): Promise<void> => {
  const indexes = await indexesOf(database)
  const columns = await database.query<{ name: string }>(
    `SELECT attname AS name FROM pg_attribute WHERE attrelid = 'consents'::regclass AND attnum > 0 AND NOT attisdropped
     ORDER BY attnum`,
  )
  const ofCopy: Readonly<Record<string, string>> = {
    id: `lpad(to_hex(no), 32, '0')::uuid`,
    credentials_id: `'credentials-' || lpad(no::text, 24, '0')`,
    user_id: `'user-' || no`,
    expires_at: `expires_at + no % 90 * interval '1 day'`,
    next_action_at: `expires_at + no % 90 * interval '1 day'`,
  }
  const names = columns.map(({ name }) => name)
  // Triggers and foreign keys have nothing to say about these rows, and are asked about each.
  await database.query('SET session_replication_role = replica')
  await database.query('BEGIN')
  await database.query('CREATE TEMP TABLE template ON COMMIT DROP AS SELECT * FROM consents LIMIT 1')
  await database.query('TRUNCATE consents CASCADE')
  for (const { name } of indexes) await database.query(`DROP INDEX ${name}`)
  // In a table in use each page has room, which vacuum has left: a row stays where it is when it is dispatched.
  await database.query('ALTER TABLE consents SET (fillfactor = 85)')
  await database.query(
    `INSERT INTO consents (${names.join(', ')})
     SELECT ${names.map((name) => ofCopy[name] ?? name).join(', ')} FROM template, generate_series(1, ${stored}) AS no`,
  )
  for (const { definition } of indexes) await database.query(definition)
  await database.query('COMMIT')
  await database.query('RESET session_replication_role')
}

const fill = async (database: SideDatabase, stored: number, due: number): Promise<Filled> => {
  const beganAt = performance.now()
  const order = orderForNobody(database.url)
  await fillReconsent(order, makeConsents(1))
  await copyConsent(database, stored)
  // At least every so many, so that the due ones lie as far apart as they can.
  const made = await database.query(
    `UPDATE consents SET next_action_at = now() - interval '1 minute'
     WHERE id IN (SELECT lpad(to_hex(no * ${Math.floor(stored / due)}), 32, '0')::uuid
       FROM generate_series(1, ${due}) AS no)
     RETURNING 1 AS one`,
  )
  if (made.length !== due) throw new SideFailed(`${made.length} of ${due} consents became due`)
  // Vacuum now, as autovacuum would in the middle of a sweep.
  await database.query('VACUUM (ANALYZE) consents')
  const { database: settings, keys } = await configFor(order)
  const { store, close } = openStore({ url: settings.url, vault: makeVault({ keys }), connections: 5 })
  const [size] = await database.query<{ table: string; indexes: string }>(
    `SELECT pg_size_pretty(pg_table_size('consents')) AS table, pg_size_pretty(pg_indexes_size('consents')) AS indexes`,
  )
  console.error(
    `${stored} stored in ${secondsSince(beganAt).toFixed(0)} s: table ${size?.table}, indexes ${size?.indexes}`,
  )
  return {
    stored,
    sweep: async () => {
      await database.query(
        `UPDATE consents SET queued_until = NULL WHERE status = 'active' AND next_action_at <= now()`,
      )
      // The first change of a page after a checkpoint is logged with the whole page: in each round alike.
      await database.checkpoint()
      const now = DateTime.utc()
      let dispatched = 0
      const startedAt = performance.now()
      for (;;) {
        const page = await store.dispatchDue('consent', now, PAGE, QUEUED_FOR)
        dispatched += page.length
        if (page.length === 0) break
      }
      const seconds = secondsSince(startedAt)
      if (dispatched !== due) throw new SideFailed(`${dispatched} of ${due} consents were dispatched`)
      return dispatched / seconds
    },
    close,
  }
}

const report = (all: readonly Measured[], due: number): void => {
  const [first] = all
  for (const { stored, rates } of all) {
    const { median, least, most } = spreadOf(rates)
    // By the rates of the same round: a time at which the machine was busy weighs on both.
    const ratio = spreadOf(rates.map((rate, round) => (first?.rates[round] ?? Number.NaN) / rate))
    const times = stored === first?.stored ? '' : `; a row costs ${ratio.median.toFixed(2)} times as much`
    console.log(
      `${stored} stored, ${due} due: ${median.toFixed(0)} rows/s (${least.toFixed(0)} to ${most.toFixed(0)})${times}`,
    )
  }
}

const measure = async (sizes: readonly number[], due: number, rounds: number): Promise<void> => {
  const server = await startDatabaseServer(FILLS_QUICKLY)
  const closing: (() => Promise<unknown>)[] = []
  try {
    const all: Measured[] = []
    for (const stored of sizes) {
      const database = await server.create()
      closing.push(database.drop)
      const filled = await fill(database, stored, due)
      closing.push(filled.close)
      all.push({ ...filled, rates: [] })
    }
    // The first sweeps are not counted: they also compile what the next ones run.
    for (const { sweep } of all) await sweep()
    for (let round = 1; round <= rounds; round += 1) {
      for (const { stored, sweep, rates } of all) {
        const rate = await sweep()
        rates.push(rate)
        console.error(`round ${round} of ${rounds}: ${stored} stored, ${rate.toFixed(0)} rows/s`)
      }
    }
    report(all, due)
  } finally {
    for (const close of closing.toReversed()) await close()
    await server.stop()
  }
}

await runProgram(USAGE, async () => {
  const { values } = readWords({
    options: {
      stored: { type: 'string', default: '1000000,10000000' },
      due: { type: 'string', default: '11000' },
      rounds: { type: 'string', default: '5' },
    },
  })
  const sizes = values.stored.split(',').map((text) => wholeNumber('stored', text, 1))
  const due = wholeNumber('due', values.due, 1)
  if (Math.min(...sizes) < due) throw new UsageError('--due must not be more than what is stored')
  await measure(sizes, due, wholeNumber('rounds', values.rounds, 1))
})
