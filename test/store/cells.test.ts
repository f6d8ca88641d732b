// Re-encryption while the system runs, and what happens to an encrypted column that does not open.
import { randomUUID } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { DecryptionFailed } from '../../src/crypto/envelope.ts'
import { makeVault } from '../../src/crypto/vault.ts'
import type { Consent } from '../../src/domain/model.ts'
import { PermanentError } from '../../src/errors.ts'
import { Secret } from '../../src/secret.ts'
import { keysInUse, missingKeys } from '../../src/store/cells.ts'
import { rotateCells } from '../../src/store/key-rotation.ts'
import type { Database } from '../../src/store/database.ts'
import { administration } from '../../src/store/administration.ts'
import { makeStore } from '../../src/store/open-store.ts'
import { sealToken } from '../../src/store/refresh-token.ts'
import { ringOf } from '../crypto/keys.ts'
import { advance, authorisation, bringUpToDate, endLease, withCode } from '../processors/rig.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import { asked, born, verified } from '../verify/lives.ts'

let world: World
beforeEach(async () => {
  world = await startWorld()
  return async () => world.close()
})

/** The same database with other keys. */
const withKeys = (...ids: string[]): Database => ({ ...world.db, vault: makeVault({ keys: ringOf(...ids) }) })
const uses = async () => Object.fromEntries((await keysInUse(world.db.sql)).map(({ keyId, cells }) => [keyId, cells]))

describe('keys rotate', () => {
  test('encrypts every column again under the first key, with its old value; again changes nothing', async () => {
    const { consent, codeId } = await withCode(world)
    for (let more = 0; more < 5; more += 1) await asked(world)
    const token = await world.tokenOf(consent.id)
    const before = await uses()
    expect(before['k1']).toBeGreaterThan(15)
    const pages: number[] = []
    const db = withKeys('k2', 'k1')
    expect(
      await rotateCells(db, { keys: ringOf('k2', 'k1'), pageSize: 2, onPage: (rotated) => pages.push(rotated) }),
    ).toEqual({ rotated: before['k1'], unreadable: 0, left: 0 })
    expect(pages.length).toBeGreaterThan(6)
    expect(await uses()).toEqual({ k2: before['k1'] })
    expect(await rotateCells(db, { keys: ringOf('k2', 'k1') })).toEqual({ rotated: 0, unreadable: 0, left: 0 })
    // The code that was received before the rotation is exchanged without the old key, and the consent is renewed.
    const only = makeStore(withKeys('k2'))
    expect((await only.readRefreshToken(consent.id)).token.reveal()).toBe(token)
    await advance(world, { store: only })(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('renewed')
  })

  test('interrupted after a page, it goes on where it stopped', async () => {
    for (let count = 0; count < 6; count += 1) await born(world)
    const stopping = new AbortController()
    const options = { keys: ringOf('k2', 'k1'), pageSize: 2 }
    const first = await rotateCells(withKeys('k2', 'k1'), {
      ...options,
      signal: stopping.signal,
      onPage: () => stopping.abort(),
    })
    expect(first).toEqual({ rotated: 2, unreadable: 0, left: 4 })
    expect(await uses()).toEqual({ k1: 4, k2: 2 })
    expect(await rotateCells(withKeys('k2', 'k1'), options)).toEqual({ rotated: 4, unreadable: 0, left: 0 })
  })

  test('rows that others hold are skipped and come in a later round; their own write wins', async () => {
    const [held, free] = [await born(world), await born(world)]
    let letGo: () => void = () => undefined
    const gone = new Promise<void>((resolve) => (letGo = resolve))
    const locked = Promise.withResolvers<void>()
    const other = world.db.prisma.$transaction(async (tx) => {
      await tx.$queryRaw`SELECT 1 FROM consents WHERE id = ${held.id}::uuid FOR UPDATE`
      locked.resolve()
      await gone
      await tx.consent.update({
        where: { id: held.id },
        data: { refreshToken: sealToken(world.vault, held.id, 2, new Secret('newer')), tokenVersion: 2 },
      })
    })
    await locked.promise
    let pages = 0
    const rotated = rotateCells(withKeys('k2', 'k1'), {
      keys: ringOf('k2', 'k1'),
      onPage: () => void ((pages += 1) === 4 && letGo()),
    })
    expect(await rotated).toEqual({ rotated: 2, unreadable: 0, left: 0 })
    await other
    const store = makeStore(withKeys('k2'))
    expect(await store.readRefreshToken(held.id)).toMatchObject({ version: 2 })
    expect((await store.readRefreshToken(held.id)).token.reveal()).toBe('newer')
    expect((await store.readRefreshToken(free.id)).version).toBe(1)
  })

  test('under load: tokens replaced, links made and codes exchanged meanwhile are all kept', async () => {
    const consents: Consent[] = []
    for (let count = 0; count < 12; count += 1) consents.push(await born(world))
    const both = makeStore(withKeys('k1', 'k2'))
    const newest = new Map<string, string>()
    const replace = async ({ id }: Consent): Promise<void> => {
      for (let time = 0; time < 8; time += 1) {
        const { version } = await both.readRefreshToken(id)
        const token = `token-${id}-${time}`
        const rotated = {
          consentId: id,
          authorisationId: randomUUID(),
          version,
          token: new Secret(token),
          now: world.clock.now(),
        }
        if (await both.storeRotated(rotated)) newest.set(id, token)
      }
    }
    const load = Promise.all(consents.map(replace))
    for (let time = 0; time < 4; time += 1) {
      await rotateCells(withKeys('k2', 'k1'), { keys: ringOf('k2', 'k1'), pageSize: 3 })
      await rotateCells(withKeys('k1', 'k2'), { keys: ringOf('k1', 'k2'), pageSize: 3 })
    }
    await load
    for (const { id } of consents) expect((await both.readRefreshToken(id)).token.reveal()).toBe(newest.get(id))
    expect(await rotateCells(withKeys('k1', 'k2'), { keys: ringOf('k1', 'k2') })).toMatchObject({
      unreadable: 0,
      left: 0,
    })
    expect(await verified(world)).toEqual([])
  })

  test('columns that do not open stay, are named, count as left; those of a missing key are untouched', async () => {
    const [broken, foreign, good] = [await born(world), await born(world), await born(world)]
    await world.db.prisma.consent.update({
      where: { id: broken.id },
      data: { refreshToken: sealToken(world.vault, good.id, 1, new Secret('x')) },
    })
    await world.db.prisma.consent.update({
      where: { id: foreign.id },
      data: { refreshToken: sealToken(withKeys('k9').vault, foreign.id, 1, new Secret('x')) },
    })
    const named: unknown[] = []
    const result = await rotateCells(withKeys('k2', 'k1'), {
      keys: ringOf('k2', 'k1'),
      onUnreadable: (row) => named.push(row),
    })
    expect(result).toEqual({ rotated: 1, unreadable: 1, left: 2 })
    expect(named).toEqual([{ table: 'consents', id: broken.id, cause: 'not-authentic' }])
    expect(await missingKeys(world.db.sql, ringOf('k2', 'k1'))).toEqual([{ keyId: 'k9', cells: 1 }])
  })
})

/** What an attacker with the table but without the key may try. */
const tampering: Record<string, (world: World, consent: Consent) => Promise<string>> = {
  'moved to another row': async (there) =>
    (await there.db.prisma.consent.findUniqueOrThrow({ where: { id: (await born(there)).id } })).refreshToken,
  'of an older version put back': async (there, { id }) => {
    const { refreshToken } = await there.db.prisma.consent.findUniqueOrThrow({ where: { id } })
    await there.store.storeRotated({
      consentId: id,
      authorisationId: randomUUID(),
      version: 1,
      token: new Secret('newer'),
      now: there.clock.now(),
    })
    return refreshToken
  },
  'with a bit flipped': async (there, { id }) => {
    const { refreshToken } = await there.db.prisma.consent.findUniqueOrThrow({ where: { id } })
    const [format, key, iv, body] = refreshToken.split('.')
    const bytes = Buffer.from(body ?? '', 'base64url')
    bytes[0] = (bytes[0] ?? 0) ^ 1
    return [format, key, iv, bytes.toString('base64url')].join('.')
  },
  'of an unknown key': async (_there, { id }) => sealToken(makeVault({ keys: ringOf('k7') }), id, 1, new Secret('x')),
  'that is no sealed text': async () => 'refresh-in-clear',
}

describe.each(Object.entries(tampering))('a refresh token %s', (_name, tamper) => {
  const tampered = async (consent: Consent): Promise<void> => {
    const refreshToken = await tamper(world, consent)
    await world.db.prisma.consent.update({ where: { id: consent.id }, data: { refreshToken } })
  }
  const isQuarantined = async ({ id }: Consent): Promise<void> => {
    expect((await world.consentOf(id)).status).toBe('quarantined')
    expect((await world.eventsOf(id)).at(-1)).toMatchObject({ type: 'consent.quarantined', actor: 'system' })
    // The problem is known already: verify does not report the row again, only a key that is missing.
    expect((await verified(world)).filter(({ record }) => record !== 'key k7')).toEqual([])
  }
  const refused = { name: 'PermanentError', code: 'decryption-failed' }

  test('is never read, nor shown', async () => {
    const consent = await born(world)
    await tampered(consent)
    await expect(world.store.readRefreshToken(consent.id)).rejects.toBeInstanceOf(DecryptionFailed)
    await expect(
      administration(world.db, world.policy).showToken(consent.id, { now: world.clock.now(), reason: 'x' }),
    ).rejects.toMatchObject(refused)
    expect((await world.eventsOf(consent.id)).map(({ type }) => type)).not.toContain('token.shown')
  })

  test('found by the reauth job: quarantined, the user is not asked', async () => {
    const consent = await born(world)
    await tampered(consent)
    await expect(world.jobs.consent(consent.id, aRun())).rejects.toMatchObject(refused)
    await isQuarantined(consent)
    expect(world.mailsTo(consent)).toEqual([])
    expect(world.simulator.ledger.entries({ credentials_id: consent.credentialsId }).map(({ what }) => what)).toEqual([
      'seeded',
    ])
  })

  test('found by a user on the start page: quarantined, and the page says that the renewal waits', async () => {
    const consent = await asked(world)
    world.clock.advance({ minutes: 30 })
    await tampered(consent)
    expect(await world.leaveForBank(consent.id)).toMatchObject({ kind: 'not-now', start: { kind: 'suspended' } })
    await isQuarantined(consent)
  })

  test('found while an exchange is settled: quarantined, the doubt stays on record', async () => {
    const consent = await asked(world)
    await world.goToBank(consent.id, 'approve')
    world.simulator.faults.add({ endpoint: 'exchange', kind: 'reset-after', count: 1, only: consent.credentialsId })
    const [id] = (await world.authorisationsOf(consent.id))
      .filter(({ status }) => status === 'code_received')
      .map((one) => one.id)
    await tampered(consent)
    await expect(advance(world)(id ?? '', aRun())).rejects.toMatchObject(refused)
    expect((await authorisation(world, id ?? '')).status).toBe('in_doubt')
    await isQuarantined(consent)
  })
})

describe.each(['code', 'verifier'] as const)('an unreadable %s', (column) => {
  test('is not sent: the consent is quarantined, the code expires and is refused', async () => {
    const { consent, codeId } = await withCode(world)
    const other = await withCode(world)
    const { code, verifier } = await authorisation(world, other.codeId)
    await world.db.prisma.authorisation.update({
      where: { id: codeId },
      data: { [column]: { code, verifier }[column] },
    })
    await expect(advance(world)(codeId, aRun())).rejects.toThrow(PermanentError)
    expect((await world.consentOf(consent.id)).status).toBe('quarantined')
    expect(world.simulator.ledger.count({ what: 'exchange', credentials_id: consent.credentialsId })).toBe(0)
    world.clock.advance({ minutes: 20 })
    await endLease(world, 'authorisation', codeId)
    await advance(world)(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('refused')
    expect((await world.consentOf(consent.id)).status).toBe('quarantined')
  })
})

test('an unreadable access token: the consent is quarantined; once it is released, an answer renews it', async () => {
  const { consent, codeId } = await withCode(world)
  world.simulator.faults.add({ endpoint: 'me', kind: 'error-html', count: 1, only: consent.credentialsId })
  await bringUpToDate(world, consent.id).catch(() => undefined)
  const { accessToken, status } = await authorisation(world, codeId)
  expect(status).toBe('verifying')
  await world.db.prisma.authorisation.update({ where: { id: codeId }, data: { accessToken: 'v1.k1.x.y' } })
  world.clock.advance({ seconds: 30 })
  await expect(advance(world)(codeId, aRun())).rejects.toThrow(DecryptionFailed)
  expect((await world.consentOf(consent.id)).status).toBe('quarantined')
  await world.db.prisma.authorisation.update({ where: { id: codeId }, data: { accessToken, leaseUntil: null } })
  await advance(world)(codeId, aRun())
  expect(await world.consentOf(consent.id)).toMatchObject({ status: 'active', cycle: 2 })
})

test('an unreadable stored link: the page says that the renewal waits, the consent is quarantined', async () => {
  const consent = await asked(world)
  await world.db.prisma.authorisation.updateMany({
    where: { consentId: consent.id },
    data: { link: 'v1.k1.AAAA.BBBB' },
  })
  expect(await world.leaveForBank(consent.id)).toMatchObject({ kind: 'not-now', start: { kind: 'suspended' } })
  expect((await world.consentOf(consent.id)).status).toBe('quarantined')
})
