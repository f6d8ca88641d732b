// Exchanging a code: every answer that the provider can give, and how often its ledger says that the code was sent.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { aRun, startWorld, type World } from '../setup/world.ts'
import {
  advance,
  authorisation,
  bringUpToDate,
  daysLeft,
  eventTypes,
  fault,
  NOBODY,
  providerAt,
  restoreProvider,
  rungsSent,
  seen,
  withCode,
} from './rig.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())
afterEach(async () => restoreProvider(world))

/** Whole seconds from the last exchange call to the next one. */
const secondsUntil = async (id: string): Promise<number> => {
  const { nextActionAt, exchangeStartedAt } = await authorisation(world, id)
  return nextActionAt === null || exchangeStartedAt === null
    ? Number.NaN
    : Math.floor((nextActionAt.getTime() - exchangeStartedAt.getTime()) / 1000)
}

describe('an answer with tokens', () => {
  test('renews: one exchange, one /me, then the code and all other secrets are deleted', async () => {
    const { consent, codeId } = await withCode(world)
    expect(await advance(world)(codeId, aRun())).toMatchObject({
      kind: 'done',
      what: expect.stringContaining('renewed until'),
    })
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
    expect(seen(world, consent, 'refresh')).toEqual([])
    const row = await authorisation(world, codeId)
    expect(row).toMatchObject({
      status: 'renewed',
      code: null,
      verifier: null,
      link: null,
      accessToken: null,
      nextActionAt: null,
    })
    expect(await daysLeft(world, consent.id)).toBe(90)
  })

  test('running it twice acts once', async () => {
    const { consent, codeId } = await withCode(world)
    await advance(world)(codeId, aRun())
    for (const manual of [false, true]) {
      expect(await advance(world)(codeId, aRun({ manual }))).toEqual({
        kind: 'skipped',
        reason: 'the authorisation is renewed',
      })
    }
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
    expect((await world.renewalsOf(consent.id)).map(({ status }) => status)).toEqual(['renewed'])
  })

  test('two workers at once: one sends, the other hears that another worker holds the record', async () => {
    const { consent, codeId } = await withCode(world)
    const said: string[] = []
    // The second one comes while the first one is at the provider.
    const provider: World['provider'] = {
      ...world.provider,
      exchangeCode: async (...args) => {
        said.push((await advance(world)(codeId, aRun())).kind)
        return world.provider.exchangeCode(...args)
      },
    }
    said.push((await advance(world, { provider })(codeId, aRun())).kind)
    expect(said).toEqual(['snooze', 'done'])
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
  })

  test('without a refresh token: the stored one is kept', async () => {
    const { consent, codeId } = await withCode(world)
    const before = await world.tokenOf(consent.id)
    world.simulator.switches.set({ return_refresh_token: false })
    await advance(world)(codeId, aRun())
    expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 2, tokenVersion: 1 })
    expect(await world.tokenOf(consent.id)).toBe(before)
  })

  test('with a rotated refresh token: the new one is stored, with an event, and works for the next link', async () => {
    const { consent, codeId } = await withCode(world)
    const before = await world.tokenOf(consent.id)
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-reauth' })
    await advance(world)(codeId, aRun())
    expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 2, tokenVersion: 2 })
    expect(await world.tokenOf(consent.id)).not.toBe(before)
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
    expect(await eventTypes(world, consent.id)).toContain('token.replaced')
  })
})

describe('certainly not processed: sent again while the code is valid, five minutes', () => {
  test('429 without Retry-After, twice: again after two, then four seconds', async () => {
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'rate-limited', count: 2 })
    expect(await advance(world)(codeId, aRun())).toMatchObject({
      kind: 'snooze',
      reason: expect.stringContaining('provider-rate-limited'),
    })
    expect(await secondsUntil(codeId)).toBe(2)
    expect(await authorisation(world, codeId)).toMatchObject({
      status: 'code_received',
      errorCode: 'provider-rate-limited',
    })
    // A job that runs early only says when the code is due; it does not send the code.
    expect(await advance(world)(codeId, aRun())).toMatchObject({ kind: 'snooze', reason: 'code_received: not due yet' })
    world.clock.advance({ seconds: 3 })
    await advance(world)(codeId, aRun())
    expect(await secondsUntil(codeId)).toBe(4)
    world.clock.advance({ seconds: 5 })
    await advance(world)(codeId, aRun())
    expect(seen(world, consent, 'exchange')).toEqual(['not-processed', 'not-processed', 'ok'])
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })

  test('429 with Retry-After: not before that time is over', async () => {
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'rate-limited', retry_after: 90 })
    await advance(world)(codeId, aRun())
    expect(await secondsUntil(codeId)).toBe(90)
    world.clock.advance({ seconds: 91 })
    await advance(world)(codeId, aRun())
    expect(seen(world, consent, 'exchange')).toEqual(['not-processed', 'ok'])
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })

  test('429 with a Retry-After beyond the code’s expiry: the user is asked again at that expiry', async () => {
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'rate-limited', retry_after: 3600 })
    await advance(world)(codeId, aRun())
    expect(await secondsUntil(codeId)).toBeLessThanOrEqual(5 * 60)
    world.clock.advance({ minutes: 5 })
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'refused', errorCode: 'code-too-old' })
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', 'again-1 sent'])
  })

  test('a refused connection: nothing was sent; it is sent when the provider is available again', async () => {
    const { consent, codeId } = await withCode(world)
    const said = await advance(world, { provider: providerAt(world, { url: NOBODY }) })(codeId, aRun())
    expect(said).toMatchObject({ kind: 'snooze', reason: expect.stringContaining('provider-unreachable') })
    world.clock.advance({ seconds: 3 })
    await advance(world)(codeId, aRun())
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })

  test('invalid_client for a while, after a change of secret: the code is kept and sent', async () => {
    const { consent, codeId } = await withCode(world)
    world.simulator.switches.set({ invalid_client_until: world.clock.now().plus({ seconds: 40 }).toISO() })
    for (let time = 0; time < 4; time += 1) {
      await advance(world)(codeId, aRun())
      expect(await authorisation(world, codeId)).toMatchObject({
        status: 'code_received',
        errorCode: 'client-rejected',
      })
      world.clock.advance({ seconds: (await secondsUntil(codeId)) + 1 })
    }
    world.clock.advance({ seconds: 20 })
    await advance(world)(codeId, aRun())
    expect(seen(world, consent, 'exchange')).toEqual([
      'invalid_client',
      'invalid_client',
      'invalid_client',
      'invalid_client',
      'ok',
    ])
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })

  test('a code that could not be sent before it expired is refused unsent, and the user asked again', async () => {
    const { consent, codeId } = await withCode(world)
    world.clock.advance({ minutes: 5, seconds: 1 })
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({
      status: 'refused',
      errorCode: 'code-too-old',
      code: null,
      verifier: null,
    })
    expect(seen(world, consent, 'exchange')).toEqual([])
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', 'again-1 sent'])
    expect((await world.notificationsOf(consent.id)).at(-1)?.situation).toBe('asked-again')
  })
})

describe('refused by the provider: the user is asked again, once', () => {
  const refusals = {
    'a verifier that does not match (invalid_grant)': { switches: {}, spoil: true, code: 'grant-refused' },
    'a code that was too short-lived (invalid_authorization_code)': {
      switches: { code_life_seconds: 0 },
      spoil: false,
      code: 'code-refused',
    },
  }
  test.each(Object.entries(refusals))('%s', async (_, { switches, spoil, code }) => {
    const { consent, codeId } = await withCode(world)
    world.simulator.switches.set(switches)
    if (spoil) {
      const other = world.vault.seal(await verifierOf(), {
        table: 'authorisations',
        column: 'verifier',
        rowId: codeId,
        version: 1,
      })
      await world.db.prisma.authorisation.update({ where: { id: codeId }, data: { verifier: other } })
    } else world.clock.advance({ seconds: 1 })
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({
      status: 'refused',
      errorCode: code,
      code: null,
      verifier: null,
      nextActionAt: null,
    })
    expect(seen(world, consent, 'exchange')).toHaveLength(1)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', 'again-1 sent'])
    expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 1, status: 'active' })
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toHaveLength(2)
  })
})

const verifierOf = async () => (await import('../../src/crypto/hashing.ts')).newVerifier()
