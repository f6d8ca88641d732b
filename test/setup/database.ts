// A separate database for each test file, copied from the migrated template in some 50 ms.
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import { asOwner } from './roles.ts'

/** Creates an empty, migrated database and returns its address. */
export const createDatabase = async (): Promise<string> => {
  const url = new URL(inject('postgresUrl'))
  const name = `test_${randomBytes(6).toString('hex')}`
  const admin = new pg.Client({ connectionString: url.href })
  await admin.connect()
  try {
    // Copying locks the template: test files that start at the same time wait for one another here.
    await admin.query('SELECT pg_advisory_lock(1)')
    await admin.query(`CREATE DATABASE ${name} TEMPLATE reconsent_template`)
  } finally {
    await admin.end()
  }
  url.pathname = `/${name}`
  return url.href
}

/** Creates a database without any table and returns its address. */
export const createEmptyDatabase = async (): Promise<string> => {
  const url = new URL(inject('postgresUrl'))
  const name = `empty_${randomBytes(6).toString('hex')}`
  await asOwner(url.href, `CREATE DATABASE ${name}`)
  url.pathname = `/${name}`
  return url.href
}
