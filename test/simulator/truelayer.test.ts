// The protocol by real HTTP, one test for each row of the table of simulator behaviour.
import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import {
  REDIRECT,
  OTHER_REDIRECT,
  VERIFIER,
  aCode,
  aConnection,
  aLink,
  aSimulator,
  callbackOf,
  claimsOf,
  exchange,
  get,
  me,
  postJson,
  reauth,
  refresh,
} from './a-simulator.ts'

describe('POST /v1/reauthuri', () => {
  test('a valid token of a UK bank gets a link to the bank, until 90 days after expiry to the second', async () => {
    const simulator = await aSimulator()
    const expiresAt = simulator.clock.now().plus({ days: 10 })
    const { refreshToken, credentialsId } = aConnection(simulator, { expiresAt })
    for (const at of [
      simulator.clock.now(),
      expiresAt.plus({ seconds: 1 }),
      expiresAt.plus({ days: 90 }).minus({ seconds: 2 }),
    ]) {
      simulator.clock.set(at)
      const { status, body, headers } = await reauth(simulator, refreshToken)
      expect(status).toBe(200)
      expect(body).toEqual({
        success: true,
        result: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/bank\/uk-ob-monzo\/authorise\/[\w-]{32}$/),
      })
      expect(headers.get('x-tl-correlation-id')).toMatch(/^[0-9a-f-]{36}$/)
    }
    simulator.clock.set(expiresAt.plus({ days: 90, seconds: 1 }))
    const late = await reauth(simulator, refreshToken)
    expect([late.status, late.body.error, late.body.error_details.reason]).toEqual([401, 'unauthorized', 'past_grace'])
    expect(simulator.ledger.count({ what: 'reauthuri', outcome: 'ok', credentials_id: credentialsId })).toBe(3)
  })

  const malformed: Record<string, Record<string, unknown>> = {
    'no response_type': { response_type: undefined },
    'a response_type other than code': { response_type: 'token' },
    'no refresh_token': { refresh_token: undefined },
    'an empty refresh_token': { refresh_token: '' },
    'a refresh_token that is a list': { refresh_token: ['a'] },
    'no redirect_uri': { redirect_uri: undefined },
    'the method plain': { code_challenge_method: 'plain' },
    'a challenge without its method': { code_challenge_method: undefined },
    'a method without its challenge': { code_challenge: undefined },
    'a challenge that is no SHA-256': { code_challenge: 'short' },
    'an unknown response_mode': { response_mode: 'fragment' },
    'a state that is a list': { state: ['a', 'b'] },
  }
  test.each(Object.keys(malformed))('%s is 400 invalid_request', async (key) => {
    const simulator = await aSimulator()
    const { refreshToken } = aConnection(simulator)
    const { status, body } = await reauth(simulator, refreshToken, malformed[key])
    expect([status, body.error]).toEqual([400, 'invalid_request'])
  })

  test('a form, a list, broken JSON and no body at all are 400 invalid_request', async () => {
    const simulator = await aSimulator()
    const url = `${simulator.url}/v1/reauthuri`
    const { refreshToken } = aConnection(simulator)
    const form = new URLSearchParams({ response_type: 'code', refresh_token: refreshToken, redirect_uri: REDIRECT })
    const json = { 'content-type': 'application/json' }
    const requests: RequestInit[] = [
      { body: form },
      { body: '[]', headers: json },
      { body: '{"a":', headers: json },
      { body: '', headers: json },
      {},
    ]
    for (const request of requests) {
      const { status, body } = await get(url, { method: 'POST', ...request })
      expect([status, body.error]).toEqual([400, 'invalid_request'])
    }
  })

  test('unknown and revoked tokens are 401 unauthorized', async () => {
    const simulator = await aSimulator()
    const { refreshToken, credentialsId } = aConnection(simulator)
    const unknown = await reauth(simulator, 'never-issued')
    simulator.revokeConnection(credentialsId)
    const revoked = await reauth(simulator, refreshToken)
    expect([unknown.status, unknown.body.error]).toEqual([401, 'unauthorized'])
    expect([revoked.status, revoked.body.error, revoked.body.error_details.reason]).toEqual([
      401,
      'unauthorized',
      'revoked',
    ])
  })

  test('a bank outside the UK is 401; UK and GB are the same', async () => {
    const simulator = await aSimulator()
    const french = aConnection(simulator, { providerId: 'fr-stet-caisse-depargne', country: 'fr' })
    const british = aConnection(simulator, { providerId: 'uk-ob-lloyds', country: 'uk' })
    expect((await reauth(simulator, french.refreshToken)).status).toBe(401)
    expect((await reauth(simulator, british.refreshToken)).status).toBe(200)
  })

  test('a redirect_uri that is not registered is 401 unauthorized_client, one not the original is 401', async () => {
    const simulator = await aSimulator()
    const { refreshToken } = aConnection(simulator)
    const foreign = await reauth(simulator, refreshToken, { redirect_uri: 'https://elsewhere.example/' })
    const other = await reauth(simulator, refreshToken, { redirect_uri: OTHER_REDIRECT })
    expect([foreign.status, foreign.body.error]).toEqual([401, 'unauthorized_client'])
    expect([other.status, other.body.error, other.body.error_details.reason]).toEqual([
      401,
      'unauthorized',
      'redirect_uri_not_original',
    ])
  })
})

describe('the exchange of a code', () => {
  test('success: same credentials_id, same refresh token, 90 days from now, by form and by JSON', async () => {
    const simulator = await aSimulator()
    for (const asJson of [false, true]) {
      const { refreshToken, credentialsId, dates } = aConnection(simulator)
      const code = await aCode(simulator, refreshToken)
      const fields = {
        grant_type: 'authorization_code',
        client_id: 'sandbox-test',
        client_secret: 'the-secret',
        code,
        redirect_uri: REDIRECT,
        code_verifier: VERIFIER,
      }
      const { status, body } = asJson
        ? await postJson(`${simulator.url}/connect/token`, fields)
        : await exchange(simulator, code)
      expect(status).toBe(200)
      expect(body).toMatchObject({ refresh_token: refreshToken, expires_in: 3600, token_type: 'Bearer' })
      const { sub, exp } = claimsOf(body.access_token)
      expect(sub).toBe(credentialsId)
      expect(exp).toBeCloseTo(simulator.clock.now().toSeconds() + 3600, -1)

      const proof = (await me(simulator, body.access_token)).body.results[0]
      expect(proof).toMatchObject({
        client_id: 'sandbox-test',
        credentials_id: credentialsId,
        consent_created_at: dates.createdAt.toISO(),
      })
      expect(proof.provider).toMatchObject({ provider_id: 'uk-ob-monzo', display_name: 'Monzo' })
      const days = DateTime.fromISO(proof.consent_expires_at).diff(simulator.clock.now(), 'days').days
      expect(days).toBeGreaterThan(89.99)
      expect(days).toBeLessThanOrEqual(90)
      expect(simulator.ledger.count({ what: 'renewed', credentials_id: credentialsId })).toBe(1)
    }
  })

  test('a code lives five minutes and no longer', async () => {
    const simulator = await aSimulator()
    const { refreshToken, credentialsId } = aConnection(simulator)
    const inTime = await aCode(simulator, refreshToken)
    simulator.clock.advance({ minutes: 5, seconds: -2 })
    expect((await exchange(simulator, inTime)).status).toBe(200)
    const late = await aCode(simulator, refreshToken)
    simulator.clock.advance({ minutes: 5, seconds: 1 })
    const { status, body } = await exchange(simulator, late)
    expect([status, body.error, body.error_details.reason]).toEqual([400, 'invalid_authorization_code', 'too_old'])
    expect(simulator.ledger.count({ what: 'renewed', credentials_id: credentialsId })).toBe(1)
  })

  test('a wrong code is refused', async () => {
    const { status, body } = await exchange(await aSimulator(), 'never-issued')
    expect([status, body.error]).toEqual([400, 'invalid_authorization_code'])
  })

  test('a reused code is refused and revokes the tokens of the first use', async () => {
    const simulator = await aSimulator()
    const { refreshToken, credentialsId } = aConnection(simulator)
    const code = await aCode(simulator, refreshToken)
    const first = await exchange(simulator, code)
    simulator.clock.advance({ days: 1 })
    const second = await exchange(simulator, code)
    expect([second.status, second.body.error, second.body.error_details.reason]).toEqual([
      400,
      'invalid_authorization_code',
      'reused',
    ])
    expect((await me(simulator, first.body.access_token)).status).toBe(401)
    expect((await refresh(simulator, refreshToken)).body.error).toBe('invalid_grant')
    expect((await reauth(simulator, refreshToken)).status).toBe(401)
    expect(simulator.ledger.entries({ what: 'revoked' })).toMatchObject([
      { credentials_id: credentialsId, detail: 'code_reused' },
    ])
  })

  test('a redirect mismatch, a bad, absent or surplus verifier: invalid_grant, and the code stays usable', async () => {
    const simulator = await aSimulator()
    const { refreshToken } = aConnection(simulator)
    const code = await aCode(simulator, refreshToken)
    for (const wrong of [{ redirect_uri: OTHER_REDIRECT }, { code_verifier: 'another-verifier' }]) {
      const { status, body } = await exchange(simulator, code, wrong)
      expect([status, body.error]).toEqual([400, 'invalid_grant'])
    }
    const absent = await postJson(`${simulator.url}/connect/token`, {
      grant_type: 'authorization_code',
      client_id: 'sandbox-test',
      client_secret: 'the-secret',
      code,
      redirect_uri: REDIRECT,
    })
    expect([absent.status, absent.body.error]).toEqual([400, 'invalid_grant'])
    expect((await exchange(simulator, code)).status).toBe(200)

    const plainLink = await aLink(simulator, refreshToken, {
      code_challenge: undefined,
      code_challenge_method: undefined,
    })
    const plainCode = (await callbackOf(simulator, plainLink, 'approve')).get('code') ?? ''
    expect((await exchange(simulator, plainCode)).body.error).toBe('invalid_grant')
  })

  test('a wrong secret or client id is 400 invalid_client and uses nothing up', async () => {
    const simulator = await aSimulator()
    const { refreshToken } = aConnection(simulator)
    const code = await aCode(simulator, refreshToken)
    for (const wrong of [{ client_secret: 'wrong' }, { client_id: 'wrong' }]) {
      expect((await exchange(simulator, code, wrong)).body.error).toBe('invalid_client')
      expect((await refresh(simulator, refreshToken, wrong)).body.error).toBe('invalid_client')
    }
    expect((await exchange(simulator, code)).status).toBe(200)
  })

  test('an unknown grant type and missing or repeated fields have clear errors', async () => {
    const simulator = await aSimulator()
    const url = `${simulator.url}/connect/token`
    expect((await postJson(url, { grant_type: 'password' })).body.error).toBe('unsupported_grant_type')
    expect((await postJson(url, [])).body.error).toBe('unsupported_grant_type')
    expect(
      (await postJson(url, { grant_type: 'refresh_token', client_id: 'a', client_secret: 'b' })).body.error_details
        .reason,
    ).toBe('refresh_token')
    const repeated = new URLSearchParams([
      ['grant_type', 'authorization_code'],
      ['client_id', 'a'],
      ['client_secret', 'b'],
      ['redirect_uri', REDIRECT],
      ['code', '1'],
      ['code', '2'],
    ])
    const { status, body } = await get(url, { method: 'POST', body: repeated })
    expect([status, body.error, body.error_details.reason]).toEqual([400, 'invalid_request', 'code'])
  })

  test('a code of a connection that was revoked meanwhile is invalid_grant', async () => {
    const simulator = await aSimulator()
    const { refreshToken, credentialsId } = aConnection(simulator)
    const code = await aCode(simulator, refreshToken)
    simulator.revokeConnection(credentialsId)
    expect((await exchange(simulator, code)).body.error).toBe('invalid_grant')
  })

  test('approving as somebody else gives tokens of another connection and leaves this one as it was', async () => {
    const simulator = await aSimulator()
    const { refreshToken, credentialsId, dates } = aConnection(simulator)
    const { status, body } = await exchange(simulator, await aCode(simulator, refreshToken, 'somebody-else'))
    expect(status).toBe(200)
    expect(claimsOf(body.access_token).sub).not.toBe(credentialsId)
    expect(body.refresh_token).not.toBe(refreshToken)
    expect((await me(simulator, body.access_token)).body.results[0]).toMatchObject({
      credentials_id: claimsOf(body.access_token).sub,
      provider: { provider_id: 'uk-ob-monzo' },
    })
    expect(simulator.connection(credentialsId)).toMatchObject({ dates, revoked: false, refreshToken })
    expect((await refresh(simulator, refreshToken)).status).toBe(200)
  })
})

describe('refresh, /me and delete', () => {
  test('after expiry a refresh is invalid_grant while reauth still works, and revives the token', async () => {
    const simulator = await aSimulator()
    const expiresAt = simulator.clock.now().plus({ days: 1 })
    const { refreshToken } = aConnection(simulator, { expiresAt })
    expect((await refresh(simulator, refreshToken)).status).toBe(200)
    simulator.clock.set(expiresAt)
    const { status, body } = await refresh(simulator, refreshToken)
    expect([status, body.error, body.error_details.reason]).toEqual([400, 'invalid_grant', 'expired'])
    expect((await exchange(simulator, await aCode(simulator, refreshToken))).status).toBe(200)
    expect((await refresh(simulator, refreshToken)).status).toBe(200)
  })

  test('only the latest access token works', async () => {
    const simulator = await aSimulator()
    const { refreshToken } = aConnection(simulator)
    const first = (await refresh(simulator, refreshToken)).body.access_token
    const second = (await refresh(simulator, refreshToken)).body.access_token
    const old = await me(simulator, first)
    expect([old.status, old.body.error, old.body.error_details.reason]).toEqual([
      401,
      'unauthorized',
      'superseded_token',
    ])
    expect((await me(simulator, second)).status).toBe(200)
    expect((await me(simulator, 'never-issued')).status).toBe(401)
    expect((await get(`${simulator.url}/data/v1/me`)).status).toBe(401)
  })

  test('an access token ends after an hour (401), the consent with its expiry (403)', async () => {
    const simulator = await aSimulator()
    const expiresAt = simulator.clock.now().plus({ days: 2 })
    const { refreshToken } = aConnection(simulator, { expiresAt })
    const { access_token } = (await refresh(simulator, refreshToken)).body
    simulator.clock.advance({ hours: 1 })
    expect((await me(simulator, access_token)).body).toMatchObject({
      error: 'unauthorized',
      error_details: { reason: 'token_expired' },
    })
    simulator.clock.set(expiresAt)
    const { status, body } = await me(simulator, access_token)
    expect([status, body.error]).toEqual([403, 'access_denied'])
  })

  test('DELETE /api/delete answers 200 with an empty body and ends the connection', async () => {
    const simulator = await aSimulator()
    const { refreshToken, credentialsId } = aConnection(simulator)
    const { access_token } = (await refresh(simulator, refreshToken)).body
    const gone = await get(`${simulator.url}/api/delete`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${access_token}` },
    })
    expect([gone.status, gone.body]).toEqual([200, ''])
    expect(simulator.connection(credentialsId)?.revoked).toBe(true)
    expect(
      (
        await get(`${simulator.url}/api/delete`, {
          method: 'DELETE',
          headers: { authorization: `Bearer ${access_token}` },
        })
      ).status,
    ).toBe(401)
  })

  test('GET /api/providers lists banks, seeded ones too, for a known client only', async () => {
    const simulator = await aSimulator()
    aConnection(simulator, { providerId: 'uk-ob-tiny', providerName: 'Tiny Bank' })
    const { body } = await get(`${simulator.url}/api/providers?clientId=sandbox-test`)
    expect(body).toContainEqual(
      expect.objectContaining({ provider_id: 'uk-ob-tiny', display_name: 'Tiny Bank', country: 'uk' }),
    )
    expect((await get(`${simulator.url}/api/providers?clientId=other`)).status).toBe(400)
    expect((await get(`${simulator.url}/api/providers`)).status).toBe(400)
  })
})

test('the ledger names no token, code, link or state', async () => {
  const simulator = await aSimulator()
  const { refreshToken } = aConnection(simulator)
  const link = await aLink(simulator, refreshToken)
  const code = (await callbackOf(simulator, link, 'approve')).get('code') ?? ''
  const { body } = await exchange(simulator, code)
  await me(simulator, body.access_token)
  const book = JSON.stringify(simulator.ledger.entries())
  for (const secret of [refreshToken, link, code, body.access_token, 'a-state', VERIFIER])
    expect(book).not.toContain(secret)
  expect(simulator.ledger.entries().map(({ what, outcome }) => `${what} ${outcome}`)).toEqual([
    'seeded ok',
    'reauthuri ok',
    'bank ok',
    'code ok',
    'decision approve',
    'renewed ok',
    'exchange ok',
    'me ok',
  ])
})
