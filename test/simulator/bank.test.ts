// The bank's page and the full authentication link, as a browser sees them.
import { expect, test } from 'vitest'
import { challengeOf } from '../../simulator/src/tokens.ts'
import {
  REDIRECT,
  VERIFIER,
  aConnection,
  aLink,
  aSimulator,
  callbackOf,
  claimsOf,
  exchange,
  get,
  me,
} from './a-simulator.ts'

const decide = (link: string, decision: string) =>
  fetch(link, { method: 'POST', body: new URLSearchParams({ decision }), redirect: 'manual' })

test('the page names the bank, says that it is a simulation, and has one real button per decision', async () => {
  const simulator = await aSimulator()
  const { refreshToken } = aConnection(simulator, { providerId: 'uk-ob-odd', providerName: 'Odd <b>&</b> Sons' })
  const { status, body, headers } = await get(await aLink(simulator, refreshToken))
  expect(status).toBe(200)
  expect(headers.get('content-type')).toBe('text/html; charset=utf-8')
  expect(body).toContain('<html lang="en">')
  expect(body).toContain('Odd &lt;b&gt;&amp;&lt;/b&gt; Sons')
  expect(body).not.toContain('Odd <b>')
  expect(body).toContain('Simulation: nothing here is real')
  for (const decision of ['approve', 'deny', 'close', 'bank-error', 'somebody-else']) {
    expect(body).toMatch(new RegExp(`<button [^>]*type="submit" name="decision" value="${decision}">`))
  }
  expect((await get(`${simulator.url}/_style.css`)).headers.get('content-type')).toContain('text/css')
})

test('approve redirects to the redirect_uri with code and state, keeping a query it already has', async () => {
  const redirectUri = 'https://company.example/callback?tenant=7'
  const simulator = await aSimulator({ redirectUris: [redirectUri] })
  const { refreshToken } = aConnection(simulator, { redirectUri })
  const link = await aLink(simulator, refreshToken, { redirect_uri: redirectUri, state: 'ä &=?#/+ state' })
  await get(link)
  const answer = await decide(link, 'approve')
  const target = new URL(answer.headers.get('location') ?? '')
  expect(answer.status).toBe(303)
  expect(target.origin + target.pathname).toBe('https://company.example/callback')
  expect([...target.searchParams.keys()]).toEqual(['tenant', 'code', 'state'])
  expect(target.searchParams.get('state')).toBe('ä &=?#/+ state')
})

test('deny and bank error bring an error and the state, no code', async () => {
  const simulator = await aSimulator()
  const { refreshToken } = aConnection(simulator)
  const denied = await callbackOf(simulator, await aLink(simulator, refreshToken), 'deny')
  const failed = await callbackOf(simulator, await aLink(simulator, refreshToken, { state: undefined }), 'bank-error')
  expect(Object.fromEntries(denied)).toEqual({
    error: 'access_denied',
    error_description: 'The user did not approve',
    state: 'a-state',
  })
  expect(Object.fromEntries(failed)).toEqual({ error: 'server_error', error_description: 'The bank had a problem' })
  expect(simulator.ledger.count({ what: 'code' })).toBe(0)
})

test('closing the tab brings no callback at all', async () => {
  const simulator = await aSimulator()
  const { refreshToken } = aConnection(simulator)
  expect(await simulator.play({ link: await aLink(simulator, refreshToken), as: 'close' })).toEqual({ kind: 'closed' })
})

test('form_post answers a page that posts by itself, with a button where scripts are off', async () => {
  const simulator = await aSimulator()
  const { refreshToken } = aConnection(simulator)
  const state = `"<'&> state`
  const link = await aLink(simulator, refreshToken, { response_mode: 'form_post', state })
  await get(link)
  const page = await (await decide(link, 'approve')).text()
  expect(page).toContain(`<form id="callback" method="post" action="${REDIRECT}">`)
  expect(page).toContain('<button class="main" type="submit">Continue</button>')
  expect(page).toContain("document.getElementById('callback').submit()")

  const again = await aLink(simulator, refreshToken, { response_mode: 'form_post', state })
  const played = await simulator.play({ link: again, as: 'approve' })
  expect(played).toEqual({ kind: 'callback', method: 'POST', url: REDIRECT, form: { code: expect.any(String), state } })
})

test('a link opens within ten minutes, once; a HEAD request does not use it up', async () => {
  const simulator = await aSimulator()
  const { refreshToken } = aConnection(simulator)
  const link = await aLink(simulator, refreshToken)
  const old = await aLink(simulator, refreshToken)
  simulator.clock.advance({ minutes: 10, seconds: -2 })
  await fetch(link, { method: 'HEAD' })
  expect((await get(link)).status).toBe(200)
  const second = await get(link)
  expect(second.status).toBe(410)
  expect(second.body).toContain('This link has expired')
  simulator.clock.advance({ seconds: 3 })
  expect((await get(old)).status).toBe(410)
  expect(await simulator.play({ link: old, as: 'approve' })).toEqual({ kind: 'refused', status: 410 })
})

test('a decision counts once, only after opening, and only while the page is fresh', async () => {
  const simulator = await aSimulator()
  const { refreshToken } = aConnection(simulator)
  const link = await aLink(simulator, refreshToken)
  expect((await decide(link, 'approve')).status).toBe(410)
  await get(link)
  expect((await decide(link, 'maybe')).status).toBe(400)
  expect((await decide(link, 'approve')).status).toBe(303)
  expect((await decide(link, 'approve')).status).toBe(410)
  const left = await aLink(simulator, refreshToken)
  await get(left)
  simulator.clock.advance({ minutes: 11 })
  expect((await decide(left, 'approve')).status).toBe(410)
  expect(simulator.ledger.count({ what: 'code' })).toBe(1)
})

test('an unknown link, or one under another bank, is a friendly 404', async () => {
  const simulator = await aSimulator()
  const { refreshToken } = aConnection(simulator)
  const link = await aLink(simulator, refreshToken)
  for (const wrong of [`${link}x`, link.replace('uk-ob-monzo', 'uk-ob-lloyds')]) {
    const { status, body } = await get(wrong)
    expect([status, body.includes('Unknown link')]).toEqual([404, true])
    expect((await decide(wrong, 'approve')).status).toBe(404)
  }
})

const fullLink = (url: string, changes: Record<string, string | undefined> = {}): string => {
  const fields = {
    response_type: 'code',
    client_id: 'sandbox-test',
    redirect_uri: REDIRECT,
    scope: 'info accounts offline_access',
    providers: 'uk-ob-monzo',
    provider_id: 'uk-ob-monzo',
    state: 's',
    code_challenge: challengeOf(VERIFIER),
    code_challenge_method: 'S256',
    ...changes,
  }
  const set = Object.entries(fields).filter((field): field is [string, string] => field[1] !== undefined)
  return `${url}/?${new URLSearchParams(set)}`
}

test('the full link shows the bank and makes a new connection with its own tokens', async () => {
  const simulator = await aSimulator()
  const callback = await callbackOf(simulator, fullLink(simulator.url), 'approve')
  expect(callback.get('state')).toBe('s')
  const { body } = await exchange(simulator, callback.get('code') ?? '')
  const { sub } = claimsOf(body.access_token)
  expect((await me(simulator, body.access_token)).body.results[0]).toMatchObject({
    credentials_id: sub,
    scopes: ['info', 'accounts', 'offline_access'],
  })
  expect(simulator.connection(String(sub))).toMatchObject({ refreshToken: body.refresh_token, redirectUri: REDIRECT })
  expect(simulator.ledger.count({ what: 'connected' })).toBe(1)
  expect(simulator.ledger.count({ what: 'renewed' })).toBe(0)
})

test('the full link without offline_access gives no refresh token', async () => {
  const simulator = await aSimulator()
  const callback = await callbackOf(simulator, fullLink(simulator.url, { scope: 'info' }), 'approve')
  expect((await exchange(simulator, callback.get('code') ?? '')).body).not.toHaveProperty('refresh_token')
})

test('groups of providers cover their banks, and without provider_id there is a list to choose from', async () => {
  const simulator = await aSimulator()
  aConnection(simulator, { providerId: 'ob-old', providerName: 'Old Bank' })
  expect((await get(fullLink(simulator.url, { providers: 'uk-cs-mock uk-ob-all' }))).status).toBe(200)
  expect((await get(fullLink(simulator.url, { providers: 'uk-ob-all', provider_id: 'ob-old' }))).status).toBe(200)
  const { body } = await get(fullLink(simulator.url, { providers: 'uk-ob-all', provider_id: undefined }))
  expect(body).toContain('Choose your bank')
  const choice = /href="([^"]*provider_id=uk-ob-starling)"/.exec(body)?.[1]?.replaceAll('&amp;', '&')
  expect((await get(`${simulator.url}${choice}`)).body).toContain('Starling (simulated)')
})

test('a provider id with odd characters still has a bank page that works', async () => {
  const simulator = await aSimulator()
  const { refreshToken } = aConnection(simulator, { providerId: 'uk/ob odd?' })
  expect((await callbackOf(simulator, await aLink(simulator, refreshToken), 'approve')).has('code')).toBe(true)
})

const wrongFullLinks: Record<string, Record<string, string | undefined>> = {
  'without client_id': { client_id: undefined },
  'with an unknown client_id': { client_id: 'other' },
  'with a redirect_uri that is not registered': { redirect_uri: 'https://elsewhere.example/' },
  'without scope': { scope: ' ' },
  'without providers': { providers: undefined },
  'with a provider that providers does not cover': { provider_id: 'uk-ob-lloyds' },
  'with a provider nobody knows': { provider_id: 'uk-ob-x', providers: 'uk-ob-x' },
  'with the method plain': { code_challenge_method: 'plain' },
  'with another response_type': { response_type: 'token' },
}
test.each(Object.keys(wrongFullLinks))('a full link %s is a 400 page that says what is wrong', async (key) => {
  const simulator = await aSimulator()
  const { status, body } = await get(fullLink(simulator.url, wrongFullLinks[key]))
  expect([status, body.includes('This link does not work')]).toEqual([400, true])
})

test('a full link is single use, and repeated parameters are refused', async () => {
  const simulator = await aSimulator()
  const link = fullLink(simulator.url)
  expect((await get(`${link}&state=2`)).status).toBe(400)
  expect((await get(link)).status).toBe(200)
  expect((await get(link)).status).toBe(410)
})

test('without a query the root says what this is', async () => {
  const simulator = await aSimulator()
  expect((await get(simulator.url)).body).toContain('<a href="/inbox">Inbox</a>')
  expect((await get(`${simulator.url}/nothing`)).status).toBe(404)
})
