// The side `reconsent`: the composition root with all roles in one process, as `npx reconsent start` runs it. Its queue
// is on Redis if the order names one, else on PostgreSQL.
import { configFor } from './reconsent-config.ts'
import { makeLog } from '../../src/log.ts'
import { roles, startReconsent } from '../../src/main.ts'
import { runSide } from './order.ts'

await runSide(async (order) => {
  const config = await configFor(order)
  const { stop } = await startReconsent({ config, roles, log: makeLog({ level: config.logLevel }) })
  return { stop }
})
