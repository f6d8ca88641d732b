// The company of a life, and that the promise about tokens sees what it does: the lives themselves rarely show that a
// check would fail.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Secret } from '../../src/secret.ts'
import { imports } from '../../src/store/import.ts'
import { REDIRECT_URI, startWorld, type World } from '../setup/world.ts'
import { importExport } from './actions.ts'
import { newCompany } from './company.ts'
import { newModel } from './model.ts'
import { keepsTokenPromise } from './promises.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())

const aLife = async (rotates: boolean) => {
  const expiresAt = world.clock.now().plus({ days: 40 })
  const consent = await world.addConsent({ redirectUri: REDIRECT_URI, userId: randomUUID(), expiresAt })
  const { credentialsId } = consent
  if (rotates) world.simulator.setConnectionSwitches(credentialsId, { rotate_refresh_tokens: 'on-refresh' })
  const accepted = () => world.simulator.connection(credentialsId)?.refreshToken ?? ''
  const company = newCompany({ token: accepted(), expiresAt, issuedAt: undefined }, true)
  const importer = imports(world.db, world.policy)
  const arrives = async (nth: number): Promise<void> => {
    const file = company.exports.at(nth)
    if (file !== undefined) await importExport({ importer, consent, world }, newModel(), file)
  }
  return { consent, company, accepted, arrives }
}

test('a token that the company alone has is seen, and one that the provider kept is none', async () => {
  const kept = await aLife(false)
  await kept.company.refresh(world, kept.consent)
  expect([kept.company.rotations(), await keepsTokenPromise(world, kept.consent)]).toEqual([0, true])
  const rotated = await aLife(true)
  expect(await keepsTokenPromise(world, rotated.consent)).toBe(true)
  const file = await rotated.company.refresh(world, rotated.consent)
  expect(file?.token).toBe(rotated.accepted())
  expect([rotated.company.rotations(), await keepsTokenPromise(world, rotated.consent)]).toEqual([1, false])
})

test('exports that arrive out of order bring an older token in a later file, and move no date', async () => {
  const { consent, company, arrives } = await aLife(true)
  await company.refresh(world, consent)
  world.clock.advance({ hours: 1 })
  await company.refresh(world, consent)
  expect(company.exports.map(({ issuedAt }) => issuedAt?.toMillis())).toEqual([
    undefined,
    expect.any(Number),
    expect.any(Number),
  ])
  expect(new Set(company.exports.map(({ token }) => token)).size).toBe(3)
  for (const nth of [2, 0, 1, 2]) await arrives(nth)
  const known = await world.consentOf(consent.id)
  expect([known.status, known.expiresAt.toMillis()]).toEqual(['active', consent.expiresAt.toMillis()])
})

test('a company whose token we replaced takes ours for its next try', async () => {
  const { consent, company, accepted } = await aLife(true)
  const ours = await world.client.refresh(new Secret(accepted()))
  if (ours.kind !== 'tokens' || ours.tokens.refreshToken === undefined) throw new Error(ours.kind)
  await world.db.prisma.consent.update({
    where: { id: consent.id },
    data: {
      refreshToken: world.vault.seal(ours.tokens.refreshToken, {
        table: 'consents',
        column: 'refresh_token',
        rowId: consent.id,
        version: 1,
      }),
    },
  })
  expect(await company.refresh(world, consent)).toBeUndefined()
  expect((await company.refresh(world, consent))?.token).toBe(accepted())
})
