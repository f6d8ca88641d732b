// The main job through real HTTP, real SMTP and a real queue, on both kinds of queue.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Consent } from '../../src/domain/model.ts'
import { startCompany, until } from '../setup/company.ts'

type Company = Awaited<ReturnType<typeof startCompany>>

describe.each(['redis', 'postgres'] as const)('the loop on %s', (queue) => {
  let company: Company
  beforeAll(async () => {
    company = await startCompany({ queue, processes: [['web', 'worker', 'scheduler']] })
  })
  afterAll(async () => {
    expect(await company.stop()).toEqual([true])
  })

  const mailed = async (consent: Consent, count = 1) =>
    until(`mail ${count} to ${consent.name}`, async () =>
      company.simulator.mails({ to: consent.email ?? '' }).length >= count ? true : undefined,
    )
  const inCycle = async (consent: Consent, cycle: number) =>
    until(`cycle ${cycle}`, async () => {
      const view = await company.store.getView(consent.id)
      return view?.consent.cycle === cycle ? view.consent : undefined
    })

  test('import, sweep, link, message, start page, bank, callback, exchange, proof, next cycle', async () => {
    const consent = await company.addConsent({ expiresAt: company.clock.now().plus({ days: 10 }) })
    await mailed(consent)
    const page = await company.visit(consent, 'approve')
    expect(page).toContain('<html')
    const renewed = await inCycle(consent, 2)
    expect(Math.round(renewed.expiresAt.diff(company.clock.now()).as('days'))).toBe(90)
    const dated = await until('the next cycle to be dated', async () => {
      const view = await company.store.getView(consent.id)
      return view?.consent.nextActionReason?.startsWith('healthy') === true ? view.consent : undefined
    })
    expect(dated.nextActionAt?.toMillis()).toBeGreaterThan(company.clock.now().plus({ days: 70 }).toMillis())
    expect(company.simulator.ledger.count({ what: 'exchange', credentials_id: consent.credentialsId })).toBe(1)
  })

  test('another user approved: the user is told and asked again, our token kept', async () => {
    const consent = await company.addConsent({ expiresAt: company.clock.now().plus({ days: 10 }) })
    const token = (await company.store.readRefreshToken(consent.id)).token.reveal()
    await mailed(consent)
    await company.visit(consent, 'somebody-else')
    await mailed(consent, 2)
    expect((await company.store.readRefreshToken(consent.id)).token.reveal()).toBe(token)
    expect((await company.store.getView(consent.id))?.consent.cycle).toBe(1)
  })
})

describe('two schedulers and three workers at once', () => {
  test('sixty consents are each asked once, renewed once', async () => {
    const company = await startCompany({
      queue: 'redis',
      processes: [['web'], ['scheduler'], ['scheduler'], ['worker'], ['worker'], ['worker']],
    })
    const consents = await Promise.all(
      Array.from({ length: 60 }, async () => company.addConsent({ expiresAt: company.clock.now().plus({ days: 10 }) })),
    )
    const mailsTo = (consent: Consent) => company.simulator.mails({ to: consent.email ?? '' }).length
    await until(
      'all mails',
      async () => (consents.every((consent) => mailsTo(consent) >= 1) ? true : undefined),
      60_000,
    )
    for (const consent of consents) await company.visit(consent, 'approve')
    await until(
      'all renewals',
      async () => ((await company.db.prisma.consent.count({ where: { cycle: 2 } })) === 60 ? true : undefined),
      60_000,
    )
    expect(consents.map(mailsTo)).toEqual(consents.map(() => 1))
    const exchanges = consents.map((consent) =>
      company.simulator.ledger.count({ what: 'exchange', credentials_id: consent.credentialsId }),
    )
    expect(exchanges).toEqual(consents.map(() => 1))
    expect(await company.db.prisma.renewal.count({ where: { status: 'renewed' } })).toBe(60)
    await company.stop()
  })
})
