// The provider, the bank and the mail server, in a process of their own, so that their CPU is nobody else's. Tells the
// bench of each mail, as a mail programme tells its user.
import { setTimeout as wait } from 'node:timers/promises'
import { startSimulator } from '../simulator/src/start-simulator.ts'
import type { Arrived, FromSimulator, SimulatorOrder } from './simulator.ts'

const LOOKS_EVERY_MS = 20

const tell = (message: FromSimulator): void => void process.send?.(message)
const order = JSON.parse(process.env['BENCH_SIMULATOR'] ?? '') as SimulatorOrder
const simulator = await startSimulator({
  clientId: order.clientId,
  clientSecret: order.clientSecret,
  redirectUris: [order.redirectUri],
  switches: { rotate_refresh_tokens: 'on-reauth' },
})
if (order.latencyMs > 0)
  for (const endpoint of ['reauthuri', 'exchange', 'refresh', 'me'] as const)
    simulator.faults.add({ endpoint, kind: 'slow', ms: order.latencyMs })
tell({ kind: 'ready', url: simulator.url, smtpUrl: simulator.smtpUrl })

process.once('disconnect', () => process.exit())
let last = 0
for (;;) {
  const mails = simulator.mails({ after: last }).toReversed()
  last = mails.at(-1)?.id ?? last
  const arrived = mails.flatMap(({ links }): Arrived[] => {
    const link = links.find((one) => new URL(one).pathname.startsWith('/r/'))
    return link === undefined ? [] : [{ link }]
  })
  if (arrived.length > 0) tell({ kind: 'mails', arrived })
  await wait(LOOKS_EVERY_MS)
}
