// Starting, closing, the clock, and the rule that makes the simulator a judge: it does not use Reconsent's code.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { DateTime } from 'luxon'
import { expect, test } from 'vitest'
import { movableClock, readDuration, readInstant } from '../../simulator/src/clock.ts'
import { kindNames } from '../../simulator/src/fault-kinds.ts'
import { startSimulator } from '../../simulator/src/start-simulator.ts'
import { switchNames } from '../../simulator/src/switches.ts'
import { REDIRECT, START, aConnection, aSimulator, get } from './a-simulator.ts'

const options = { clientId: 'c', clientSecret: 's', redirectUris: [REDIRECT] }

test('it closes at once, twice without harm, and leaves its ports free', async () => {
  const first = await startSimulator(options)
  await get(`${first.url}/_control`)
  await Promise.all([first.close(), first.close()])
  const again = await startSimulator({
    ...options,
    port: Number(new URL(first.url).port),
    smtpPort: Number(new URL(first.smtpUrl).port),
  })
  expect([again.url, again.smtpUrl]).toEqual([first.url, first.smtpUrl])
  await again.close()
})

test.each(['url', 'smtpUrl'] as const)('a taken port (%s) is an error, and nothing stays open', async (which) => {
  const first = await aSimulator()
  const port = Number(new URL(first[which]).port)
  await expect(startSimulator({ ...options, [which === 'url' ? 'port' : 'smtpPort']: port })).rejects.toThrow(
    /EADDRINUSE/,
  )
})

test('wrong options are refused with their names', async () => {
  await expect(startSimulator({ ...options, clientId: '' })).rejects.toThrow(/^clientId: /)
  await expect(startSimulator({ ...options, redirectUris: ['x'] })).rejects.toThrow(/^redirectUris\.0: /)
  await expect(startSimulator({ ...options, prot: 1 } as typeof options)).rejects.toThrow(
    /unknown option "prot" \(known: host, port,/,
  )
  await expect(startSimulator({ ...options, switches: { nope: 1 } as object })).rejects.toThrow(/unknown switch "nope"/)
})

test('the clock runs from where it was set', async () => {
  const clock = movableClock(START)
  const before = clock.now()
  await new Promise((resolve) => setImmediate(resolve))
  expect(clock.now() >= before).toBe(true)
  expect(clock.now().diff(START, 'seconds').seconds).toBeLessThan(5)
  clock.advance({ days: 90 })
  expect(clock.now().toISODate()).toBe('2026-05-31')
  clock.set(START.minus({ years: 1 }))
  expect(clock.now().year).toBe(2025)
  expect(Math.abs(movableClock().now().diff(DateTime.utc(), 'seconds').seconds)).toBeLessThan(1)
})

test('a shared clock moves the simulator too', async () => {
  const clock = movableClock(START)
  const simulator = await aSimulator({ clock })
  clock.advance({ days: 1 })
  expect((await get(`${simulator.url}/_control/clock`)).body.now.slice(0, 10)).toBe('2026-03-03')
})

test('durations and instants are read strictly', () => {
  expect(
    ['90d', '12h', '10m', '30s', '-1d', 'P1D', '-P1D', 'PT5M'].map((text) => readDuration(text)?.as('minutes')),
  ).toEqual([129_600, 720, 10, 0.5, -1440, 1440, -1440, 5])
  expect(['', '5', 'd', '1w', '1.5h', 'P', 'PX', '99999999d'].map(readDuration)).toEqual(Array(8).fill(undefined))
  expect(readInstant('2026-11-23T09:00:00+01:00')?.toISO()).toBe('2026-11-23T08:00:00.000Z')
  expect(['2026-11-23', '2026-11-23T09:00:00', '2026-02-30T00:00:00Z', 'nowT:Z'].map(readInstant)).toEqual(
    Array(4).fill(undefined),
  )
})

test('seeding without an id, a token or a date creates them', async () => {
  const simulator = await aSimulator()
  const connection = simulator.seedConnection({ providerId: 'uk-ob-x', country: 'GB', redirectUri: REDIRECT })
  expect(connection).toMatchObject({
    credentialsId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    refreshToken: expect.any(String),
    bank: { displayName: 'uk-ob-x' },
  })
  const { dates } = aConnection(simulator, { consentedAt: undefined, expiresAt: START.plus({ days: 3 }) })
  expect(dates.createdAt).toEqual(START.minus({ days: 87 }))
  expect(() => aConnection(simulator, { credentialsId: connection.credentialsId })).toThrow(/already there/)
})

test('the simulator imports packages and its own files, nothing of Reconsent', () => {
  const folder = join(import.meta.dirname, '../../simulator/src')
  for (const file of readdirSync(folder)) {
    const imports = [...readFileSync(join(folder, file), 'utf8').matchAll(/from '(\.[^']*)'/g)].map(([, path]) => path)
    expect(imports.filter((path) => !path?.startsWith('./'))).toEqual([])
  }
})

test('the documentation names every switch and every fault', () => {
  const text = readFileSync(join(import.meta.dirname, '../../simulator/README.md'), 'utf8')
  expect([...switchNames, ...kindNames].filter((name) => !text.includes(`\`${name}\``))).toEqual([])
})
