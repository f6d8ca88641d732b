// The renewal loop, step by step, on a real database, a real mail server and the simulator's provider and bank.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startWorld, type World } from '../setup/world.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())

const inDays = (days: number) => world.clock.now().plus({ days })

describe('the whole loop', () => {
  test('a consent due in ten days is asked about once, approved, proven and dated anew', async () => {
    const consent = await world.addConsent({ expiresAt: inDays(10) })
    await world.drain()
    expect(world.mailsTo(consent)).toHaveLength(1)
    expect((await world.notificationsOf(consent.id)).map(({ rung, status }) => [rung, status])).toEqual([
      ['-14d', 'sent'],
    ])
    const before = await world.tokenOf(consent.id)
    expect(await world.goToBank(consent.id, 'approve')).toMatchObject({ kind: 'accepted' })
    await world.drain()
    const renewed = await world.consentOf(consent.id)
    expect(renewed).toMatchObject({ status: 'active', cycle: 2, expiresSource: 'me' })
    expect(Math.round(renewed.expiresAt.diff(world.clock.now()).as('days'))).toBe(90)
    expect(await world.tokenOf(consent.id)).toBe(before)
    expect((await world.renewalsOf(consent.id)).map(({ status }) => status)).toEqual(['renewed'])
    expect(world.mailsTo(consent)).toHaveLength(1)
    expect(renewed.nextActionReason).toContain('healthy')
  })

  test('running every job again changes nothing', async () => {
    const consent = await world.addConsent({ expiresAt: inDays(10) })
    await world.drain()
    const mails = world.mailsTo(consent).length
    const links = world.simulator.ledger.count({ what: 'reauthuri', credentials_id: consent.credentialsId })
    const { jobs } = world
    const run = { manual: true, isLastTry: true, signal: new AbortController().signal }
    const said = await jobs.consent(consent.id, run)
    expect(said.kind).toBe('skipped')
    for (const { id } of await world.notificationsOf(consent.id))
      expect(await jobs.notification(id, run)).toEqual({ kind: 'skipped', reason: 'the message is sent' })
    for (const { id } of await world.authorisationsOf(consent.id))
      expect((await jobs.authorisation(id, { ...run, manual: true })).kind).toBe('skipped')
    expect(world.mailsTo(consent)).toHaveLength(mails)
    expect(world.simulator.ledger.count({ what: 'reauthuri', credentials_id: consent.credentialsId })).toBe(links)
  })

  test('past grace: lapsed, and nothing is sent', async () => {
    const consent = await world.addConsent({ expiresAt: inDays(-91) })
    await world.drain()
    expect((await world.consentOf(consent.id)).status).toBe('lapsed')
    expect(world.mailsTo(consent)).toHaveLength(0)
  })

  test('a bank that reauth does not support is closed as unsupported, with an event', async () => {
    const consent = await world.addConsent({ expiresAt: inDays(5), providerId: 'xs2a-sparkasse', country: 'DE' })
    await world.drain()
    expect((await world.consentOf(consent.id)).status).toBe('unsupported')
    expect((await world.eventsOf(consent.id)).map(({ type }) => type)).toEqual(['consent.unsupported'])
  })

  test('denied at the bank: open, no second message, the ladder goes on', async () => {
    const consent = await world.addConsent({ expiresAt: inDays(10) })
    await world.drain()
    await world.goToBank(consent.id, 'deny')
    await world.drain()
    expect((await world.authorisationsOf(consent.id)).map(({ status }) => status)).toEqual(['refused'])
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'active', cycle: 1 })
    expect(world.mailsTo(consent)).toHaveLength(1)
  })

  test('another user approved: nothing of ours changes, the user is told and asked again', async () => {
    const consent = await world.addConsent({ expiresAt: inDays(10) })
    await world.drain()
    const token = await world.tokenOf(consent.id)
    await world.goToBank(consent.id, 'somebody-else')
    await world.drain()
    expect((await world.authorisationsOf(consent.id)).map(({ status }) => status)).toContain('mismatched')
    expect(await world.tokenOf(consent.id)).toBe(token)
    expect((await world.notificationsOf(consent.id)).map(({ rung, situation }) => [rung, situation])).toEqual([
      ['-14d', 'reminder'],
      ['again-1', 'other-account'],
    ])
    expect(world.mailsTo(consent)).toHaveLength(2)
  })

  test('the third time another user approves, the consent is quarantined', async () => {
    const consent = await world.addConsent({ expiresAt: inDays(10) })
    for (let time = 0; time < 3; time += 1) {
      await world.drain()
      await world.goToBank(consent.id, 'somebody-else')
    }
    await world.drain()
    expect((await world.consentOf(consent.id)).status).toBe('quarantined')
    expect(world.mailsTo(consent)).toHaveLength(3)
  })
})
