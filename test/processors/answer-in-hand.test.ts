// The provider's answer to an exchange is kept whatever else goes wrong: the old token may be invalid already, and the
// provider does not issue the new one twice.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TransientError } from '../../src/errors.ts'
import { circuitBreaker } from '../../src/processors/circuit-breaker.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import {
  advance,
  authorisation,
  bringUpToDate,
  endLease,
  eventTypes,
  fault,
  seen,
  silent,
  withCode,
  withStore,
} from './rig.ts'

let world: World
beforeEach(async () => {
  world = await startWorld({ switches: { rotate_refresh_tokens: 'always' } })
})
afterEach(async () => world.close())

const away = async (): Promise<never> => Promise.reject(new TransientError('database-unavailable'))

/** A store whose first call of this function is committed, and its acknowledgement lost. */
const unacknowledged = (
  call: 'storeTokenResponse' | 'storeRotated' | 'replacePendingToken' | 'requeueCode',
  meanwhile: () => Promise<unknown> = async () => undefined,
): World['store'] => {
  let isLost = false
  return withStore(world, {
    [call]: async (...args: unknown[]) => {
      const answer: unknown = await Reflect.apply(world.store[call], world.store, args)
      if (isLost) return answer
      isLost = true
      await meanwhile()
      return away()
    },
  })
}

const hasTheProvidersToken = async (consentId: string, credentialsId: string): Promise<void> =>
  expect(await world.tokenOf(consentId)).toBe(world.simulator.connection(credentialsId)?.refreshToken)

describe('the database is unavailable just when the circuit breaker notes what an answer says of the provider', () => {
  test('the tokens of a code are stored all the same', async () => {
    const { consent, codeId } = await withCode(world)
    const provider = circuitBreaker({
      provider: world.client,
      store: withStore(world, { closeCircuit: away, countFailure: away }),
      clock: world.clock,
      log: silent,
    })
    await advance(world, { provider })(codeId, aRun())
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
  })
})

describe('the acknowledgement of a commit is lost, and the write is repeated', () => {
  test.each(['never', 'on-reauth'] as const)(
    'of the tokens of a code, which rotate %s: recognised as stored, and proven in the same job',
    async (rotation) => {
      world.simulator.switches.set({ rotate_refresh_tokens: rotation })
      const { consent, codeId } = await withCode(world)
      const store = unacknowledged('storeTokenResponse')
      expect(await advance(world, { store })(codeId, aRun())).toMatchObject({ kind: 'done' })
      expect((await world.consentOf(consent.id)).cycle).toBe(2)
      await hasTheProvidersToken(consent.id, consent.credentialsId)
      const types = await eventTypes(world, consent.id)
      expect(types.filter((type) => type === 'authorisation.answered')).toHaveLength(1)
      expect(types).not.toContain('authorisation.in-doubt')
      expect([seen(world, consent, 'exchange'), seen(world, consent, 'refresh')]).toEqual([['ok'], []])
    },
  )

  test('of tokens whose owner nothing names: kept as pending once, and proven in the same job', async () => {
    world.simulator.switches.set({ access_token: 'opaque' })
    const { consent, codeId } = await withCode(world)
    await advance(world, { store: unacknowledged('storeTokenResponse') })(codeId, aRun())
    expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 2, tokenVersion: 2 })
    await hasTheProvidersToken(consent.id, consent.credentialsId)
    expect((await eventTypes(world, consent.id)).filter((type) => type === 'authorisation.answered')).toHaveLength(1)
    expect(seen(world, consent, 'refresh')).toEqual([])
  })

  test('the same, and another worker has rotated the pending token meanwhile: the newer one stays', async () => {
    world.simulator.switches.set({ access_token: 'opaque' })
    const { consent, codeId } = await withCode(world)
    const store = unacknowledged('storeTokenResponse', async () => {
      await endLease(world, 'authorisation', codeId)
      await world.db.prisma.authorisation.update({ where: { id: codeId }, data: { accessToken: null } })
      fault(world, consent, { endpoint: 'me', kind: 'error-json' })
      await advance(world)(codeId, aRun())
      expect(await authorisation(world, codeId)).toMatchObject({ status: 'in_doubt', tokenOwner: 'pending' })
    })
    await advance(world, { store })(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('in_doubt')
    expect((await world.store.readPendingToken(codeId))?.reveal()).toBe(
      world.simulator.connection(consent.credentialsId)?.refreshToken,
    )
    world.clock.advance({ hours: 1 })
    await bringUpToDate(world, consent.id)
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    await hasTheProvidersToken(consent.id, consent.credentialsId)
  })

  test('of a code that was not processed: it is due again, and sent again once', async () => {
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'rate-limited' })
    await advance(world, { store: unacknowledged('requeueCode') })(codeId, aRun())
    expect(await authorisation(world, codeId)).toMatchObject({
      status: 'code_received',
      pollCount: 1,
      leaseUntil: null,
    })
    world.clock.advance({ seconds: 3 })
    await bringUpToDate(world, consent.id)
    expect(seen(world, consent, 'exchange')).toEqual(['not-processed', 'ok'])
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })

  test('of a token that a settling refresh rotated: recognised as stored, and no second refresh', async () => {
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    await advance(world, { store: unacknowledged('storeRotated') })(codeId, aRun())
    expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 2, tokenVersion: 2 })
    await hasTheProvidersToken(consent.id, consent.credentialsId)
    expect((await eventTypes(world, consent.id)).filter((type) => type === 'token.replaced')).toHaveLength(1)
    expect(seen(world, consent, 'refresh')).toEqual(['ok'])
  })

  test('of a pending token that a settling refresh rotated: the same', async () => {
    world.simulator.switches.set({ access_token: 'opaque' })
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'me', kind: 'error-json' })
    await advance(world)(codeId, aRun())
    await world.db.prisma.authorisation.update({ where: { id: codeId }, data: { accessToken: null } })
    await advance(world, { store: unacknowledged('replacePendingToken') })(codeId, aRun({ manual: true }))
    expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 2, tokenVersion: 2 })
    await hasTheProvidersToken(consent.id, consent.credentialsId)
    expect(seen(world, consent, 'refresh')).toEqual(['ok'])
  })
})

test('tokens that come in a job’s last step are stored before the job gives up', async () => {
  const { consent, codeId } = await withCode(world)
  let calls = 0
  const store = withStore(world, {
    beginExchange: async (...args) => {
      calls += 1
      return calls < 20 ? undefined : world.store.beginExchange(...args)
    },
  })
  await expect(advance(world, { store })(codeId, aRun())).rejects.toThrow('without end')
  expect((await authorisation(world, codeId)).status).toBe('verifying')
  await hasTheProvidersToken(consent.id, consent.credentialsId)
  await advance(world)(codeId, aRun())
  expect((await world.consentOf(consent.id)).cycle).toBe(2)
  expect([seen(world, consent, 'exchange'), seen(world, consent, 'refresh')]).toEqual([['ok'], []])
})
