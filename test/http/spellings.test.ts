// The addresses that users follow are served in every spelling that a bank, a proxy or a mail client produces; the
// addresses for machines are served in one spelling only.
import http from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { servedAddress } from '../../src/http/served-address.ts'
import { makeLog } from '../../src/log.ts'
import { openBackend } from '../../src/queue/backend.ts'
import { queueNames } from '../../src/queue/catalogue.ts'
import { Secret } from '../../src/secret.ts'
import { plans } from '../queue/setup.ts'
import { createDatabase } from '../setup/database.ts'
import { startWorld, type World } from '../setup/world.ts'
import { anAskedConsent, startWeb, theCallback, WITH_KEY, type Web } from './web.ts'

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

interface Answer {
  readonly status: number
  readonly location: string
  readonly body: string
}

/** fetch would normalise dot segments, fragments and absolute addresses before it sends. */
const ask = (
  target: string,
  {
    method = 'GET',
    body = '',
    headers = {},
    to = web,
  }: { method?: string; body?: string; headers?: Record<string, string>; to?: Web } = {},
) =>
  new Promise<Answer>((resolve, reject) => {
    const { hostname, port } = new URL(to.url)
    const request = http.request({ hostname, port, method, path: target, headers }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, location: response.headers.location ?? '', body: text }),
      )
    })
    request.on('error', reject)
    request.end(body)
  })

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const statusesOf = async (consentId: string) => (await world.authorisationsOf(consentId)).map(({ status }) => status)

/** Only the path; each test appends the query. */
const callbackPaths = [
  '/callback/',
  '/callback//',
  '//callback',
  '///callback//',
  '/Callback',
  '/CALLBACK',
  '/CallBack/',
  '/%63allback',
  '/%43ALLBACK',
  '/callbac%6b',
  '/%2fcallback',
  '/%2Fcallback%2F',
  '/callback%2f',
  '/%252Fcallback',
  '/./callback',
  '/callback/.',
  '/callback/./',
  '/%2e/callback',
  '/callback;jsessionid=0A1B',
  '/callback;jsessionid=0A1B/',
  '/callback/;v=1',
  '/callback%3Bjsessionid=0A1B',
  '/callback%20',
  '/callback%E2%80%8B',
  '/\\callback',
  'http://elsewhere.example/callback',
  'HTTPS://elsewhere.example//Callback/',
]

describe('the callback is served in place at', () => {
  test.each(callbackPaths)('%s, by GET and by POST', async (path) => {
    const consent = await anAskedConsent(world)
    const query = await theCallback(world, consent.id)
    for (const method of ['HEAD', 'OPTIONS']) expect((await ask(`${path}?${query}`, { method })).status).toBe(404)
    expect(await statusesOf(consent.id)).toEqual(['issued'])
    expect(await ask(`${path}?${query}`)).toMatchObject({
      status: 303,
      location: expect.stringMatching(/^\/done\/[\w-]{22}$/),
    })
    expect(await statusesOf(consent.id)).toEqual(['code_received'])
    const other = await anAskedConsent(world)
    expect(
      (await ask(path, { method: 'POST', body: String(await theCallback(world, other.id)), headers: FORM })).status,
    ).toBe(303)
    expect(await statusesOf(other.id)).toEqual(['code_received'])
  })

  const glued: Record<string, (query: URLSearchParams) => string> = {
    'a query behind &': (query) => `/callback&${query}`,
    'a query behind /&': (query) => `/callback/&${query}`,
    'a query behind ?&': (query) => `/callback?&${query}`,
    'a query behind ??': (query) => `/callback??${query}`,
    'a query behind a second ?': (query) => `/callback?tenant=1?${query}`,
    'a query behind #': (query) => `/callback#${query}`,
    'a query behind ?#': (query) => `/callback?#${query}`,
    'an encoded ?': (query) => `/callback%3F${query}`,
    'an encoded query': (query) => `/callback%3F${encodeURIComponent(String(query))}`,
    'an encoded #': (query) => `/callback%23${query}`,
    'a path parameter and &': (query) => `/callback;jsessionid=1&${query}`,
    '&amp; between parameters': (query) => `/callback?${String(query).replaceAll('&', '&amp;')}`,
    'a ? at the end': (query) => `/callback?${query}?`,
    'a & at the end': (query) => `/callback?${query}&`,
    'a # at the end': (query) => `/callback?${query}#`,
    '#_=_ at the end': (query) => `/callback?${query}#_=_`,
    'a slash behind it all': (query) => `/callback?code=${query.get('code')}&state=${query.get('state')}/`,
  }
  test.each(Object.entries(glued))('/callback with %s', async (_, spell) => {
    const consent = await anAskedConsent(world)
    const target = spell(await theCallback(world, consent.id))
    expect((await ask(target)).status).toBe(303)
    expect(await statusesOf(consent.id)).toEqual(['code_received'])
  })

  test('a refusal is, too, and the exchange names the stored redirect_uri', async () => {
    const refused = await anAskedConsent(world)
    const query = await theCallback(world, refused.id, 'deny')
    expect((await ask(`//Callback/?${query}`)).status).toBe(303)
    expect(await statusesOf(refused.id)).toEqual(['refused'])
    const consent = await anAskedConsent(world)
    expect((await ask(`/CALLBACK/?${await theCallback(world, consent.id)}`)).status).toBe(303)
    // The simulator refuses a code whose redirect_uri is not exactly the link's.
    await world.drain()
    expect(await statusesOf(consent.id)).toEqual(['renewed'])
  })

  test('state and code keep their case', async () => {
    const consent = await anAskedConsent(world)
    const query = await theCallback(world, consent.id)
    await ask(`/callback?${String(query).toLowerCase()}`)
    expect(await statusesOf(consent.id)).toEqual(['issued'])
  })
})

describe('a start link opens with', () => {
  const behind = [
    '.',
    ')',
    '>',
    '/',
    '//',
    '%20',
    '%20and',
    '&amp;utm=1',
    ',',
    ';',
    "'",
    '"',
    ']',
    '*',
    '%3E',
    '%3e%0a',
    '=',
    '=0D=0A',
    '=20',
    '%E2%80%8B',
    '%C2%A0',
    '?utm_source=mail',
    '&fbclid=IwAR',
    '%26fbclid=x',
    '%3Futm_source=x',
    '#top',
    '_',
    '__',
    '-',
    '**',
    '…',
    ').',
    '"%3E',
    '/index.html',
    '%2F',
    ';jsessionid=1',
    '!',
    '%',
    '%ff',
    'x'.repeat(500),
  ]
  test.each(behind)('%s behind it: the page, and its button', async (glue) => {
    const consent = await anAskedConsent(world)
    const path = `/r/${await world.startToken(consent.id)}${encodeURI(glue).replaceAll('%25', '%')}`
    for (const method of ['GET', 'HEAD']) expect((await ask(path, { method })).status).toBe(200)
    expect((await ask(path)).body).toContain('<form method="post">')
    const left = await ask(path, { method: 'POST', headers: FORM })
    expect([left.status, new URL(left.location).origin]).toEqual([303, world.simulator.url])
  })

  test.each([
    '//r/',
    '/R/',
    '/r//',
    '/R///',
    '/./r/',
    '/r/./',
    '/%72/',
    '/r%2F',
    '/%2fr%2f',
    '/r;x=1/',
    'http://elsewhere.example/r/',
  ])('%s before it', async (before) => {
    const consent = await anAskedConsent(world)
    expect((await ask(`${before}${await world.startToken(consent.id)}`)).status).toBe(200)
  })

  test('its letters in escapes, but neither with other characters nor with more in front', async () => {
    const consent = await anAskedConsent(world)
    const token = await world.startToken(consent.id)
    const escaped = [...token].map((letter) => `%${letter.charCodeAt(0).toString(16)}`).join('')
    expect((await ask(`/r/${escaped}`)).status).toBe(200)
    const changed = `${token.slice(0, 20)}${token[20] === 'A' ? 'B' : 'A'}${token.slice(21)}`
    for (const wrong of [
      `x${token}`,
      `.${token}`,
      `%20${token}`,
      `%E2%80%8B${token}`,
      `3D${token}`,
      changed,
      token.toLowerCase(),
      token.toUpperCase(),
      token.slice(1),
      token.slice(0, -1),
    ]) {
      const { status, body } = await ask(`/r/${wrong}`)
      expect([wrong, status]).toEqual([wrong, 404])
      expect(body).not.toContain('<form')
      expect((await ask(`/r/${wrong}`, { method: 'POST', headers: FORM })).status).toBe(404)
    }
  })

  test('the page after the bank accepts as many spellings', async () => {
    const consent = await anAskedConsent(world)
    const { location } = await ask(`/callback?${await theCallback(world, consent.id)}`)
    const id = location.slice('/done/'.length)
    for (const path of [`/done/${id}/`, `//done/${id}`, `/Done/${id}.`, `/done/${id}?x`, `/done/${id}%20`])
      expect((await ask(path)).status).toBe(200)
    for (const path of [`/done/x${id}`, `/done/${id.slice(1)}`]) expect((await ask(path)).status).toBe(404)
  })
})

describe('addresses for machines answer to their own spelling alone', () => {
  const paths = [
    '/livez',
    '/readyz',
    '/metrics',
    '/v1/events',
    '/v1/callbacks',
    '/v1/openapi.json',
    '/v1/consents/x',
    '/ops/queues',
    '/ops/queues/api/queues',
    '/assets/style.css',
  ]

  const spellingsOf = (path: string): string[] => {
    const [, first = '', ...rest] = path.split('/')
    const behind = rest.map((part) => `/${part}`).join('')
    const escaped = `%${first.charCodeAt(0).toString(16)}${first.slice(1)}`
    const hosts = ['http://x.example', 'HTTPS://x.example:99']
    const wrong = [
      `/${path}`,
      `//${path}`,
      `/.${path}`,
      `/%2e${path}`,
      `/x/..${path}`,
      `/x/%2e%2e${path}`,
      `/${first.toUpperCase()}${behind}`,
      `/${first[0]?.toUpperCase()}${first.slice(1)}${behind}`,
      `/${escaped}${behind}`,
      `/${escaped.toUpperCase()}${behind}`,
      `/${first}${behind.replaceAll('/', '%2f')};x=1`,
      `/%2f${first}${behind}`,
      `/%5c${first}${behind}`,
      `${path};x=1`,
      `${path}#`,
      `${path}#/callback`,
      `${path}%3Fx`,
      `${path}%23`,
      `${path}&x=1`,
      `${path}%20`,
      `${path}.`,
      `/\\${first}${behind}`,
      `/callback/..${path}`,
      `/callback/../${path}`,
      `/callback${path}`,
      `/callback/%2e%2e${path}`,
      `/callback;/..${path}`,
      `/r/..${path}`,
      `/r/${'a'.repeat(43)}/..${path}`,
      `/done/..${path}`,
      ...hosts.map((host) => `${host}${path}`),
    ]
    // A trailing slash is valid for the board's own address; below a path parameter any path is possible.
    return path === '/ops/queues' ? wrong : [...wrong, `${path}/`, `${path}//`, `${path}/.`]
  }

  let server: Web
  let closeBoard: () => Promise<void>
  beforeAll(async () => {
    const backend = await openBackend(
      { kind: 'postgres', url: new Secret(await createDatabase()) },
      { log: makeLog({ level: 'silent' }), plans },
    )
    const board = {
      queues: queueNames.map((name) => backend.queue(name)),
      user: 'ops',
      password: new Secret('a password'),
      allowDestructive: false,
    }
    server = await startWeb(world, { board })
    closeBoard = async () => {
      await server.close()
      await backend.close()
    }
  })
  afterAll(async () => closeBoard())

  test.each(paths)('%s', async (path) => {
    const login = { authorization: `Basic ${Buffer.from('ops:a password').toString('base64')}` }
    const headers = path.startsWith('/ops') ? login : WITH_KEY
    const own = await ask(path, { headers, to: server, method: path === '/v1/callbacks' ? 'POST' : 'GET' })
    expect(own.status).toBe({ '/v1/callbacks': 400, '/v1/consents/x': 404 }[path] ?? 200)
    for (const spelling of spellingsOf(path)) {
      // Below the board's address only GET and HEAD reach the 404: the board's guard refuses other methods first.
      for (const method of spelling.startsWith('/ops/queues/') ? ['GET', 'HEAD'] : ['GET', 'HEAD', 'POST']) {
        const answer = await ask(spelling, { headers, to: server, method })
        expect([method, spelling, answer.status]).toEqual([method, spelling, 404])
        if (method === 'GET')
          expect(answer.body).toMatch(
            /There is no such page|This link is not valid|there is no (?:such route|consent)|not found|QUEUE_NOT_FOUND/,
          )
      }
    }
  })

  test('no target is rewritten to one of them', () => {
    const words = ['callback', 'r', 'done', 'v1', 'ops', 'metrics', 'queues', 'a'.repeat(43)]
    const seps = ['/', '//', '/./', '/../', '%2f', '%2e%2e/', ';x/', '?', '#', '&', '%23', '\\']
    const answers = new Set<string>()
    for (const one of words)
      for (const sep of seps)
        for (const two of words)
          for (const last of seps) answers.add(servedAddress(`/${one}${sep}${two}${last}metrics`))
    for (const answer of answers) {
      const isOurs = /^\/(?:callback(?:\?|$)|r\/[\w-]{43}$|done\/[\w-]{22}$)/.test(answer)
      const asItCame = words.some((one) =>
        seps.some((sep) => words.some((two) => seps.some((last) => answer === `/${one}${sep}${two}${last}metrics`))),
      )
      expect([answer, isOurs || asItCame]).toEqual([answer, true])
    }
  })
})
