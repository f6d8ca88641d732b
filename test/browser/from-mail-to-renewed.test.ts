// Users and operators in a real browser: a user clicks from the mail to "renewed"; an operator watches the board and
// retries a job.
import { type Browser, type BrowserContextOptions, type Page, chromium } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import type { Consent } from '../../src/domain/model.ts'
import { startCompany, until } from '../setup/company.ts'

let company: Awaited<ReturnType<typeof startCompany>>
let browser: Browser

beforeAll(async () => {
  company = await startCompany({ queue: 'redis', processes: [['web', 'worker', 'scheduler']] })
  browser = await chromium.launch({
    executablePath: inject('chromium'),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
})
afterEach(async () => {
  await Promise.all(browser.contexts().map(async (context) => context.close()))
})
afterAll(async () => {
  await browser.close()
  await company.stop()
})

/** Opens a page and collects what its console complains of: a refused script, style or form is such a complaint. */
const openPage = async (options: BrowserContextOptions = {}): Promise<{ page: Page; complaints: string[] }> => {
  const page = await (await browser.newContext(options)).newPage()
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(`${message.text()} (${message.location().url})`)
  })
  return { page, complaints }
}

const aDueConsent = async (over: Partial<Consent> = {}): Promise<Consent> => {
  const consent = await company.addConsent({ expiresAt: company.clock.now().plus({ days: 10 }), ...over })
  await until('the mail', async () => company.simulator.mails({ to: consent.email ?? '' })[0])
  return consent
}

/** Goes from the inbox's web page to the start page by the link that the user sees in the mail. */
const openStartPage = async (page: Page, consent: Consent): Promise<void> => {
  const mail = company.simulator.mails({ to: consent.email ?? '' })[0]
  await page.goto(`${company.simulator.url}/inbox/${mail?.id}`)
  const link = await page.locator('a.mail-link').first().getAttribute('href')
  await page.goto(link ?? '')
}

describe.each([
  ['with JavaScript', {}],
  ['without JavaScript', { javaScriptEnabled: false }],
] as const)('a user %s', (_, options) => {
  test('clicks from the mail to "renewed"', async () => {
    const consent = await aDueConsent()
    const { page, complaints } = await openPage(options)
    await openStartPage(page, consent)
    expect(await page.title()).toContain('Monzo')
    expect(await page.locator('form button').count()).toBe(1)
    await page.locator('form button').click()
    await page.waitForURL((url) => url.origin === company.simulator.url)
    await page.locator('button[name=decision][value=approve]').click()
    await page.waitForURL((url) => url.pathname.startsWith('/done/'))
    expect(page.url()).not.toMatch(/code=|state=/)
    // The page reloads itself, with and without JavaScript.
    await until('the page to say renewed', async () =>
      (await page.title()).includes('The permission is renewed') ? true : undefined,
    )
    const view = await company.store.getView(consent.id)
    expect(view?.consent.cycle).toBe(2)
    expect(complaints).toEqual([])
  })

  test('who denies at the bank sees that, can try again, and then is renewed', async () => {
    const consent = await aDueConsent()
    const { page } = await openPage(options)
    await openStartPage(page, consent)
    await page.locator('form button').click()
    await page.locator('button[name=decision][value=deny]').click()
    await page.waitForURL((url) => url.pathname.startsWith('/done/'))
    await page.locator('a[href^="/r/"]').click()
    await page.locator('form button').click()
    await page.locator('button[name=decision][value=approve]').click()
    await page.waitForURL((url) => url.pathname.startsWith('/done/'))
    await until('the renewal', async () =>
      (await company.store.getView(consent.id))?.consent.cycle === 2 ? true : undefined,
    )
  })
})

describe('an operator', () => {
  test('without a login sees nothing', async () => {
    const { page } = await openPage()
    const answer = await page.goto(`${company.publicUrl}/ops/queues`).catch(() => undefined)
    expect(answer?.status() ?? 401).toBe(401)
  })

  test('watches the queues and retries a job, which then says that nothing was due', async () => {
    const consent = await aDueConsent()
    const { page, complaints } = await openPage({
      httpCredentials: { username: 'operator', password: 'operator-password' },
    })
    await page.goto(`${company.publicUrl}/ops/queues/queue/reauth?status=completed`)
    const card = page.getByText(consent.id).first()
    await card.waitFor()
    const dispatchNo = (await company.db.prisma.consent.findUniqueOrThrow({ where: { id: consent.id } })).dispatchNo
    const jobId = `${consent.id}-1`
    expect(dispatchNo).toBeGreaterThanOrEqual(1)
    await page.goto(`${company.publicUrl}/ops/queues/queue/reauth/${jobId}?status=completed`)
    await page.getByText('queued message -14d').first().waitFor()
    // The board shows the names of its three buttons (copy, retry, remove) only while the mouse is over them.
    const asked = page.waitForRequest(
      (request) => request.method() === 'PUT' && request.url().includes(`${jobId}/retry`),
    )
    await page.getByText(jobId).locator('xpath=ancestor::*[.//ul//button][1]').locator('ul button').nth(1).click()
    const confirm = page.getByRole('button', { name: 'Confirm' })
    await Promise.race([asked, confirm.click()])
    expect((await (await asked).response())?.status()).toBe(204)
    await until('the retried job to say why nothing was due', async () => {
      await page.goto(`${company.publicUrl}/ops/queues/queue/reauth/${jobId}?status=completed`)
      await page.waitForLoadState('networkidle')
      return (await page.content()).includes('nothing is due before') ? true : undefined
    })
    expect(company.simulator.mails({ to: consent.email ?? '' })).toHaveLength(1)
    expect(complaints).toEqual([])
  })
})
