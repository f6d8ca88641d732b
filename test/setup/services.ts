// Starts the real services that the tests need, once per run: PostgreSQL (embedded, or TEST_DATABASE_URL) and Redis.
import type { TestProject } from 'vitest/node'
import pg from 'pg'
import { startEmbeddedPostgres } from '../../simulator/embedded/postgres.ts'
import { migrate } from '../../src/store/migrate.ts'
import { startRedis } from './redis.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The server's administrative database; tests create their own by `createDatabase`. */
    postgresUrl: string
    redisUrl: string
  }
}

export const TEMPLATE = 'reconsent_template'

export default async (project: TestProject): Promise<() => Promise<void>> => {
  const own = process.env['TEST_DATABASE_URL']
  const [postgres, redis] = await Promise.all([
    own === undefined ? startEmbeddedPostgres() : { url: own, stop: async () => undefined },
    startRedis(),
  ])
  const admin = new pg.Client({ connectionString: postgres.url })
  await admin.connect()
  await admin.query(`DROP DATABASE IF EXISTS ${TEMPLATE}`)
  await admin.query(`CREATE DATABASE ${TEMPLATE}`)
  await admin.end()
  const template = new URL(postgres.url)
  template.pathname = `/${TEMPLATE}`
  await migrate(template.href)
  project.provide('postgresUrl', postgres.url)
  project.provide('redisUrl', redis.url)
  return async () => {
    await redis.stop()
    await postgres.stop()
  }
}
