// A database role for the application alone, as an operator makes it; roles belong to the whole server, so each role
// has a unique name.
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { prepareQueueSchema, QUEUE_SCHEMA } from '../../src/queue/postgres-schema.ts'
import { Secret } from '../../src/secret.ts'
import { grantRights } from '../../src/store/rights.ts'

/** Creates a role without any rights; returns the database's address with this role. */
export const createRole = async (ownerUrl: string): Promise<string> => {
  const name = `app_${randomBytes(6).toString('hex')}`
  await asOwner(ownerUrl, `CREATE ROLE ${name} LOGIN PASSWORD 'of-tests'`)
  const url = new URL(ownerUrl)
  url.username = name
  url.password = 'of-tests'
  return url.href
}

/** The same with the rights that `reconsent migrate` grants, including those on a queue in PostgreSQL. */
export const createAppRole = async (ownerUrl: string): Promise<string> => {
  const appUrl = await createRole(ownerUrl)
  await prepareQueueSchema(new Secret(ownerUrl))
  await grantRights({ ownerUrl, appUrl, queueSchema: QUEUE_SCHEMA })
  return appUrl
}

/** Runs the statements in turn on a separate connection. */
export const asOwner = async (url: string, ...statements: string[]): Promise<pg.QueryResult> => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    let last: pg.QueryResult | undefined
    for (const statement of statements) last = await client.query(statement)
    return last as pg.QueryResult
  } finally {
    await client.end()
  }
}
