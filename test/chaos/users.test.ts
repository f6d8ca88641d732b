// The run's users against this test's own web server: mail scanners fetch a link before its user does, and only pages
// that came are counted.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { DateTime } from 'luxon'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../simulator/src/start-simulator.ts'
import { smtpChannel } from '../../src/notify/email/smtp-channel.ts'
import { Secret } from '../../src/secret.ts'
import type { User } from './population.ts'
import { seededChance } from './seeded.ts'
import { makeCrowd } from './users.ts'
import { atOnce } from '../setup/handovers.ts'

const user: User = {
  no: 1,
  credentialsId: 'connection',
  email: 'a@planted.example',
  kind: 'renews',
  refreshToken: 'token',
  expiresAt: DateTime.utc(),
  switches: {},
}
const requests: string[] = []
/** What the first requests get: no answer at all, or a 503 page. */
const failures = ['cut', 503]
const server = createServer((request, reply) => {
  requests.push(request.method ?? '')
  const failure = failures.shift()
  if (failure === 'cut') return void request.socket.destroy()
  if (request.method === 'POST') return void reply.writeHead(303, { location: request.url }).end()
  return void reply.writeHead(failure === 503 ? 503 : 200).end('a page')
})
let simulator: Simulator

beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  simulator = await startSimulator({
    clientId: 'client',
    clientSecret: 'secret',
    redirectUris: ['http://127.0.0.1:1/callback'],
  })
})
afterAll(async () => {
  server.close()
  await simulator.close()
})

test('a scanner gets the page three times before the user comes; a fetch that failed is counted apart', async () => {
  const publicUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const link = `${publicUrl}/r/token`
  const channel = smtpChannel({
    smtpUrl: new Secret(simulator.smtpUrl),
    from: 'Brightside <consents@example.com>',
    timeouts: { connectMs: 15_000, silenceMs: 60_000, totalMs: 120_000 },
  })
  const crowd = makeCrowd(
    { simulator, clock: simulator.clock, publicUrl } as unknown as Parameters<typeof makeCrowd>[0],
    [user],
    seededChance(1),
  )
  crowd.start()
  const mail = {
    to: user.email,
    subject: 'Renew',
    text: link,
    html: `<a href="${link}">renew</a>`,
    messageId: 'one@example.com',
    locale: 'en',
  }
  const sent = await channel.send(mail, atOnce)
  expect(sent).toEqual({ kind: 'sent' })
  await expect.poll(() => crowd.attempts.length).toBe(1)
  expect(crowd.attempts).toMatchObject([{ got: 'nothing to do' }])
  expect(requests).toEqual(['GET', 'GET', 'GET', 'GET', 'GET', 'GET', 'POST'])
  expect(crowd.counts).toMatchObject({ scans: 3, scansFailed: 2, visits: 1 })
  expect([...crowd.scannedBefore]).toEqual([[link, 3]])
  await crowd.stop()
})
