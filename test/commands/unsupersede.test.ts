// The command `unsupersede`, with the role of fewest rights, in a database whose zone is not UTC: what it prints, its
// JSON, its exit codes, its options.
import { beforeAll, expect, test } from 'vitest'
import { DateTime } from 'luxon'
import { makeVault } from '../../src/crypto/vault.ts'
import { Secret } from '../../src/secret.ts'
import { openStore } from '../../src/store/open-store.ts'
import { keyText, ringOf } from '../crypto/keys.ts'
import { aLine, ndjson } from '../import/rows.ts'
import { createDatabase } from '../setup/database.ts'
import { closeByOldRule } from '../setup/old-rule.ts'
import { asOwner, createAppRole } from '../setup/roles.ts'
import { environmentFor, run, runHere } from './reconsent.ts'

const inDays = (days: number): string => DateTime.utc().plus({ days }).toISO()
let env: Record<string, string>
beforeAll(async () => {
  const ownerUrl = await createDatabase()
  await asOwner(ownerUrl, `ALTER DATABASE ${new URL(ownerUrl).pathname.slice(1)} SET timezone = 'America/New_York'`)
  const url = await createAppRole(ownerUrl)
  env = { ...environmentFor(url), ENCRYPTION_KEYS: `k1:${keyText('k1')}` }
  const lines = ['u1', 'u2', 'u3'].flatMap((user) => [
    aLine({ credentials_id: `${user}-personal`, user_id: user, expires_at: inDays(60) }),
    aLine({ credentials_id: `${user}-business`, user_id: user, expires_at: inDays(80) }),
  ])
  expect((await run(['import', '-'], { env, input: ndjson(lines) })).code).toBe(0)
  const { store, db, close } = openStore({
    url: new Secret(ownerUrl),
    vault: makeVault({ keys: ringOf('k1') }),
    connections: 2,
  })
  const idOf = async (credentialsId: string) => (await store.findConsent(credentialsId))?.id ?? ''
  const pairs = await Promise.all(
    ['u1', 'u2', 'u3'].map(async (user) => [await idOf(`${user}-personal`), await idOf(`${user}-business`)] as const),
  )
  await closeByOldRule(db, pairs, DateTime.utc().minus({ days: 3 }))
  await close()
})

const command = async (...args: string[]) => runHere(['unsupersede', ...args], { ...env, ENCRYPTION_KEYS: undefined })

test('lists what it would reopen, reopens it, finds nothing the second time; verify finds no fault', async () => {
  const dry = await command('--dry-run')
  expect(dry).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      /CREDENTIALS ID.*\n.*u\d-personal.*\n[^]*3 consents would be reopened \(3 active\); 0 left.*Nothing was changed/,
    ),
  })
  expect(JSON.parse((await command('--dry-run', '--json', '--user', 'u2')).stdout)).toEqual({
    dry_run: true,
    consents: [
      {
        id: expect.any(String),
        credentials_id: 'u2-personal',
        user_id: 'u2',
        provider_id: 'uk-ob-monzo',
        superseded_at: expect.stringMatching(/Z$/),
        superseded_by: 'u2-business',
        becomes: 'active',
        cycle: 1,
        expires_at: expect.any(String),
        next_action_at: expect.any(String),
        next_action_reason: 'healthy: the renewal window is not open yet',
      },
    ],
    counts: { reopened: 1, active: 1, kept: 0 },
  })
  expect(JSON.parse((await command('--dry-run', '--json', '--since', '2d')).stdout)).toEqual({
    dry_run: true,
    consents: [],
    counts: { reopened: 0, kept: 0 },
  })

  // The operator knows of a consent that really was replaced.
  const word = aLine({
    credentials_id: 'u3-business',
    user_id: 'u3',
    expires_at: inDays(80),
    supersedes: 'u3-personal',
  })
  expect(await run(['import', '-', '--json'], { env, input: ndjson([word]) })).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('"superseded": 0'),
  })

  const done = await command('--since', '4d', '--reason', 'two logins')
  expect(done).toMatchObject({
    code: 0,
    stderr: '',
    stdout: expect.stringContaining(
      '2 consents reopened (2 active); 1 left closed, because an import says that they were superseded\n',
    ),
  })
  expect(await command('--json')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('"counts": {"reopened":0,"kept":1}'),
  })
  const shown = JSON.parse((await runHere(['show', 'u1-personal', '--json'], env)).stdout) as {
    status: string
    superseded_by: null
    events: { type: string; reason: string }[]
  }
  expect(shown).toMatchObject({ status: 'active', superseded_by: null })
  expect(shown.events.at(-1)).toMatchObject({ type: 'consent.reopened', reason: 'two logins' })
  expect(await runHere(['show', 'u3-personal', '--json'], env)).toMatchObject({
    stdout: expect.stringContaining('"status": "superseded"'),
  })
  expect((await runHere(['verify'], env)).code).toBe(0)
})

test('refuses unknown options and values', async () => {
  expect(await command('--since', 'yesterday')).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringMatching(/^option '--since <WHEN>' argument 'yesterday' is invalid\. It must be a date/),
  })
  expect(await command('--dryrun')).toMatchObject({ code: 2, stderr: expect.stringContaining('--dry-run') })
})
