// Where we redirect browsers: to our own pages by their path, and to the link that the provider made. A request cannot
// change the target, only the bank's own address holds a secret, and no page sends a Referer.
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import { once } from 'node:events'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { anAskedConsent, startWeb, theCallback, type Web } from '../http/web.ts'
import { bringUpToDate } from '../processors/rig.ts'
import { startWorld, type World } from '../setup/world.ts'

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
afterEach(() => world.simulator.switches.reset())

const EVIL = 'evil.example'
const hostileHeaders: Record<string, string>[] = [
  { host: EVIL },
  { host: `127.0.0.1@${EVIL}` },
  { host: `${EVIL}/` },
  { 'x-forwarded-host': EVIL, 'x-forwarded-proto': 'https' },
  { forwarded: `host=${EVIL};proto=https` },
  { 'x-original-url': `https://${EVIL}/`, 'x-rewrite-url': `//${EVIL}/` },
  { origin: `https://${EVIL}`, referer: `https://${EVIL}/` },
]

interface Answer {
  readonly status: number
  readonly location: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** fetch does not let the caller choose the Host header. */
const ask = async (method: string, path: string, headers: Record<string, string> = {}): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(web.url)
    const request = httpRequest({ hostname, port, method, path, headers }, (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => (body += chunk.toString()))
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          location: response.headers.location ?? '',
          headers: response.headers,
          body,
        }),
      )
    })
    request.on('error', reject)
    request.end()
  })

/** A path of our own, which no browser can read as another host. */
const OWN_PATH = /^\/(?:r|done)\/[A-Za-z0-9_%.!~*'()-]+$/

describe('a redirect', () => {
  test.each(hostileHeaders)('is not changed by %j', async (headers) => {
    const consent = await anAskedConsent(world)
    const path = `/r/${await world.startToken(consent.id)}`
    const toBank = await ask('POST', path, headers)
    expect([toBank.status, new URL(toBank.location).origin]).toEqual([303, world.simulator.url])
    const query = await theCallback(world, consent.id)
    const unknown = await ask('GET', '/callback?state=unknown&code=x', headers)
    const taken = await ask('GET', `/callback?${query}`, headers)
    const again = await ask('GET', `/callback?${query}`, headers)
    const notNow = await ask('POST', path, headers)
    const elsewhere = await ask('POST', path, { ...headers, 'sec-fetch-site': 'cross-site' })
    for (const { status, location } of [unknown, taken, again, notNow, elsewhere]) {
      expect([status, location]).toEqual([303, expect.stringMatching(OWN_PATH)])
    }
    for (const { body, headers: sent } of [
      toBank,
      unknown,
      taken,
      await ask('GET', path, headers),
      await ask('GET', taken.location, headers),
    ]) {
      expect(JSON.stringify(sent) + body).not.toContain(EVIL)
    }
  })

  test.each([
    `/r/${encodeURIComponent(`//${EVIL}`)}`,
    `/r//${EVIL}`,
    `/r/..%2f..%2f${EVIL}`,
    `/r/%5c%5c${EVIL}`,
    `/r/${EVIL}%0d%0alocation:%20https:%2f%2f${EVIL}`,
    `/r/%2e%2e`,
    `/done/%2f%2f${EVIL}`,
    `/done//${EVIL}`,
    `//${EVIL}/callback?state=a&code=b`,
    `/callback?state=a&code=b&redirect_uri=https://${EVIL}&next=//${EVIL}&return_to=https://${EVIL}`,
    `/\\${EVIL}`,
    `//${EVIL}`,
    `/%2f${EVIL}`,
    `/.//${EVIL}`,
  ])('is not changed by %s', async (path) => {
    for (const method of ['GET', 'POST']) {
      for (const headers of [{}, { 'sec-fetch-site': 'cross-site' }]) {
        const { status, location, headers: sent } = await ask(method, path, headers)
        expect(status).toBeLessThan(500)
        if (location === '') continue
        // The requested path, escaped: a host name in it is only text.
        expect(location).toMatch(OWN_PATH)
        expect(new URL(location, 'https://ours.example').host).toBe('ours.example')
        expect(sent['set-cookie']).toBeUndefined()
      }
    }
  })

  test('is not changed by a request in absolute form', async () => {
    const { hostname, port } = new URL(web.url)
    const socket = connect({ host: hostname, port: Number(port) })
    let answer = ''
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString()))
    // The socket stays open for writing: the server would take its end for a browser that has gone.
    socket.write(`GET http://${EVIL}/callback?state=a&code=b HTTP/1.1\r\nhost: ${EVIL}\r\nconnection: close\r\n\r\n`)
    await once(socket, 'close')
    expect(answer).toMatch(/^HTTP\/1\.1 [34]\d\d /)
    expect(answer).not.toContain(EVIL)
  })

  test.each(['not-https', 'not-a-url', 'missing'] as const)(
    'never follows an authorisation URL that is not the bank’s: %s',
    async (result) => {
      const consent = await anAskedConsent(world)
      // By then the link that was made when the cycle opened is too old.
      world.clock.advance({ minutes: 30 })
      world.simulator.switches.set({ link_result: result })
      const { status, location } = await ask('POST', `/r/${await world.startToken(consent.id)}`)
      expect([status, location]).toEqual([503, ''])
    },
  )
})

describe('on a whole visit to the bank and back', () => {
  test('no Location but the bank’s holds a secret; no answer leaks an address by Referer or leads away', async () => {
    const consent = await anAskedConsent(world)
    const token = await world.startToken(consent.id)
    const answers = [await ask('GET', `/r/${token}`)]
    const toBank = await ask('POST', `/r/${token}`)
    const link = new URL(toBank.location)
    const played = await world.simulator.play({ link: link.href, as: 'approve' })
    if (played.kind !== 'callback') throw new Error(played.kind)
    const query = new URL(played.url).searchParams
    answers.push(toBank, await ask('GET', `/callback?${query}`))
    answers.push(await ask('GET', answers.at(-1)?.location ?? ''))
    await bringUpToDate(world, consent.id)
    answers.push(
      await ask('GET', `/callback?${query}`),
      await ask('GET', `/r/${token}`),
      await ask('GET', '/nowhere'),
      await ask('GET', '/callback'),
      await ask('GET', '/%'),
    )
    const secrets = [query.get('code'), query.get('state'), consent.email, await world.tokenOf(consent.id)]
    for (const answer of answers) {
      expect(answer.headers['referrer-policy']).toBe('no-referrer')
      if (answer !== toBank && answer.location !== '') expect(answer.location).toMatch(OWN_PATH)
      if (answer !== toBank) for (const secret of secrets) expect(answer.location + answer.body).not.toContain(secret)
      for (const [, address = ''] of answer.body.matchAll(/(?:href|src|action|url)="?=?([^"\s>]*)/g))
        expect(address).toMatch(/^(?:\/(?!\/|\\)|$)/)
    }
    // The redirect to the bank is the provider's own link: it holds neither our start link nor who the user is.
    for (const secret of [token, consent.email ?? '', consent.userId, await world.tokenOf(consent.id)])
      expect(toBank.location).not.toContain(secret)
  })
})
