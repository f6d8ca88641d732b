import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DateTime, Duration } from 'luxon'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeVault } from '../../src/crypto/vault.ts'
import { type Repair, repairTimes, type RepairOptions } from '../../src/repair/repair-times.ts'
import { Secret } from '../../src/secret.ts'
import { type Database, openDatabase } from '../../src/store/database.ts'
import { administration } from '../../src/store/administration.ts'
import { imports } from '../../src/store/import.ts'
import { verify } from '../../src/verify/verify.ts'
import { aPolicy } from '../builders.ts'
import { environmentFor, runHere, start } from '../commands/reconsent.ts'
import { ringOf } from '../crypto/keys.ts'
import { aRow } from '../import/rows.ts'
import { createDatabase } from '../setup/database.ts'
import { holdLocks } from '../setup/locks.ts'
import { createAppRole } from '../setup/roles.ts'
import {
  eventTypesOf,
  instantsOf,
  loadRecorded,
  readRecorded,
  readTables,
  type Recorded,
  recordings,
  run,
} from './recorded.ts'

const vault = makeVault({ keys: ringOf('k1') })
/** The policy of the recorded databases. */
const policy = aPolicy({
  providers: { FR: { routes: ['full'] }, 'uk-ob-short': { grace: Duration.fromObject({ days: 5 }) } },
})

const opened: Database[] = []
const open = (url: string): Database => {
  const db = openDatabase({ url: new Secret(url), vault, connections: 3 })
  opened.push(db)
  return db
}
afterAll(async () => {
  for (const db of opened) await db.prisma.$disconnect()
})
const repair = async (
  db: Database,
  { end }: Pick<Recorded, 'end'>,
  over: Partial<RepairOptions> = {},
): Promise<Repair> => repairTimes(db, { now: () => end, policy, apply: true, ...over })

/**
 * Compares what a consent's two recordings have in common: in another zone some consents took another course, whose
 * instants only their own hashes prove.
 */
const compare = (found: Recorded['tables'], { inUtc }: Recorded) => {
  const [ours, truth] = [instantsOf(found), instantsOf(inUtc)]
  const [ourTypes, trueTypes] = [eventTypesOf(found), eventTypesOf(inUtc)]
  const same = new Set([...trueTypes].filter(([name, types]) => ourTypes.get(name) === types).map(([name]) => name))
  const nameIn = (what: string): string =>
    [...trueTypes.keys()].filter((name) => what.startsWith(`${name} `)).toSorted((a, b) => b.length - a.length)[0] ?? ''
  const comparable = [...truth].filter(([what]) => {
    const name = nameIn(what)
    // Only an import set these columns, whatever course the consent took; the consent in the hour that does not exist
    // may or may not have been renewed.
    const isImported = /^cred-\w+ (consented_at|expires_at|created_at)$/.test(what) && name !== 'cred-gap'
    return (same.has(name) || isImported) && !what.includes('next_action_at')
  })
  return {
    compared: comparable.length,
    wrong: comparable
      .filter(([what, at]) => ours.get(what) !== at)
      .map(([what, at]) => `${what}: ${ours.get(what)}, truly ${at}`),
  }
}
const columnsOf = ({ changes }: Repair): string[] => changes.map(({ what }) => what)

describe.each(recordings)('a database that release 0.1.0 wrote: %s', (name) => {
  let recorded: Recorded
  let url: string
  let db: Database
  let dry: Repair
  beforeAll(async () => {
    recorded = await readRecorded(name)
    url = await loadRecorded(recorded)
    db = open(url)
  })

  test('its zones are recognised by its hashes, one by one, and verify reports them', async () => {
    const before = await readTables(url)
    expect(compare(before, recorded).wrong.length).toBeGreaterThan(100)
    dry = await repair(db, recorded, { apply: false })
    expect(dry.zones.map(({ names }) => names[0])).toEqual(recorded.zones)
    expect(dry).toMatchObject({ looked: 15, unproven: [], busy: 0, stillWritten: false })
    expect(await readTables(url)).toEqual(before)
    const violations = await verify(db, { now: recorded.end })
    expect(violations.length).toBeGreaterThan(7)
    for (const { what } of violations)
      expect(what).toMatch(
        /^event \d+ \(.*\) is stored as .*, its hash proves .*: written under another time zone .* repair-times$/,
      )
  })

  test('is repaired to the millisecond, each value on its own; a second run finds nothing', async () => {
    const applied = await repair(db, recorded)
    expect(applied).toEqual({ ...dry, zones: dry.zones })
    const { compared, wrong } = compare(await readTables(url), recorded)
    expect(wrong).toEqual([])
    expect(compared).toBeGreaterThan(220)
    const tables = await readTables(url)
    expect(await repair(db, recorded)).toMatchObject({ zones: [], shifted: 0, changes: [], unproven: [] })
    expect(await readTables(url)).toEqual(tables)
    expect(await verify(db, { now: recorded.end })).toEqual([])
  })

  test('every state expires a day after its link, also one whose events are before the clocks changed', async () => {
    const { authorisations = [] } = await readTables(url)
    const lived = authorisations.map(
      (row) => Date.parse(String(row['expires_at'])) - Date.parse(String(row['issued_at'])),
    )
    expect(new Set(lived)).toEqual(new Set([24 * 3_600_000]))
  })

  test('a date that was not due yet is as in the recording in UTC, by the policy', async () => {
    const ours = instantsOf(await readTables(url))
    const truth = instantsOf(recorded.inUtc)
    for (const who of ['cred-healthy', 'cred-renews', 'cred-corrected', 'cred-french successor'])
      expect([who, ours.get(`${who} next_action_at`)]).toEqual([who, truth.get(`${who} next_action_at`)])
    const open = [...ours]
      .filter(([what]) => / (message|authorisation) .*next_action_at$/.test(what) && !/authorisation [12] /.test(what))
      .map(([, at]) => at)
    for (const at of open) expect(DateTime.fromISO(at) <= recorded.end).toBe(true)
  })
})

describe('the same result', () => {
  let recorded: Recorded
  let expected: Recorded['tables']
  beforeAll(async () => {
    recorded = await readRecorded('mixed')
    const url = await loadRecorded(recorded)
    await repair(open(url), recorded)
    expected = await readTables(url)
  })
  const byKey = (tables: Recorded['tables']): Map<string, string> => instantsOf(tables)

  test.each([1, 4, 9])('after a run that ended at page %i of one consent each', async (last) => {
    const url = await loadRecorded(recorded)
    const db = open(url)
    let pages = 0
    const stop = async (): Promise<void> => {
      pages += 1
      if (pages === last) throw new Error('killed')
    }
    await expect(repair(db, recorded, { pageSize: 1, onPage: stop })).rejects.toThrow('killed')
    const again = await repair(db, recorded, { pageSize: 2 })
    expect(again.busy).toBe(0)
    expect(byKey(await readTables(url))).toEqual(byKey(expected))
  })

  test('after a process that was killed in the middle of a transaction: nothing of its page is written', async () => {
    const url = await loadRecorded(recorded)
    const db = open(url)
    const before = await readTables(url)
    const cwd = await mkdtemp(join(tmpdir(), 'reconsent-repair-'))
    await writeFile(join(cwd, 'worker.config.ts'), "export default { company: { name: 'Brightside' } }\n")
    const id = before['events']?.find(({ type }) => type === 'link.made')?.['consent_id']
    const locks = await holdLocks(db, 'SELECT 1 FROM events WHERE consent_id = $1::uuid FOR UPDATE', [id])
    const child = start(['repair-times', '--apply'], { env: environmentFor(url), cwd })
    const ended = once(child, 'close')
    await locks.untilWaiting(1)
    child.kill('SIGKILL')
    await ended
    await locks.commit()
    await expect
      .poll(
        async () =>
          (
            await run(
              url,
              'SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = current_database() AND ' +
                "state LIKE '%transaction%' AND pid <> pg_backend_pid()",
            )
          )[0]?.['count'],
      )
      .toBe(0)
    expect((await readTables(url))['events']).toEqual(
      expect.arrayContaining([...(before['events'] ?? []).filter(({ consent_id: of }) => of === id)]),
    )
    await repair(db, recorded)
    // The command uses the real clock, by which every recorded date is due: next dates are not compared.
    const withoutDates = (tables: Recorded['tables']) =>
      new Map([...byKey(tables)].filter(([what]) => !what.endsWith('next_action_at')))
    expect(withoutDates(await readTables(url))).toEqual(withoutDates(expected))
  })

  test('while a worker runs: a record that it holds is left until the worker releases it', async () => {
    const url = await loadRecorded(recorded)
    const db = open(url)
    const [notification] = await run(
      url,
      "UPDATE notifications SET lease_until = clock_timestamp() + interval '30 seconds' WHERE status = " +
        "'pending' RETURNING id, consent_id",
    )
    const [held] = await run(url, ['SELECT id FROM consents WHERE id = $1', [notification?.['consent_id']]])
    let looked = 0
    const found = await repair(db, recorded, {
      onPage: async () => {
        looked += 1
        // By then both steps have skipped the record.
        if (looked === 2)
          await run(url, ['UPDATE notifications SET lease_until = NULL WHERE id = $1', [notification?.['id']]])
      },
    })
    expect(held).toBeDefined()
    expect(found).toMatchObject({ busy: 0, looked: 15 })
    expect(byKey(await readTables(url))).toEqual(byKey(expected))
  })
})

test.each(['new-york', 'kolkata'] as const)(
  'a database into which release 0.1.0 only imported, again and again: %s',
  async (name) => {
    const recorded = await readRecorded(name)
    const ids = (recorded.tables['consents'] ?? [])
      .filter(({ credentials_id: id }) => id === 'cred-again' || id === 'cred-assumed')
      .map(({ id }) => id)
    const only = ['consents', 'events'].map((table) => [
      table,
      recorded.tables[table]?.filter((row) => ids.includes(row['consent_id'] ?? row['id'])),
    ])
    const url = await loadRecorded({ ...recorded, tables: Object.fromEntries(only) })
    const found = await repair(open(url), recorded)
    expect(found.zones.map(({ names }) => names)).toEqual([expect.arrayContaining([...recorded.zones])])
    expect(found).toMatchObject({ looked: 2, shifted: 2, unproven: [] })
    expect(
      compare(await readTables(url), recorded).wrong.filter((one) => !/^cred-(?!again |assumed )/.test(one)),
    ).toEqual([])
    expect(await repair(open(url), recorded)).toMatchObject({ zones: [], changes: [] })
  },
)

describe.each(['new-york', 'kolkata'] as const)(
  'data that this release wrote before the repair stays as it was: %s',
  (name) => {
    let recorded: Recorded
    let url: string
    let db: Database
    beforeAll(async () => {
      recorded = await readRecorded(name)
      // The database still has the zone that it had under release 0.1.0.
      url = await loadRecorded(recorded, { zone: recorded.zones[0] ?? '' })
      db = open(url)
      const consents = await db.prisma.consent.findMany({
        where: { credentialsId: { in: ['cred-again', 'cred-waiting', 'cred-paused'] } },
      })
      const idOf = (credentialsId: string): string =>
        consents.find((one) => one.credentialsId === credentialsId)?.id ?? ''
      const request = { now: recorded.end.minus({ minutes: 7 }), reason: 'after the upgrade' }
      const operate = administration(db, policy)
      // Opens a cycle while the expiry is still wrong.
      expect((await operate.requestRenewal(idOf('cred-again'), request)).kind).toBe('done')
      expect((await operate.pauseConsent(idOf('cred-waiting'), request)).kind).toBe('done')
      expect((await operate.resumeConsent(idOf('cred-paused'), request)).kind).toBe('done')
    })

    test('new values are right and stay; the old values that they came from are repaired', async () => {
      const before = await readTables(url)
      const written = (tables: Recorded['tables']) =>
        tables['events']
          ?.filter(({ reason }) => reason === 'after the upgrade')
          .map(({ type, at }) => [type, at])
          .toSorted()
      const found = await repair(db, recorded)
      expect(found).toMatchObject({ unproven: [], stillWritten: false })
      const after = await readTables(url)
      expect(written(after)).toEqual(written(before))
      expect(compare(after, recorded).wrong).toEqual([])
      expect(await verify(db, { now: recorded.end })).toEqual([])
      const cycles = await run(
        url,
        'SELECT previous_expires_at = consents.expires_at AS same FROM renewals JOIN consents ON consents.id = ' +
          "consent_id WHERE credentials_id = 'cred-again' AND renewals.status = 'open'",
      )
      expect(cycles).toEqual([{ same: true }])
      expect(await repair(db, recorded)).toMatchObject({ zones: [], changes: [] })
    })
  },
)

describe('a value without proof is left alone and reported', () => {
  let recorded: Recorded
  beforeAll(async () => {
    recorded = await readRecorded('new-york')
  })

  test('a consent whose events were altered by more than a shift', async () => {
    const url = await loadRecorded(recorded)
    await run(
      url,
      "BEGIN; SET LOCAL reconsent.rewrite_events = 'allowed'; UPDATE events SET reason = 'no' FROM consents " +
        "WHERE consents.id = consent_id AND credentials_id = 'cred-paused' AND seq = 3; COMMIT",
    )
    const before = (await readTables(url))['events']?.filter(({ reason }) => reason === 'no')
    const found = await repair(open(url), recorded)
    expect(found.unproven).toMatchObject([
      {
        credentialsId: 'cred-paused',
        reason:
          "event 3 (link.made) is not what was recorded, by no zone's offset: nothing of this consent is " +
          'changed; see reconsent verify',
      },
    ])
    expect((await readTables(url))['events']).toEqual(expect.arrayContaining(before ?? []))
  })

  test('an expiry that was changed by hand, and a date that no event proves', async () => {
    const url = await loadRecorded(recorded)
    await run(
      url,
      `UPDATE consents SET expires_at = expires_at + interval '3 days 17 seconds' WHERE credentials_id = 'cred-paused'`,
      "UPDATE notifications SET sent_at = sent_at + interval '17 seconds' WHERE consent_id = (SELECT id FROM " +
        "consents WHERE credentials_id = 'cred-closed')",
    )
    const found = await repair(open(url), recorded)
    expect(found.unproven.map(({ credentialsId, reason }) => `${credentialsId}: ${reason}`).toSorted()).toEqual([
      'cred-closed: no event proves its sent_at',
      'cred-paused: no event proves its expires_at',
    ])
  })

  test('values that the named zone does not explain', async () => {
    const mixed = await readRecorded('mixed')
    const url = await loadRecorded(mixed)
    const found = await repair(open(url), mixed, { zones: ['America/New_York'] })
    expect(found.unproven.length).toBeGreaterThan(0)
    const rest = await repair(open(url), mixed)
    expect(rest.unproven).toEqual([])
    expect(compare(await readTables(url), mixed).wrong).toEqual([])
  })
})

describe('no false alarm', () => {
  const NOW = DateTime.fromISO('2026-03-13T09:17:23.456Z', { zone: 'utc' })

  test('on a database that only this release wrote, whatever its zone', async () => {
    const recorded = await readRecorded('new-york')
    const url = await loadRecorded({ ...recorded, tables: {} }, { zone: 'America/New_York' })
    const db = open(url)
    const row = aRow({ consentedAt: NOW.minus({ days: 3 }) })
    for (const name of ['Ada', 'Ada L.', 'Ada M.'])
      await imports(db, policy).importBatch([{ ...row, name }], { now: NOW, correct: false })
    expect(await repair(db, { end: NOW })).toMatchObject({
      zones: [],
      looked: 1,
      shifted: 0,
      changes: [],
      unproven: [],
    })
    expect(await verify(db, { now: NOW })).toEqual([])
  })

  test('on an empty one', async () => {
    expect(await repair(open(await createDatabase()), { end: NOW })).toMatchObject({ zones: [], looked: 0, shifted: 0 })
  })
})

test('a process of the previous release that still writes is noticed', async () => {
  const recorded = await readRecorded('new-york')
  const found = await repair(open(await loadRecorded(recorded)), { end: DateTime.fromISO('2026-03-05T00:00:00Z') })
  expect(found.stillWritten).toBe(true)
})

test('hours and strikes in the future get their true time; an open circuit gets its trial call at once', async () => {
  const recorded = await readRecorded('new-york')
  const url = await loadRecorded(recorded)
  // Stored by a session in New York; the true instants are 09:00, 09:15 and 09:16 in UTC.
  await run(
    url,
    `INSERT INTO message_hours VALUES ('2026-03-13T13:00:00Z', 7), ('2026-03-13T09:00:00Z', 2)`,
    `INSERT INTO provider_failures VALUES ('link-rejected', 'one', '2026-03-13T13:15:00Z')`,
    "INSERT INTO open_circuits VALUES ('client-rejected', '2026-03-13T13:15:00Z', '2026-03-13T13:16:00Z')",
  )
  expect(columnsOf(await repair(open(url), recorded))).toEqual(
    expect.arrayContaining(['message_hours', 'open_circuits', 'provider_failures']),
  )
  const [hour] = await run(url, `SELECT used FROM message_hours WHERE hour = '2026-03-13T09:00:00Z'`)
  expect(hour).toEqual({ used: 9 })
  const [strike] = await run(url, "SELECT to_jsonb(at AT TIME ZONE 'UTC') AS at FROM provider_failures")
  expect(strike).toEqual({ at: '2026-03-13T09:15:00' })
  const [hold] = await run(
    url,
    `SELECT trial_at <= '2026-03-13T09:17:23.456Z' AS due, since <= trial_at AS sound FROM open_circuits`,
  )
  expect(hold).toEqual({ due: true, sound: true })
})

describe('the command', () => {
  let url: string
  let env: Record<string, string>
  beforeAll(async () => {
    url = await loadRecorded(await readRecorded('new-york'))
    const folder = await mkdtemp(join(tmpdir(), 'reconsent-repair-'))
    await writeFile(
      join(folder, 'worker.config.ts'),
      "export default { company: { name: 'Brightside' }, providers: { FR: { routes: ['full'] } } }\n",
    )
    env = { ...environmentFor(url), RECONSENT_CONFIG: join(folder, 'worker.config.ts') }
  })

  test('doctor names the zone and this command', async () => {
    const { stdout } = await runHere(['doctor', '--json'], env)
    const { findings } = JSON.parse(stdout) as { findings: Record<string, string>[] }
    expect(findings.find(({ check }) => check === 'instants')).toMatchObject({
      level: 'fail',
      detail: '14 of 15 consents hold instants that were stored under another time zone than UTC (America/New_York)',
      advice: expect.stringContaining('reconsent repair-times'),
    })
  })

  test('refuses a role that may not change events, by name; an unknown zone, with the nearest', async () => {
    const appUrl = await createAppRole(url)
    const refused = await runHere(['repair-times', '--apply'], { ...env, DATABASE_URL: appUrl })
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/the role app_\w+ may not change events: set MIGRATE_DATABASE_URL/),
    })
    expect(refused.stderr).not.toContain('of-tests')
    expect(await runHere(['repair-times', '--zone', 'America/NewYork'], env)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Did you mean America/New_York?'),
    })
  })

  test("reports in a dry run, repairs with the owner's role, and then doctor finds no fault", async () => {
    const appUrl = await createAppRole(url)
    const owner = { ...env, DATABASE_URL: appUrl, MIGRATE_DATABASE_URL: url }
    const dry = await runHere(['repair-times'], owner)
    expect(dry).toMatchObject({ code: 0, stderr: expect.stringContaining('nothing was changed: run it with --apply') })
    expect(dry.stdout).toMatch(/^written under America\/New_York, /)
    expect(dry.stdout).toMatch(/^\d+ +events\.at +its hash$/m)
    const applied = await runHere(['repair-times', '--apply', '--json'], owner)
    expect(applied.code).toBe(0)
    expect(JSON.parse(applied.stdout)).toMatchObject({
      applied: true,
      consents: 15,
      shifted: 14,
      busy: 0,
      still_written: false,
      unproven: [],
    })
    expect((await runHere(['repair-times', '--apply'], owner)).stdout).toContain(
      'nothing shows another time zone than UTC',
    )
    const { findings } = JSON.parse((await runHere(['doctor', '--json'], owner)).stdout) as {
      findings: Record<string, string>[]
    }
    expect(findings.find(({ check }) => check === 'instants')).toMatchObject({ level: 'ok' })
    expect(
      (await run(url, `SELECT current_setting('reconsent.rewrite_events', true) AS setting`))[0]?.['setting'] ?? '',
    ).toBe('')
  })

  test("finds the tables in a schema of the program's own, on a server with other settings", async () => {
    const elsewhere = await loadRecorded(await readRecorded('kolkata'), { zone: 'Asia/Kolkata' })
    const name = new URL(elsewhere).pathname.slice(1)
    await run(
      elsewhere,
      'ALTER SCHEMA public RENAME TO consents_app',
      'CREATE SCHEMA public',
      `ALTER DATABASE ${name} SET datestyle TO 'SQL, DMY'`,
      `ALTER DATABASE ${name} SET default_transaction_read_only TO on`,
    )
    const inSchema = { ...env, DATABASE_URL: `${elsewhere}?schema=consents_app`, MIGRATE_DATABASE_URL: elsewhere }
    const applied = await runHere(['repair-times', '--apply', '--json'], inSchema)
    expect(applied).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(applied.stdout)).toMatchObject({
      shifted: 14,
      unproven: [],
      zones: [expect.arrayContaining(['Asia/Kolkata'])],
    })
    const again = await runHere(['repair-times'], inSchema)
    expect(again.stdout).toContain('nothing shows another time zone than UTC')
  })
})
