import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeVault } from '../../src/crypto/vault.ts'
import { type Complaint, importConsents, type ImportCounts } from '../../src/import/import-consents.ts'
import { readRows } from '../../src/import/read-rows.ts'
import { Secret } from '../../src/secret.ts'
import { imports } from '../../src/store/import.ts'
import { openStore } from '../../src/store/open-store.ts'
import { aPolicy } from '../builders.ts'
import { ringOf } from '../crypto/keys.ts'
import { createDatabase } from '../setup/database.ts'
import { aLine, ndjson, NOW } from './rows.ts'
import { planting } from '../setup/plant.ts'

let opened: ReturnType<typeof openStore>
beforeAll(async () => {
  opened = openStore({
    url: new Secret(await createDatabase()),
    vault: makeVault({ keys: ringOf('k1') }),
    connections: 4,
  })
})
afterAll(async () => opened.close())

const importing = (options: { batchSize?: number; onProgress?: (counts: ImportCounts) => void } = {}) => {
  const bad: Complaint[] = []
  const warnings: Complaint[] = []
  const run = importConsents({
    store: imports(opened.db, aPolicy()),
    clock: { now: () => NOW },
    httpsOnly: true,
    onBad: (complaint) => bad.push(complaint),
    onWarning: (complaint) => warnings.push(complaint),
    ...options,
  })
  return { bad, warnings, run: async (text: string) => run(readRows(pieces(text), undefined)) }
}
async function* pieces(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text)
}

test('good rows are stored whatever the others are; each bad row is reported with its line and problems', async () => {
  const { run, bad, warnings } = importing()
  const lines = [
    aLine(),
    aLine({ user_id: undefined, country: 'Mars' }),
    aLine({ email: 'nobody', timezone: 'Europe/London' }),
    aLine({ timezone: 'UTC' }),
  ]
  const counts = await run(`${ndjson(lines)}not json\n${ndjson([aLine()])}`)
  expect(counts).toMatchObject({ rows: 6, created: 4, bad: 2, warnings: 2, unchanged: 0 })
  expect(bad).toEqual([
    { line: 2, what: 'country: is not a country code such as GB; user_id: is missing' },
    { line: 5, what: 'is not valid JSON' },
  ])
  expect(warnings.map(({ line, what }) => `${line} ${what}`)).toEqual([
    '3 timezone: is not a field of an import, ignored; did you mean time_zone?',
    '3 email: is not a usable address (it has no @), left out; without one the consent has no channel',
  ])
})

test('a row that the store refuses is reported with its line, and does not stop its batch', async () => {
  const closed = aLine()
  await importing().run(ndjson([closed]))
  await planting(opened.db).consent.update({
    where: { credentialsId: String(closed['credentials_id']) },
    data: { status: 'revoked', nextActionAt: null },
  })
  const { run, bad } = importing()
  expect(
    await run(ndjson([aLine(), { ...closed, expires_at: NOW.plus({ days: 88 }).toISO() }, aLine()])),
  ).toMatchObject({ created: 2, bad: 1 })
  expect(bad).toEqual([{ line: 2, what: expect.stringContaining('closed as revoked') }])
})

test('the same file twice changes nothing the second time, in batches of any size', async () => {
  const text = ndjson(Array.from({ length: 23 }, () => aLine()))
  expect(await importing({ batchSize: 5 }).run(text)).toMatchObject({ created: 23 })
  expect(await importing({ batchSize: 7 }).run(text)).toMatchObject({
    unchanged: 23,
    created: 0,
    updated: 0,
    repaired: 0,
  })
})

describe('a large import', () => {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const heapInUse = (): number => {
    collectGarbage()
    return process.memoryUsage().heapUsed / 1_000_000
  }
  const ROWS = 16_000
  async function* manyRows(): AsyncGenerator<Buffer> {
    for (let index = 0; index < ROWS; index += 1) {
      yield Buffer.from(
        ndjson([
          aLine({
            credentials_id: `many-${index}`,
            user_id: `many-user-${index}`,
            expires_at: NOW.plus({ days: index % 90 }).toISO(),
          }),
        ]),
      )
    }
  }

  test(`of ${ROWS} rows takes no more memory at its end than at its beginning`, async () => {
    const heaps: number[] = []
    const { bad } = importing()
    const run = importConsents({
      store: imports(opened.db, aPolicy()),
      clock: { now: () => NOW },
      httpsOnly: true,
      onBad: (complaint) => bad.push(complaint),
      onWarning: () => undefined,
      onProgress: ({ rows }) => {
        if (rows % 2_000 === 0) heaps.push(heapInUse())
      },
    })
    const started = performance.now()
    expect(await run(readRows(manyRows(), 'ndjson'))).toMatchObject({ created: ROWS, bad: 0 })
    const perSecond = Math.round((ROWS * 1000) / (performance.now() - started))
    console.log(`${perSecond} rows a second; heap in MB: ${heaps.map((heap) => heap.toFixed(0)).join(' ')}`)
    // The first half warms up (compiled code, cached days of zones); the 8,000 rows of the second half would take some
    // 20 MB if they were kept.
    expect(Math.max(...heaps.slice(4))).toBeLessThan((heaps[3] ?? 0) + 8)
  }, 120_000)
})
