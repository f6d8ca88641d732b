// The side `reconsent`: the composition root with all roles in one process, as `npx reconsent start` runs it, or with
// the roles that are named as arguments. Its queue is on Redis if the order names one, else on PostgreSQL.
import { configFor } from './reconsent-config.ts'
import { makeLog } from '../../src/log.ts'
import { roles, startReconsent } from '../../src/main.ts'
import { runSide } from './order.ts'

const named = process.argv.slice(2)

await runSide(async (order) => {
  const config = await configFor(order)
  const wanted = roles.filter((role) => named.length === 0 || named.includes(role))
  const { stop } = await startReconsent({ config, roles: wanted, log: makeLog({ level: config.logLevel }) })
  return { stop }
})
