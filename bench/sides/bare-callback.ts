// The side `bare`: the least that takes a callback durably. One row is committed for each, before the answer.
import pg from 'pg'
import { runSide } from './order.ts'
import { servePages } from './pages.ts'
import { hashOf } from './provider.ts'

const CONNECTIONS = 10
// Named, so that the server parses and plans it once for every connection.
const taken = { name: 'taken', text: 'INSERT INTO callbacks (state_hash, code, at) VALUES ($1, $2, now())' }

await runSide(async (order) => {
  const pool = new pg.Pool({ connectionString: order.databaseUrl, max: CONNECTIONS })
  const pages = await servePages(order, {
    findRenewal: async () => undefined,
    takeCode: async (state, code) => (await pool.query({ ...taken, values: [hashOf(state), code] })).rowCount === 1,
  })
  return {
    stop: async () => {
      await pages.close()
      await pool.end()
    },
  }
})
