// The inbox: real SMTP through nodemailer, its faults, its pages.
import { createTransport } from 'nodemailer'
import { expect, onTestFinished, test } from 'vitest'
import type { Simulator } from '../../simulator/src/start-simulator.ts'
import { aSimulator, get } from './a-simulator.ts'

const aMail = {
  from: 'Company <renewals@company.example>',
  to: 'Ann.User@mail.example',
  subject: 'Ihre Bankverbindung läuft ab ✓',
  messageId: '<c1-1-14d@company.example>',
  text: 'Please renew: https://company.example/r/abc?x=1&y=2. Thank you (see https://company.example/help).',
  html: '<p>Please <a href="https://company.example/r/abc?x=1&amp;y=2">renew</a> <script>alert(1)</script></p>',
}

const send = async (simulator: Simulator, changes: Record<string, unknown> = {}) => {
  const transport = createTransport(simulator.smtpUrl)
  onTestFinished(() => transport.close())
  return transport
    .sendMail({ ...aMail, ...changes })
    .catch((error: Error & { responseCode?: number; code?: string }) => error)
}

test('a mail arrives with its parts, recipients in lower case, and its links', async () => {
  const simulator = await aSimulator()
  const sent = await send(simulator, { to: ['Ann.User@mail.example', 'bob@mail.example'] })
  expect(sent).toMatchObject({ response: '250 2.0.0 Kept as mail 1' })
  expect(simulator.mails()).toMatchObject([
    {
      id: 1,
      from: '"Company" <renewals@company.example>',
      to: ['ann.user@mail.example', 'bob@mail.example'],
      subject: aMail.subject,
      message_id: 'c1-1-14d@company.example',
      links: ['https://company.example/r/abc?x=1&y=2', 'https://company.example/help'],
      headers: { 'message-id': '<c1-1-14d@company.example>' },
    },
  ])
  expect(simulator.mails()[0]?.at.slice(0, 10)).toBe('2026-03-02')
  expect(simulator.ledger.entries({ what: 'mail', to: 'Bob@mail.example' })).toMatchObject([
    { outcome: 'ok', message_id: 'c1-1-14d@company.example' },
  ])
})

test('mails are newest first, filtered by recipient and by id, and bounded', async () => {
  const simulator = await aSimulator({ keepMails: 10 })
  for (let number = 1; number <= 13; number++)
    await send(simulator, { subject: `Mail ${number}`, to: number % 2 === 0 ? 'even@x.example' : 'odd@x.example' })
  const subjects = (filter = {}) => simulator.mails(filter).map(({ subject }) => subject)
  expect(subjects({ limit: 2 })).toEqual(['Mail 13', 'Mail 12'])
  expect(subjects({ to: 'EVEN@x.example', limit: 2 })).toEqual(['Mail 12', 'Mail 10'])
  expect(subjects({ after: 11 })).toEqual(['Mail 13', 'Mail 12'])
  expect(subjects()).toHaveLength(10)
  expect((await get(`${simulator.url}/_control/mails?limit=1`)).body).toMatchObject({
    received: 13,
    mails: [{ subject: 'Mail 13' }],
  })
})

test('any login is accepted', async () => {
  const simulator = await aSimulator()
  const transport = createTransport(simulator.smtpUrl.replace('smtp://', 'smtp://me:pass@'))
  onTestFinished(() => transport.close())
  expect(await transport.verify()).toBe(true)
})

test.each([
  ['rcpt-4xx', 451],
  ['rcpt-5xx', 550],
  ['data-4xx', 451],
  ['data-5xx', 554],
] as const)('%s answers %i, stores nothing, and the next mail passes', async (kind, code) => {
  const simulator = await aSimulator()
  simulator.faults.add({ endpoint: 'mail', kind, count: 1 })
  expect(await send(simulator)).toMatchObject({ responseCode: code })
  expect(simulator.mails()).toEqual([])
  expect(simulator.ledger.entries({ what: 'mail' })).toMatchObject([
    { outcome: 'not-processed', fault: kind, to: ['ann.user@mail.example'] },
  ])
  expect(await send(simulator)).toMatchObject({ response: expect.stringMatching(/^250/) })
})

test('cut-after-dot ends the connection without an answer; the mail is stored, or not, as asked', async () => {
  const simulator = await aSimulator()
  simulator.faults.add({ endpoint: 'mail', kind: 'cut-after-dot', count: 1 })
  simulator.faults.add({ endpoint: 'mail', kind: 'cut-after-dot', stored: false, count: 1 })
  for (let attempt = 0; attempt < 2; attempt++) {
    const error = await send(simulator)
    expect(error).toBeInstanceOf(Error)
    expect(error).not.toHaveProperty('responseCode')
  }
  expect(simulator.mails()).toHaveLength(1)
  expect(simulator.ledger.entries({ what: 'mail' })).toMatchObject([
    { outcome: 'ok', fault: 'cut-after-dot' },
    { outcome: 'not-processed', fault: 'cut-after-dot' },
  ])
})

test('slow-mail answers late and stores', async () => {
  const simulator = await aSimulator()
  simulator.faults.add({ endpoint: 'mail', kind: 'slow-mail', ms: 120 })
  const started = performance.now()
  await send(simulator)
  expect(performance.now() - started).toBeGreaterThan(115)
  expect(simulator.mails()).toHaveLength(1)
  expect(simulator.ledger.entries({ what: 'mail' })).toMatchObject([
    { outcome: 'ok', fault: 'slow-mail', late_ms: 120 },
  ])
})

test('a mail fault can apply to one recipient only', async () => {
  const simulator = await aSimulator()
  simulator.faults.add({ endpoint: 'mail', kind: 'rcpt-5xx', only: 'ann.user@mail.example' })
  expect(await send(simulator)).toMatchObject({ responseCode: 550 })
  expect(await send(simulator, { to: 'bob@mail.example' })).toMatchObject({ response: expect.stringMatching(/^250/) })
})

test('the pages list mails newest first and show text, HTML in a sandbox, and links; everything escaped', async () => {
  const simulator = await aSimulator()
  expect((await get(`${simulator.url}/inbox`)).body).toContain('No mail has come yet.')
  await send(simulator, { subject: 'First <b>' })
  await send(simulator, { subject: 'Second', to: 'bob@mail.example' })
  const list = (await get(`${simulator.url}/inbox`)).body
  expect(list.indexOf('Second')).toBeLessThan(list.indexOf('First &lt;b&gt;'))
  const filtered = (await get(`${simulator.url}/inbox?to=bob@mail.example`)).body
  expect([filtered.includes('Second'), filtered.includes('First')]).toEqual([true, false])

  const { status, body } = await get(`${simulator.url}/inbox/1`)
  expect(status).toBe(200)
  expect(body).toContain('<a class="mail-link" href="https://company.example/r/abc?x=1&amp;y=2">')
  expect(body).toContain('<iframe title="The mail as HTML" sandbox="allow-popups allow-popups-to-escape-sandbox"')
  expect(body).toContain('srcdoc="&lt;base target=&quot;_blank&quot;&gt;&lt;p&gt;')
  expect(body).not.toContain('<script>')
  for (const id of ['99', 'x']) expect((await get(`${simulator.url}/inbox/${id}`)).status).toBe(404)
})
