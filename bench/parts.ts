// Measures two parts of Reconsent by themselves, without provider, mail and users: `npm run bench:parts [-- --consents
// 5000 --rounds 3]`.
//   dispatch   rows per second that a sweep dispatches when it need not wait for another process
//   sequence   events per second that get their place in the feed when many were committed at once
import { DateTime, Duration } from 'luxon'
import { makeVault } from '../src/crypto/vault.ts'
import { placeEvents } from '../src/processors/place-events.ts'
import { openStore } from '../src/store/open-store.ts'
import { startDatabaseServer } from './database.ts'
import { readWords, wholeNumber } from './options.ts'
import { makeConsents } from './population.ts'
import { runProgram } from './program.ts'
import { orderForNobody } from './sides/order.ts'
import { configFor } from './sides/reconsent-config.ts'
import { fillReconsent } from './sides/reconsent-database.ts'
import { spreadOf } from './statistics.ts'

const USAGE = `npm run bench:parts -- [options]
  --consents N    consents that are due, and whose events wait for their place (5000)
  --rounds N      rounds, each in a fresh database (3)`

const secondsOf = async (work: () => Promise<unknown>): Promise<number> => {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1_000
}

const measure = async (consents: number, rounds: number): Promise<void> => {
  const server = await startDatabaseServer()
  const dispatched: number[] = []
  const placed: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const database = await server.create()
    const order = orderForNobody(database.url)
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

await runProgram(USAGE, async () => {
  const { values } = readWords({
    options: { consents: { type: 'string', default: '5000' }, rounds: { type: 'string', default: '3' } },
  })
  await measure(wholeNumber('consents', values.consents, 1), wholeNumber('rounds', values.rounds, 1))
})
