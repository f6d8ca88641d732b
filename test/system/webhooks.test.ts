// Webhooks by real processes: with the application's own role, killed between sending and recording, and without their
// database for a while.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { type FaultProxy, startFaultProxy } from '../chaos/fault-proxy.ts'
import { cli, runHere } from '../commands/reconsent.ts'
import { appendEvent } from '../setup/append-event.ts'
import { startCompany } from '../setup/company.ts'
import { createDatabase } from '../setup/database.ts'
import { freePort } from '../setup/free-port.ts'
import { asOwner, createAppRole } from '../setup/roles.ts'
import { type Receiver, startReceiver, status, verified } from '../webhooks/receiver.ts'

let ownerUrl: string
let proxy: FaultProxy
let company: Awaited<ReturnType<typeof startCompany>>
let receiver: Receiver
let secret: string
const children: ChildProcess[] = []

beforeAll(async () => {
  ownerUrl = await createDatabase()
  const target = Number(new URL(ownerUrl).port)
  proxy = await startFaultProxy({ targets: () => [target] })
  // No process of its own: the test starts real ones.
  company = await startCompany({ queue: 'redis', processes: [], databaseUrl: await createAppRole(ownerUrl) })
  receiver = await startReceiver()
  const added = await runHere(['webhooks', 'add', receiver.url, '--json'], company.env)
  ;({ secret } = JSON.parse(added.stdout) as { secret: string })
})
beforeEach(() => {
  receiver.received.length = 0
  receiver.answer = status(204)
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await receiver.close()
  await company.stop()
  await proxy.close()
})

const startProcess = async (through: 'directly' | 'by the proxy' = 'directly'): Promise<ChildProcess> => {
  const policy = join(await mkdtemp(join(tmpdir(), 'reconsent-webhooks-')), 'policy.json')
  await writeFile(policy, JSON.stringify({ company: { name: 'Brightside' } }))
  const database = new URL(company.env.DATABASE_URL)
  if (through === 'by the proxy') database.port = String(proxy.port)
  const env = {
    PATH: process.env['PATH'],
    ...company.env,
    DATABASE_URL: database.href,
    RECONSENT_CONFIG: policy,
    PORT: String(await freePort()),
  }
  const child = spawn(process.execPath, [cli, 'start', '--roles', 'worker,scheduler'], { env, stdio: 'ignore' })
  children.push(child)
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

const aConsent = async () => {
  const consent = await company.addConsent({ expiresAt: company.clock.now().plus({ days: 80 }) })
  return { consent, happens: async (type: 'consent.renewed' | 'token.replaced') => happens(consent.id, type) }
}
const happens = async (consentId: string, type: 'consent.renewed' | 'token.replaced'): Promise<void> =>
  company.db.transaction(async (tx) =>
    appendEvent(tx, consentId, { type, at: company.clock.now(), actor: 'system', data: {} }),
  )
/** As time would, a minute later. */
const endLeases = async (): Promise<unknown> => asOwner(ownerUrl, 'UPDATE webhook_endpoints SET lease_until = NULL')

test('a process that is killed before it has the answer: another sends it again, under the same id', async () => {
  const { happens: next, consent } = await aConsent()
  await next('consent.renewed')
  const child = await startProcess()
  // No answer ever reaches the process.
  receiver.answer = () => void child.kill('SIGKILL')
  await expect.poll(() => receiver.received.length).toBe(1)
  await expect.poll(() => child.exitCode ?? child.signalCode).toBe('SIGKILL')
  receiver.answer = status(204)
  await endLeases()
  await startProcess()
  await expect.poll(() => receiver.received.length).toBe(2)
  const [first, again] = receiver.received
  expect([again?.id, again?.body]).toEqual([first?.id, first?.body])
  expect(verified(again!, secret)).toMatchObject({ data: { credentials_id: consent.credentialsId } })
  const behind = async () => (await runHere(['webhooks', 'list', '--json'], company.env)).stdout
  await expect.poll(behind).toContain('"behind": 0')
})

test('the database is away for a while: nothing is lost, and each consent keeps its order', async () => {
  await startProcess('by the proxy')
  const { happens: next, consent } = await aConsent()
  await next('token.replaced')
  await expect.poll(() => receiver.sequencesOf(consent.id).length).toBe(1)
  // The result of what is sent now cannot be recorded.
  let outages = 0
  receiver.answer = (response, received) => {
    outages += 1
    const isFirst = outages === 1
    void (isFirst ? proxy.set({ kind: 'refuse' }) : Promise.resolve()).then(() => status(204)(response, received))
  }
  await next('token.replaced')
  await expect.poll(() => outages).toBe(1)
  await next('consent.renewed')
  await proxy.set({ kind: 'pass' })
  await endLeases()
  await expect.poll(() => receiver.sequencesOf(consent.id).at(-1)).toBe(4)
  const sequences = receiver.sequencesOf(consent.id)
  expect([...new Set(sequences)]).toEqual([2, 3, 4])
  expect(sequences).toEqual(sequences.toSorted((one, other) => one - other))
})
