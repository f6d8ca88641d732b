import { afterAll } from 'vitest'
import { Secret } from '../../src/secret.ts'
import { startOwnRedis } from '../setup/redis.ts'
import type { OwnRedis } from '../setup/redis.ts'
import { queueContract } from './contract.ts'
import { aPrefix } from './setup.ts'

let redis: OwnRedis
afterAll(() => redis.stop())

// A server for this file alone, because the tests kill it and start it again.
queueContract('Redis', async () => {
  redis = await startOwnRedis()
  return {
    place: async () => ({ target: { kind: 'redis', url: new Secret(redis.url) }, prefix: aPrefix() }),
    cutOff: async () => {
      await redis.kill()
      return () => redis.start()
    },
    breakConnections: async () => {
      await redis.kill()
      await redis.start()
    },
  }
})
