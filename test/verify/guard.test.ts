// The guard of invariant 10 by database rights: an application with its own role can only read and add events; sharing
// one role is not reported as a fault.
import { Duration } from 'luxon'
import { beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { makeVault } from '../../src/crypto/vault.ts'
import { Secret } from '../../src/secret.ts'
import { openStore } from '../../src/store/open-store.ts'
import { verify } from '../../src/verify/verify.ts'
import { environmentFor, run } from '../commands/reconsent.ts'
import { ringOf } from '../crypto/keys.ts'
import { createDatabase } from '../setup/database.ts'
import { asOwner, createAppRole } from '../setup/roles.ts'

let ownerUrl: string
let appUrl: string
let role: string
beforeAll(async () => {
  ownerUrl = await createDatabase()
  appUrl = await createAppRole(ownerUrl)
  role = new URL(appUrl).username
})

/** What verify reports over a connection with this address. */
const foundAs = async (url: string, options: { hasOwnRole?: boolean } = {}): Promise<string[]> => {
  const { db, close } = openStore({ url: new Secret(url), vault: makeVault({ keys: ringOf('k1') }), connections: 1 })
  try {
    const violations = await verify(db, {
      now: systemClock.now(),
      sweepInterval: Duration.fromObject({ hours: 1 }),
      keys: ringOf('k1'),
      ...options,
    })
    return violations.map(({ invariant, record, what }) => `${invariant} ${record}: ${what}`)
  } finally {
    await close()
  }
}

const told = (name: string): string =>
  `10 table events: the application's role ${name} can change or delete them: only a trigger is in its way`

describe('a role of its own', () => {
  test('with the rights that migrate grants: nothing to report', async () => {
    expect(await foundAs(appUrl)).toEqual([])
    expect(await foundAs(appUrl, { hasOwnRole: true })).toEqual([])
  })

  test.each(['UPDATE', 'DELETE', 'TRUNCATE', 'UPDATE (reason)'])('that was granted %s on the events', async (right) => {
    await asOwner(ownerUrl, `GRANT ${right} ON events TO ${role}`)
    expect(await foundAs(appUrl)).toEqual([told(role)])
    await asOwner(ownerUrl, `REVOKE ${right} ON events FROM ${role}`)
    expect(await foundAs(appUrl)).toEqual([])
  })

  test('that got a right through PUBLIC, or as a member of the owner', async () => {
    await asOwner(ownerUrl, 'GRANT UPDATE ON events TO PUBLIC')
    expect(await foundAs(appUrl)).toEqual([told(role)])
    await asOwner(ownerUrl, 'REVOKE UPDATE ON events FROM PUBLIC', `GRANT ${new URL(ownerUrl).username} TO ${role}`)
    expect(await foundAs(appUrl)).toEqual([told(role)])
    await asOwner(ownerUrl, `REVOKE ${new URL(ownerUrl).username} FROM ${role}`)
    expect(await foundAs(appUrl)).toEqual([])
  })
})

describe('one role that owns and runs everything', () => {
  test('is no fault: doctor warns of it', async () => {
    expect(await foundAs(ownerUrl)).toEqual([])
  })

  test('is a fault where a separate owner was configured', async () => {
    expect(await foundAs(ownerUrl, { hasOwnRole: true })).toEqual([told(new URL(ownerUrl).username)])
  })
})

describe('reconsent verify', () => {
  const verifyWith = async (env: Record<string, string>): Promise<{ code: number | null; found: unknown }> => {
    const { code, stdout, stderr } = await run(['verify', '--json'], { env: { ...env } })
    expect(stderr).toBe('')
    return { code, found: (JSON.parse(stdout) as { violations: unknown }).violations }
  }

  test('with one role for all', async () => {
    expect(await verifyWith(environmentFor(ownerUrl))).toEqual({ code: 0, found: [] })
  })

  test("with the application's own role, before and after it was granted too much", async () => {
    const env = { ...environmentFor(appUrl), MIGRATE_DATABASE_URL: ownerUrl }
    expect(await verifyWith(env)).toEqual({ code: 0, found: [] })
    await asOwner(ownerUrl, `GRANT UPDATE ON events TO ${role}`)
    expect(await verifyWith(env)).toMatchObject({ code: 1, found: [{ invariant: 10, record: 'table events' }] })
    await asOwner(ownerUrl, `REVOKE UPDATE ON events FROM ${role}`)
  })

  test("with the owner's role where MIGRATE_DATABASE_URL names another", async () => {
    expect(await verifyWith({ ...environmentFor(ownerUrl), MIGRATE_DATABASE_URL: appUrl })).toMatchObject({
      code: 1,
      found: [{ invariant: 10, record: 'table events' }],
    })
  })
})
