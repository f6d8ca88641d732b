// A whole company with two channels: the worker makes its channels from the two tables, and a user without e-mail
// renews by the link in a text.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BOTH, type Gateway, registerGateway, startGateway } from '../setup/gateway.ts'
import { startCompany, until } from '../setup/company.ts'

let gateway: Gateway
let company: Awaited<ReturnType<typeof startCompany>>
registerGateway(() => gateway.url)

beforeAll(async () => {
  gateway = await startGateway()
  company = await startCompany({
    queue: 'postgres',
    processes: [['web', 'worker', 'scheduler']],
    policy: { channels: [...BOTH] },
  })
})
afterAll(async () => {
  await company.stop()
  await gateway.close()
})

const textsTo = async (phone: string, count: number) =>
  until('the text', async () => {
    const texts = gateway.textsTo(phone)
    return texts.length >= count ? texts : undefined
  })

test('a user with a phone alone gets a text, and renews by its link', async () => {
  const expiresAt = company.clock.now().plus({ days: 5 })
  const consent = await company.addConsent({ expiresAt, email: undefined, phone: '+441' })
  const [text] = await textsTo('+441', 1)
  const link = /https?:\S+/.exec(text?.text ?? '')?.[0] ?? ''
  const pressed = await fetch(link, { method: 'POST', redirect: 'manual' })
  const played = await company.simulator.play({ link: pressed.headers.get('location') ?? '', as: 'approve' })
  if (played.kind === 'callback') await (await fetch(played.url)).arrayBuffer()
  const renewed = await until('the renewal', async () => {
    const view = await company.store.getView(consent.id)
    return view !== undefined && view.consent.cycle === 2 ? view.consent : undefined
  })
  expect(renewed.expiresAt > expiresAt).toBe(true)
})

test('a user with both gets both, once', async () => {
  const consent = await company.addConsent({ expiresAt: company.clock.now().plus({ days: 5 }), phone: '+442' })
  await textsTo('+442', 1)
  const [mail] = await until('the mail', async () => {
    const mails = company.simulator.mails({ to: consent.email ?? '' })
    return mails.length > 0 ? mails : undefined
  })
  expect(gateway.textsTo('+442').map(({ text }) => text)).toEqual([expect.stringContaining(mail?.links[0] ?? 'none')])
})
