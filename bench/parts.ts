// Measures two parts of Reconsent by themselves, without provider, mail and users: `npm run bench:parts [-- --consents
// 5000 --rounds 3]`.
//   dispatch   rows per second that a sweep dispatches when it need not wait for another process
//   sequence   events per second that get their place in the feed when many were committed at once
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { DateTime, Duration } from 'luxon'
import { makeVault } from '../src/crypto/vault.ts'
import { placeEvents } from '../src/processors/place-events.ts'
import { openStore } from '../src/store/open-store.ts'
import { startDatabaseServer } from './database.ts'
import { UsageError, wholeNumber } from './options.ts'
import { makeConsents } from './population.ts'
import type { Order } from './sides/order.ts'
import { configFor } from './sides/reconsent-config.ts'
import { fillReconsent } from './sides/reconsent-database.ts'
import { spreadOf } from './statistics.ts'

const secondsOf = async (work: () => Promise<unknown>): Promise<number> => {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1_000
}

/** No part calls anybody: the addresses only have to be addresses. */
const orderFor = (databaseUrl: string): Order => ({
  databaseUrl,
  redisUrl: undefined,
  providerUrl: 'http://127.0.0.1:1',
  clientId: 'bench',
  clientSecret: 'bench-secret-of-nobody',
  smtpUrl: 'smtp://127.0.0.1:1',
  mailFrom: 'bench@example.com',
  port: 0,
  publicUrl: 'http://127.0.0.1:1',
  redirectUri: 'http://127.0.0.1:1/callback',
  encryptionKeys: `bench:${randomBytes(32).toString('base64')}`,
})

const measure = async (consents: number, rounds: number): Promise<void> => {
  const server = await startDatabaseServer()
  const dispatched: number[] = []
  const placed: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const database = await server.create()
    const order = orderFor(database.url)
    await fillReconsent(order, makeConsents(consents))
    const { database: settings, keys } = await configFor(order)
    const { store, db, close } = openStore({ url: settings.url, vault: makeVault({ keys }), connections: 5 })
    const hold = Duration.fromObject({ hours: 1 })
    const dispatchSeconds = await secondsOf(async () => {
      while ((await store.dispatchDue('consent', DateTime.utc(), 500, hold)).length > 0);
    })
    dispatched.push(consents / dispatchSeconds)
    const placeSeconds = await secondsOf(async () => placeEvents({ store })(new AbortController().signal))
    placed.push((await db.prisma.eventPosition.count()) / placeSeconds)
    await close()
    await database.drop()
  }
  await server.stop()
  for (const [what, numbers, unit] of [
    ['dispatch', dispatched, 'rows/s'],
    ['sequence', placed, 'events/s'],
  ] as const) {
    const { median, least, most } = spreadOf(numbers)
    console.log(`${what}: ${median.toFixed(0)} ${unit} (${least.toFixed(0)} to ${most.toFixed(0)})`)
  }
}

try {
  const { values } = parseArgs({
    options: { consents: { type: 'string', default: '5000' }, rounds: { type: 'string', default: '3' } },
  })
  await measure(wholeNumber('consents', values.consents, 1), wholeNumber('rounds', values.rounds, 1))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  console.error(error.message)
  process.exitCode = 2
}
