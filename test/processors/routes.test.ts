// A consent renewed by each route of the table, on real parts: the start page has the route's words, the database takes
// its records, its calls are counted, and the renewal is proven.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { routeNames, traitsOf } from '../../src/domain/routes.ts'
import { meteredProvider } from '../../src/meter.ts'
import { texts } from '../../src/texts/own-texts.ts'
import { fill } from '../../src/texts/text.ts'
import { startWeb, type Web } from '../http/web.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import { advance, askedConsent, bringUpToDate, codeOf } from './rig.ts'

describe.each(routeNames)('route %s', (route) => {
  const { bankRule, keepsConnection, exchangeCall } = traitsOf(route)
  let world: World
  let web: Web
  beforeAll(async () => {
    const providers = bankRule === undefined ? {} : { GB: { [bankRule]: 'yes' as const } }
    world = await startWorld({ policy: { routes: [route], providers } })
    web = await startWeb(world)
  })
  afterAll(async () => {
    await web.close()
    await world.close()
  })

  test('the start page says what the button leads to', async () => {
    const consent = await askedConsent(world)
    const { next, button } = texts.byLocale.en.pages.start.routes[route]
    const page = await web.get(`/r/${await world.startToken(consent.id)}`)
    const values = { company: world.policy.company.name, bank: consent.providerName ?? consent.providerId }
    expect(page.body).toContain(fill(next, values))
    expect(page.body).toContain(fill(button, values))
  })

  test('asked, approved, exchanged, proven; the connection is kept or replaced, as the table says', async () => {
    const consent = await askedConsent(world)
    const codeId = await codeOf(world, consent.id)
    const calls: string[] = []
    const provider = meteredProvider(world.provider, { recordProviderCall: (...call) => calls.push(call.join(' ')) })
    await advance(world, { provider })(codeId, aRun())
    await bringUpToDate(world, consent.id)
    expect(calls).toEqual([`${exchangeCall} tokens`, 'me me'])
    expect((await world.renewalsOf(consent.id)).map((row) => [row.status, row.route])).toEqual([['renewed', route]])
    expect(await world.consentOf(consent.id)).toMatchObject(
      keepsConnection ? { status: 'active', cycle: 2 } : { status: 'superseded' },
    )
  })

  test('a route that only a later release knows is refused by its name', async () => {
    const consent = await askedConsent(world)
    await world.db.prisma.$executeRaw`ALTER TABLE renewals DROP CONSTRAINT renewals_route_known`
    await world.db.prisma.$executeRaw`UPDATE renewals SET route = 'by-post' WHERE consent_id = ${consent.id}::uuid`
    await expect(world.store.getView(consent.id)).rejects.toThrow(
      "the route 'by-post', which this release does not know",
    )
  })
})
