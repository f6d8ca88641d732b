// Commands that write page by page, killed between two pages: the written pages stay, and running the same command
// again does the rest.
import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import { DateTime } from 'luxon'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type FaultProxy, startFaultProxy } from '../chaos/fault-proxy.ts'
import { keyText, ringOf } from '../crypto/keys.ts'
import { makeVault } from '../../src/crypto/vault.ts'
import { Secret } from '../../src/secret.ts'
import { openStore } from '../../src/store/open-store.ts'
import { createDatabase } from '../setup/database.ts'
import { closeByOldRule } from '../setup/old-rule.ts'
import { asOwner } from '../setup/roles.ts'
import { environmentFor, run, start } from './reconsent.ts'

const ROWS = 4_000
const keys = (...ids: string[]) => ({ ENCRYPTION_KEYS: ids.map((id) => `${id}:${keyText(id)}`).join(',') })
const rows = Array.from({ length: ROWS }, (_, index) =>
  JSON.stringify({
    credentials_id: `cred-${index}`,
    refresh_token: `refresh-secret-${index}`,
    provider_id: 'uk-ob-monzo',
    country: 'GB',
    redirect_uri: 'https://example.com/callback',
    user_id: `user-${index}`,
    expires_at: new Date(Date.now() + 60 * 86_400_000).toISOString(),
  }),
).join('\n')

let url: string
let env: Record<string, string>
let slow: FaultProxy
beforeEach(async () => {
  url = await createDatabase()
  env = environmentFor(url)
  slow = await startFaultProxy({ targets: () => [Number(new URL(url).port)] })
  await slow.set({ kind: 'latency', ms: 20 })
})
afterEach(async () => slow.close())

const count = async (what: string): Promise<number> =>
  Number((await asOwner(url, `SELECT count(*)::int AS count FROM ${what}`)).rows[0].count)

/** Kills the command once it has written some of its pages. */
const killedMidway = async (
  args: readonly string[],
  over: Record<string, string>,
  written: () => Promise<number>,
  input?: string,
): Promise<void> => {
  const way = new URL(url)
  way.port = String(slow.port)
  const child = start(args, { env: { ...env, ...over, DATABASE_URL: way.href } })
  // The command is killed before it has read all of its input, so writing to it may fail.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const ended = once(child, 'close')
  while ((await written()) === 0) {
    if (child.exitCode !== null) throw new Error('the command ended before it was killed')
    await wait(5)
  }
  child.kill('SIGKILL')
  expect((await ended)[1]).toBe('SIGKILL')
  expect(await written()).toBeLessThan(ROWS)
}

test('import: no consent is stored twice, none is missing', async () => {
  await killedMidway(['import', '-'], {}, async () => count('consents'), rows)
  expect((await run(['import', '-'], { env, input: rows })).code).toBe(0)
  expect(await count('consents')).toBe(ROWS)
  expect(await count(`events WHERE type = 'consent.imported'`)).toBe(ROWS)
  expect((await run(['verify'], { env })).code).toBe(0)
})

test('keys rotate: every secret opens at any moment, and the second run completes the rotation', async () => {
  expect((await run(['import', '-'], { env, input: rows })).code).toBe(0)
  const both = keys('k2', 'k1')
  await killedMidway(['keys', 'rotate'], both, async () => count(`consents WHERE refresh_token LIKE '%.k2.%'`))
  expect((await run(['verify'], { env: { ...env, ...both } })).code).toBe(0)
  expect((await run(['keys', 'rotate'], { env: { ...env, ...both } })).code).toBe(0)
  expect(await count(`consents WHERE refresh_token LIKE '%.k2.%'`)).toBe(ROWS)
  expect((await run(['verify'], { env: { ...env, ...keys('k2') } })).code).toBe(0)
})

test('unsupersede: each consent is reopened once, and the second run reopens the rest', async () => {
  expect((await run(['import', '-'], { env, input: rows })).code).toBe(0)
  const { db, close } = openStore({ url: new Secret(url), vault: makeVault({ keys: ringOf('k1') }), connections: 1 })
  const ids = (await db.prisma.consent.findMany({ select: { id: true }, orderBy: { id: 'asc' } })).map(({ id }) => id)
  const newer = ids.at(-1) ?? ''
  const half = ids.slice(0, ROWS / 2).map((id) => [id, newer] as const)
  await closeByOldRule(db, half, DateTime.utc())
  await close()
  const reopened = async (): Promise<number> => count(`events WHERE type = 'consent.reopened'`)
  await killedMidway(['unsupersede'], {}, reopened)
  expect(await reopened()).toBeLessThan(half.length)
  expect((await run(['verify'], { env })).code).toBe(0)
  expect((await run(['unsupersede'], { env })).code).toBe(0)
  expect(await count(`consents WHERE status = 'active'`)).toBe(ROWS)
  expect(await reopened()).toBe(half.length)
  expect((await run(['verify'], { env })).code).toBe(0)
})
