// What one renewal may ask of the database, stage by stage, counted on the wire: so that it cannot creep up. The
// numbers are exact: whoever saves a statement lowers them.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type StatementCounter, startStatementCounter } from '../setup/statement-counter.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'

let world: World
let counter: StatementCounter
beforeAll(async () => {
  const through = async (url: string): Promise<string> => {
    counter = await startStatementCounter(url)
    return counter.url
  }
  world = await startWorld({ through })
})
afterAll(async () => {
  await world.close()
  await counter.close()
})

/** Asked once a second at most, however many renewals there are: whether a circuit is open, and of the hour's cap. */
const isShared = (text: string): boolean => /FROM open_circuits|SELECT used, repeated FROM message_hours/.test(text)

test('a renewal on its straight way asks so much and no more', async () => {
  const asked: Record<string, readonly [statements: number, commits: number]> = {}
  const total = { statements: 0, commits: 0 }
  const stage = async <Result>(name: string, work: () => Promise<Result>): Promise<Result> => {
    counter.take()
    const result = await work()
    const taken = counter.take()
    const shared = taken.statements.filter(isShared).length
    const [statements, commits] = [taken.statements.length - shared, taken.commits - shared]
    asked[name] = [statements, commits]
    total.statements += statements
    total.commits += commits
    return result
  }
  const renewOnce = async ({ late }: { late: boolean }): Promise<string> => {
    const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }) })
    await stage('link and message', async () => world.jobs.consent(consent.id, aRun()))
    const [message] = await world.notificationsOf(consent.id)
    await stage('mail', async () => world.jobs.notification(message?.id ?? '', aRun()))
    const token = await world.startToken(consent.id)
    // The link that was made with the message is too old by then, and another one is made for the press.
    if (late) world.clock.advance(world.policy.link.freshFor)
    await stage('start page', async () => world.lookAt(token))
    const link = await stage('button', async () => world.leaveBy(token))
    const played = await world.simulator.play({ link, as: 'approve' })
    const answer = await stage('callback', async () => world.receive(world.toCallback(played)))
    const id = answer.kind === 'accepted' ? answer.authorisationId : ''
    await stage('exchange and proof', async () => world.jobs.authorisation(id, aRun()))
    return consent.id
  }
  // The first one opens the connections.
  await renewOnce({ late: true })
  expect(asked['button']).toEqual([2, 2])
  total.statements = 0
  total.commits = 0
  const id = await renewOnce({ late: false })
  expect((await world.consentOf(id)).cycle).toBe(2)
  expect(asked).toEqual({
    'link and message': [2, 2],
    mail: [3, 3],
    'start page': [1, 1],
    button: [2, 2],
    callback: [2, 2],
    'exchange and proof': [4, 4],
  })
  expect(total).toEqual({ statements: 14, commits: 14 })
})
