// A database moves: dumps into another cluster, which counts transactions anew, and logical replication with a
// switch-over. The tests run the runbook's own commands, and the readers of the feed notice nothing.
import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { rm, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { makeVault } from '../../src/crypto/vault.ts'
import { CursorUnknown } from '../../src/errors.ts'
import { Secret } from '../../src/secret.ts'
import type { FeedEvent } from '../../src/store/administration-port.ts'
import { noteForgottenEvents } from '../../src/store/event-sequencer.ts'
import { appendEvent } from '../setup/append-event.ts'
import { imports } from '../../src/store/import.ts'
import { listing } from '../../src/store/listing.ts'
import { migrate } from '../../src/store/migrate.ts'
import { openStore } from '../../src/store/open-store.ts'
import { systemClock } from '../../src/clock.ts'
import { verify } from '../../src/verify/verify.ts'
import { aPolicy } from '../builders.ts'
import { environmentFor } from '../commands/reconsent.ts'
import { ringOf } from '../crypto/keys.ts'
import { aRow } from '../import/rows.ts'
import { type Cluster, debianPrograms, startCluster } from '../setup/debian-postgres.ts'
import { findProgram } from '../setup/program.ts'
import { startOwnRedis } from '../setup/redis.ts'
import { asOwner } from '../setup/roles.ts'
import { blocksOf, operator } from '../setup/runbook.ts'

const exec = promisify(execFile)
const now = systemClock.now()
let oldServer: Cluster
let newServer: Cluster
let programs: string
beforeAll(async () => {
  // One after the other, because the first one installs Debian's package if it is missing.
  oldServer = await startCluster()
  newServer = await startCluster()
  programs = await debianPrograms()
  // The old server is far ahead: the new one uses transaction numbers that were used there long ago.
  await asOwner(
    oldServer.urlOf('postgres'),
    'DO $$ BEGIN FOR i IN 1..20000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$',
  )
  for (const server of [oldServer, newServer]) {
    await asOwner(server.urlOf('postgres'), `CREATE ROLE owner LOGIN CREATEDB`, `CREATE ROLE app LOGIN`)
  }
}, 120_000)
afterAll(async () => {
  await oldServer?.stop()
  await newServer?.stop()
})

beforeEach(async () => {
  await asOwner(
    oldServer.urlOf('postgres'),
    'DROP DATABASE IF EXISTS reconsent WITH (FORCE)',
    'CREATE DATABASE reconsent OWNER owner',
  )
  await asOwner(newServer.urlOf('postgres'), 'DROP DATABASE IF EXISTS reconsent WITH (FORCE)')
})

const as = (role: string, url: string): string => url.replace('postgres@', `${role}@`)

/** A company's parts: the program's store on a database, and a reader of the feed that keeps its cursor. */
const companyOn = (url: string) => {
  const opened = openStore({ url: new Secret(url), vault: makeVault({ keys: ringOf('k1') }), connections: 4 })
  return {
    importSome: async (count: number) =>
      imports(opened.db, aPolicy()).importBatch(
        Array.from({ length: count }, () => aRow({ expiresAt: now.plus({ days: 60 }) })),
        { now, correct: false },
      ),
    /** Adds one event to each of the first `count` consents. */
    happen: async (reason: string, count = 3): Promise<void> => {
      for (const { id } of await opened.db.prisma.consent.findMany({
        take: count,
        orderBy: { id: 'asc' },
        select: { id: true },
      })) {
        await opened.db.prisma.$transaction(async (tx) =>
          appendEvent(tx, id, { type: 'consent.updated', at: now, actor: 'company', reason }),
        )
      }
    },
    read: async (after?: string): Promise<FeedEvent[]> => {
      const all: FeedEvent[] = []
      for (;;) {
        const page = await listing(opened.db).listFeed(all.at(-1)?.cursor ?? after, 7)
        all.push(...page)
        if (page.length < 7) return all
      }
    },
    violations: async () => verify(opened.db, { now }),
    close: opened.close,
  }
}
type Company = ReturnType<typeof companyOn>
const on = async <T>(url: string, work: (company: Company) => Promise<T>): Promise<T> => {
  const company = companyOn(url)
  try {
    return await work(company)
  } finally {
    await company.close()
  }
}

const cursorOf = (events: readonly FeedEvent[]): string => events.at(-1)?.cursor ?? ''
const identities = (events: readonly FeedEvent[]) =>
  events.map(({ consentId, seq, cursor }) => `${cursor} ${consentId} ${seq}`)
const reasons = (events: readonly FeedEvent[]) => events.map(({ reason }) => reason)
const newestTransaction = async (url: string) =>
  BigInt((await asOwner(url, 'SELECT max(transaction_id)::text AS max FROM events')).rows[0]?.max ?? '0')

test('the chapter restore-from-backup', async () => {
  const redis = await startOwnRedis()
  const redisCli = await findProgram({ names: ['redis-cli', 'valkey-cli'], debianPackage: 'redis-tools' })
  const { folder, runBlock } = await operator(
    {
      ...environmentFor(as('app', newServer.urlOf('reconsent'))),
      MIGRATE_DATABASE_URL: as('owner', newServer.urlOf('reconsent')),
      REDIS_URL: redis.url,
      OLD_URL: as('owner', oldServer.urlOf('reconsent')),
      NEW_URL: as('owner', newServer.urlOf('reconsent')),
      SERVER_URL: as('owner', newServer.urlOf('postgres')),
    },
    [programs, dirname(redisCli)],
  )
  const ownerUrl = as('owner', oldServer.urlOf('reconsent'))
  await migrate(ownerUrl)
  const [backup, restore, look, judge, ...more] = await blocksOf('restore-from-backup')
  expect(more).toEqual([])

  const { all, lost } = await on(ownerUrl, async ({ importSome, happen, read }) => {
    await importSome(40)
    const seen = await read()
    await happen('read by nobody yet')
    await runBlock(backup ?? '')
    await happen('lost')
    return { all: seen, lost: await read(cursorOf(seen)) }
  })
  await writeFile(
    join(folder, 'consents.csv'),
    `credentials_id,refresh_token,provider_id,country,redirect_uri,user_id,expires_at
made-since,token,uk-ob-monzo,GB,https://example.com/callback,ada,${now.plus({ days: 70 }).toISO()}\n`,
  )
  await runBlock(restore ?? '')
  await runBlock(look ?? '')
  expect(await runBlock(judge ?? '')).toBe('every promise is kept\n')

  await on(as('app', newServer.urlOf('reconsent')), async ({ happen, read }) => {
    expect(identities((await read()).slice(0, all.length))).toEqual(identities(all))
    const since = await read(cursorOf(all))
    expect(reasons(since).toSorted()).toEqual([
      'read by nobody yet',
      'read by nobody yet',
      'read by nobody yet',
      undefined,
    ])
    await happen('since')
    expect(reasons(await read(cursorOf(since)))).toEqual(['since', 'since', 'since'])
    // The cursors of lost events are refused, even where another event has their position.
    for (const { cursor, reason } of lost) {
      if (reason === 'lost') await expect(read(cursor)).rejects.toThrow(CursorUnknown)
    }
    expect(lost.filter(({ reason }) => reason === 'lost')).toHaveLength(3)
  })
  expect(await newestTransaction(newServer.urlOf('reconsent'))).toBeGreaterThan(20_000n)
  const { rows } = await asOwner(
    newServer.urlOf('reconsent'),
    `SELECT bool_and(transaction_id < 20000) AS low FROM events WHERE reason = 'since'`,
  )
  expect(rows).toEqual([{ low: true }])
  await redis.stop()
  await rm(folder, { recursive: true })
}, 180_000)

describe('other forms of a dump', () => {
  const dump = async (...options: string[]): Promise<string> => {
    const file = join('/tmp', `reconsent-dump-${process.pid}`)
    await exec(join(programs, 'pg_dump'), [...options, `--file=${file}`, as('owner', oldServer.urlOf('reconsent'))])
    return file
  }
  const create = async (): Promise<unknown> =>
    asOwner(newServer.urlOf('postgres'), 'CREATE DATABASE reconsent OWNER owner')
  const psql = async (file: string, role = 'owner'): Promise<unknown> =>
    exec(join(programs, 'psql'), [
      '--no-psqlrc',
      '--quiet',
      '--set=ON_ERROR_STOP=1',
      '--single-transaction',
      `--file=${file}`,
      as(role, newServer.urlOf('reconsent')),
    ])
  const dataOnly = ['--data-only', '--exclude-table=_prisma_migrations']

  const forms: Record<string, () => Promise<void>> = {
    'plain SQL': async () => {
      const file = await dump('--no-owner', '--no-privileges')
      await create()
      await psql(file)
    },
    'plain SQL with INSERTs': async () => {
      const file = await dump('--no-owner', '--no-privileges', '--rows-per-insert=10')
      await create()
      await psql(file)
    },
    'data alone into a migrated database, whose triggers fire': async () => {
      const file = await dump(...dataOnly)
      await create()
      await migrate(as('owner', newServer.urlOf('reconsent')))
      await psql(file)
    },
    'data alone with triggers switched off': async () => {
      const file = await dump(...dataOnly, '--disable-triggers')
      await create()
      await migrate(as('owner', newServer.urlOf('reconsent')))
      await psql(file, 'postgres')
    },
  }
  test.each(Object.entries(forms))(
    '%s',
    async (_name, move) => {
      await migrate(as('owner', oldServer.urlOf('reconsent')))
      const all = await on(oldServer.urlOf('reconsent'), async ({ importSome, happen, read }) => {
        await importSome(40)
        const seen = await read()
        await happen('waits for its place')
        return seen
      })
      await move()
      await on(as('owner', newServer.urlOf('reconsent')), async ({ happen, read, violations }) => {
        expect(await noteForgottenEvents(newServer.urlOf('reconsent'))).toBe(0)
        await happen('since', 1)
        expect(reasons(await read(cursorOf(all)))).toEqual([
          'waits for its place',
          'waits for its place',
          'waits for its place',
          'since',
        ])
        expect(identities((await read()).slice(0, all.length))).toEqual(identities(all))
        expect(await violations()).toEqual([])
      })
    },
    120_000,
  )

  test('data of the previous release, no triggers: migrate notes events without place; cursors go on', async () => {
    await migrate(as('owner', oldServer.urlOf('reconsent')))
    const last = await on(oldServer.urlOf('reconsent'), async ({ importSome, happen }) => {
      await importSome(20)
      await happen('last', 1)
      return (
        await asOwner(
          oldServer.urlOf('reconsent'),
          `SELECT transaction_id || '.' || position AS cursor FROM events WHERE reason = 'last'`,
        )
      ).rows[0]?.cursor
    })
    const file = await dump(
      ...dataOnly,
      '--disable-triggers',
      '--exclude-table=event_positions',
      '--exclude-table=unsequenced_events',
    )
    await create()
    await migrate(as('owner', newServer.urlOf('reconsent')))
    await psql(file, 'postgres')
    await on(as('owner', newServer.urlOf('reconsent')), async ({ happen, read, violations }) => {
      expect(await violations()).toContainEqual(
        expect.objectContaining({ invariant: 10, what: expect.stringContaining('reconsent migrate') }),
      )
      expect(await noteForgottenEvents(newServer.urlOf('reconsent'))).toBe(21)
      await happen('since', 1)
      expect(reasons(await read(last))).toEqual(['since'])
      expect(await read()).toHaveLength(22)
      expect(await violations()).toEqual([])
    })
  }, 120_000)
})

test('the chapter move-to-another-server', async () => {
  const { folder, runBlock } = await operator(
    {
      ...environmentFor(as('app', newServer.urlOf('reconsent'))),
      MIGRATE_DATABASE_URL: newServer.urlOf('reconsent'),
      OLD_URL: oldServer.urlOf('reconsent'),
      NEW_URL: newServer.urlOf('reconsent'),
      SERVER_URL: newServer.urlOf('postgres'),
    },
    [programs],
  )
  await migrate(oldServer.urlOf('reconsent'))
  const [follow, switchOver, ...more] = await blocksOf('move-to-another-server')
  expect(more).toEqual([])
  const all = await on(oldServer.urlOf('reconsent'), async ({ importSome, happen, read }) => {
    await importSome(30)
    await read()
    await runBlock(follow ?? '')
    // During the replication events arrive, and some get positions while others do not.
    await happen('replicated')
    const seen = await read()
    await happen('waits for its place')
    return seen
  })
  expect(await runBlock(switchOver ?? '')).toContain('every promise is kept\n')
  await on(as('app', newServer.urlOf('reconsent')), async ({ happen, read, importSome }) => {
    expect(identities((await read()).slice(0, all.length))).toEqual(identities(all))
    await happen('since')
    await importSome(5)
    const since = await read(cursorOf(all))
    expect(reasons(since).slice(0, 3)).toEqual(['waits for its place', 'waits for its place', 'waits for its place'])
    expect(reasons(since).filter((reason) => reason === 'since')).toHaveLength(3)
    expect(since).toHaveLength(3 + 3 + 5)
  })
  // The sequence was not replicated, so its numbers occur again.
  const { rows } = await asOwner(
    newServer.urlOf('reconsent'),
    'SELECT count(*) > count(DISTINCT position) AS repeated FROM events',
  )
  expect(rows).toEqual([{ repeated: true }])
  await rm(folder, { recursive: true })
}, 180_000)

test('a long transaction, in another database of the cluster or in this one, delays nothing', async () => {
  await migrate(oldServer.urlOf('reconsent'))
  const others = [oldServer.urlOf('postgres'), oldServer.urlOf('reconsent')].map(
    (connectionString) => new pg.Client({ connectionString }),
  )
  for (const other of others) {
    await other.connect()
    await other.query('BEGIN')
    await other.query('SELECT pg_current_xact_id()')
  }
  await on(oldServer.urlOf('reconsent'), async ({ importSome, happen, read }) => {
    await importSome(3)
    const seen = await read()
    expect(seen).toHaveLength(3)
    await happen('now')
    expect(reasons(await read(cursorOf(seen)))).toEqual(['now', 'now', 'now'])
  })
  for (const other of others) await other.end()
})
