// The provider's answer to an exchange is kept whatever else goes wrong: the old token may be invalid already, and the
// provider does not issue the new one twice.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TransientError } from '../../src/errors.ts'
import { circuitBreaker } from '../../src/processors/circuit-breaker.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import { advance, silent, withCode, withStore } from './rig.ts'

let world: World
beforeEach(async () => {
  world = await startWorld({ switches: { rotate_refresh_tokens: 'always' } })
})
afterEach(async () => world.close())

const away = async (): Promise<never> => Promise.reject(new TransientError('database-unavailable'))

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
