// Consents for the tests of verify: one world's consents in every state to which the processors lead, with all their
// events from the import on.
import { DateTime } from 'luxon'
import type { Consent } from '../../src/domain/model.ts'
import { administration } from '../../src/store/administration.ts'
import { verify, type Violation } from '../../src/verify/verify.ts'
import { ringOf } from '../crypto/keys.ts'
import { bringUpToDate, fault, liveUntil } from '../processors/rig.ts'
import { recordImport } from '../setup/record-import.ts'
import type { World } from '../setup/world.ts'

export const verified = async (world: World): Promise<Violation[]> =>
  verify(world.db, { now: world.clock.now(), sweepInterval: HOUR, deep: true, keys: ringOf('k1') })

const HOUR = DateTime.utc().plus({ hours: 1 }).diff(DateTime.utc())

/** A consent as an import leaves it. */
export const born = async (world: World, over: Partial<Consent> & { inDays?: number } = {}): Promise<Consent> => {
  const { inDays = 10, ...rest } = over
  const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: inDays }), ...rest })
  await world.db.prisma.$transaction(async (tx) => recordImport(tx, consent, world.clock.now()))
  return consent
}

export const asked = async (world: World, over: Parameters<typeof born>[1] = {}): Promise<Consent> => {
  const consent = await born(world, over)
  await bringUpToDate(world, consent.id)
  return consent
}

export const renewed = async (world: World): Promise<Consent> => {
  const consent = await asked(world)
  await world.goToBank(consent.id, 'approve')
  await bringUpToDate(world, consent.id)
  return consent
}

const byHand = (world: World) => administration(world.db, world.policy)
export const pause = async (world: World, consent: Consent): Promise<void> =>
  void (await byHand(world).pauseConsent(consent.id, { now: world.clock.now(), reason: 'a test' }))

/** One consent in each state. */
export const everyLife = async (world: World): Promise<void> => {
  const request = () => ({ now: world.clock.now(), reason: 'a test' })
  await born(world, { inDays: 60 })
  await asked(world)
  await renewed(world)
  const denied = await asked(world)
  await world.goToBank(denied.id, 'deny')
  await bringUpToDate(world, denied.id)
  const other = await asked(world)
  for (let time = 0; time < 3; time += 1) {
    await world.goToBank(other.id, 'somebody-else')
    await bringUpToDate(world, other.id)
  }
  const unanswered = await asked(world)
  await world.goToBank(unanswered.id, 'approve')
  fault(world, unanswered, { endpoint: 'exchange', kind: 'reset-after' })
  await bringUpToDate(world, unanswered.id)
  const paused = await asked(world)
  await pause(world, paused)
  const resumed = await asked(world)
  await pause(world, resumed)
  await byHand(world).resumeConsent(resumed.id, request())
  const closed = await asked(world)
  await byHand(world).closeForGood(closed.id, 'revoked', request())
  await asked(world, { country: 'FR', providerId: 'fr-bank' })
  const lapsed = await asked(world, { inDays: -80 })
  await liveUntil(world, lapsed.id, world.clock.now().plus({ days: 15 }))
  await byHand(world).requestRenewal(lapsed.id, request())
  await world.drain()
  await world.store.expireAttempts(world.clock.now(), 1000)
}
