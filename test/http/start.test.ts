// The start page over real HTTP: looking changes nothing, the button leads to the bank, and every other request gets a
// page that says what is the case.
import { randomUUID } from 'node:crypto'
import { TransientError } from '../../src/errors.ts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startWorld, type World } from '../setup/world.ts'
import { anAskedConsent, aWeb, startWeb, theCallback, type Web } from './web.ts'

let world: World
let web: Web
beforeAll(async () => {
  world = await startWorld()
  web = await startWeb(world)
})
afterAll(async () => {
  await web.close()
  await world.close()
})

const rowsOf = async (consentId: string) =>
  JSON.stringify([
    await world.authorisationsOf(consentId),
    await world.renewalsOf(consentId),
    await world.notificationsOf(consentId),
    await world.consentOf(consentId),
  ])

describe('looking', () => {
  test('changes nothing, however often and by whatever method that only looks', async () => {
    const consent = await anAskedConsent(world)
    const path = `/r/${await world.startToken(consent.id)}`
    const before = await rowsOf(consent.id)
    for (const method of ['GET', 'GET', 'GET', 'HEAD']) {
      const answer = await web.get(path, { method })
      expect(answer.status).toBe(200)
      if (method === 'GET') expect(answer.body).toContain('Brightside')
    }
    expect(await rowsOf(consent.id)).toBe(before)
  })

  test('speaks the language of the consent, else of the browser', async () => {
    const german = await anAskedConsent(world, { locale: 'de-DE' })
    const unsaid = await anAskedConsent(world, { locale: undefined })
    const french = { headers: { 'accept-language': 'fr' } }
    expect((await web.get(`/r/${await world.startToken(german.id)}`, french)).body).toContain('<html lang="de">')
    expect((await web.get(`/r/${await world.startToken(unsaid.id)}`, french)).body).toContain('<html lang="fr">')
    expect((await web.get('/r/x', french)).body).toContain('<html lang="fr">')
  })

  test.each([
    ['a short one', 'x'],
    ['dots', '..'],
    ['NUL', '%00'],
    ['a path', '%2e%2e%2fetc'],
    ['43 letters', 'a'.repeat(43)],
    ['base64 padding', `${'a'.repeat(42)}=`],
    ['150 letters', 'a'.repeat(150)],
    ['5,000 letters', 'a'.repeat(5_000)],
    ['no UTF-8', '%ff'],
    ['half an escape', '%'],
    ['SQL', "'--"],
    ['a script', '<script>'],
    ['an emoji', '💥'],
  ])('a token of %s gets a page that reveals nothing', async (_, token) => {
    const path = `/r/${token}`
    for (const answer of [await web.get(path), await web.post(path)]) {
      expect(answer.status).toBe(404)
      expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8')
      expect(answer.body).not.toContain('script')
      expect(answer.body).toContain('<h1>')
    }
  })

  test('a valid token for a renewal that no longer exists is an unknown link', async () => {
    expect((await web.get(`/r/${world.vault.startLinkToken(randomUUID())}`)).status).toBe(404)
  })
})

describe('while the database is unavailable', () => {
  test('the page answers 503 and may be requested again, and does not name the cause', async () => {
    const away = await startWeb(world, {
      visitStartPage: async () => Promise.reject(new TransientError('database-unavailable')),
    })
    const answer = await away.get('/r/any-token')
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '10'])
    expect(answer.body).not.toContain('database')
  })
})

describe('the button', () => {
  test('gives the fresh link once, and makes another one for the second press', async () => {
    const consent = await anAskedConsent(world)
    const path = `/r/${await world.startToken(consent.id)}`
    const links = () => world.simulator.ledger.count({ what: 'reauthuri', credentials_id: consent.credentialsId })
    expect(links()).toBe(1)
    const first = await web.post(path)
    expect(first.status).toBe(303)
    expect(first.location.startsWith(world.simulator.url)).toBe(true)
    expect(first.body).toBe('')
    expect(links()).toBe(1)
    const second = await web.post(path)
    expect(second.status).toBe(303)
    expect(second.location).not.toBe(first.location)
    expect(links()).toBe(2)
  })

  test('is pressed by a form, as browsers send it: urlencoded and empty', async () => {
    const consent = await anAskedConsent(world)
    const sent = await web.post(`/r/${await world.startToken(consent.id)}`, {
      body: '',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: 'null' },
    })
    expect(sent.status).toBe(303)
    expect(sent.location.startsWith(world.simulator.url)).toBe(true)
  })

  test('two presses at once get two different links', async () => {
    const consent = await anAskedConsent(world)
    const path = `/r/${await world.startToken(consent.id)}`
    const answers = await Promise.all([web.post(path), web.post(path)])
    expect(answers.map(({ status }) => status)).toEqual([303, 303])
    expect(new Set(answers.map(({ location }) => location)).size).toBe(2)
  })

  test('does not work from another site: the user gets the page', async () => {
    const consent = await anAskedConsent(world)
    const path = `/r/${await world.startToken(consent.id)}`
    const before = await rowsOf(consent.id)
    for (const site of ['cross-site', 'same-site']) {
      const answer = await web.post(path, { headers: { 'sec-fetch-site': site } })
      expect([answer.status, answer.location]).toEqual([303, path])
    }
    expect(await rowsOf(consent.id)).toBe(before)
    expect((await web.post(path, { headers: { 'sec-fetch-site': 'same-origin' } })).location).toContain(
      world.simulator.url,
    )
    expect((await web.post(path, { headers: { 'sec-fetch-site': 'none' } })).location).toContain(world.simulator.url)
  })

  test('with the provider unavailable: says so, and works later', async () => {
    const consent = await anAskedConsent(world)
    const path = `/r/${await world.startToken(consent.id)}`
    await web.post(path)
    world.simulator.faults.add({ endpoint: 'reauthuri', kind: 'reset-before' })
    const busy = await web.post(path)
    expect(busy.status).toBe(503)
    expect(busy.headers.get('retry-after')).toBe('60')
    expect(busy.body).toContain(`href="${path}"`)
    world.simulator.faults.clear()
    expect((await web.post(path)).status).toBe(303)
  })

  test('with every route refused by the provider: says to come back tomorrow, and works then', async () => {
    const consent = await anAskedConsent(world)
    const path = `/r/${await world.startToken(consent.id)}`
    await web.post(path)
    world.simulator.faults.add({ endpoint: 'reauthuri', kind: 'error-json', status: 400, error: 'invalid_request' })
    const before = await rowsOf(consent.id)
    const refused = await web.post(path)
    expect(refused.status).toBe(409)
    expect(refused.headers.get('retry-after')).toBeNull()
    expect(refused.body).toContain('tomorrow')
    expect(refused.body).not.toContain('try again in a few minutes')
    expect(await rowsOf(consent.id)).toBe(before)
    world.simulator.faults.clear()
    expect((await web.post(path)).status).toBe(303)
  })

  test('pressed too often, waits a minute; looking and the callback go on, other renewals too', async () => {
    const strict = await aWeb(world, { limits: { departuresPerMinute: 3 } })
    const [consent, other] = [await anAskedConsent(world), await anAskedConsent(world)]
    const path = `/r/${await world.startToken(consent.id)}`
    for (let press = 0; press < 3; press += 1) expect((await strict.post(path)).status).toBe(303)
    const refused = await strict.post(path)
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect((await strict.get(path)).status).toBe(200)
    expect((await strict.post(`/r/${await world.startToken(other.id)}`)).status).toBe(303)
  })

  test('unknown tokens are counted by address', async () => {
    const strict = await aWeb(world, { limits: { unknownPerMinute: 2 } })
    for (const status of [404, 404, 429, 429]) expect((await strict.post('/r/guess')).status).toBe(status)
    expect((await strict.get('/r/guess')).status).toBe(404)
  })
})

describe('once the user has done their part', () => {
  test('the page says that the renewal is being checked, then that it is done; the button, too', async () => {
    const consent = await anAskedConsent(world)
    const path = `/r/${await world.startToken(consent.id)}`
    await web.get(`/callback?${await theCallback(world, consent.id)}`)
    const checking = await web.get(path)
    expect(checking.status).toBe(200)
    expect(checking.body).toContain(`<meta http-equiv="refresh" content="4; url=${path}">`)
    expect((await web.post(path)).location).toBe(path)
    await world.drain()
    const renewed = await web.get(path)
    expect([renewed.status, renewed.body]).toEqual([200, expect.stringContaining('already renewed')])
    expect((await web.post(path)).location).toBe(path)
  })

  test('an old link says closed once the renewed consent has ended as well', async () => {
    const own = await startWorld()
    try {
      const server = await aWeb(own)
      const consent = await anAskedConsent(own)
      const path = `/r/${await own.startToken(consent.id)}`
      await own.goToBank(consent.id, 'approve')
      await own.drain()
      expect((await server.get(path)).body).toContain('already renewed')
      own.clock.advance({ days: 200 })
      expect((await server.get(path)).status).toBe(410)
    } finally {
      await own.close()
    }
  })

  test('a lapsed consent has a closed page', async () => {
    const own = await startWorld()
    try {
      const server = await aWeb(own)
      const consent = await anAskedConsent(own)
      const path = `/r/${await own.startToken(consent.id)}`
      own.clock.advance({ days: 101 })
      await own.drain()
      for (const answer of [await server.get(path), await server.get((await server.post(path)).location)])
        expect(answer.status).toBe(410)
    } finally {
      await own.close()
    }
  })
})
