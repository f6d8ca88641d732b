import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { aJwt, expectClean, planted, subject } from './planted.ts'
import { answering } from './scripted-server.ts'

const html = '<html><body><h1>502 Bad Gateway</h1></body></html>'
const asHtml = { 'content-type': 'text/html' }
const unknown = (code: string) => ({ kind: 'in-doubt', code })
const notProcessed = (code: string, retryAfterMs?: number) => ({ kind: 'not-processed', code, retryAfterMs })
const refused = (code: string) => ({ kind: 'refused', code })

interface Case {
  readonly status: number
  readonly body: unknown
  readonly headers?: Record<string, string>
  readonly expected: unknown
}

const cases: Record<string, Case> = {
  '400 invalid_grant is a refusal': {
    status: 400,
    body: { error: 'invalid_grant' },
    expected: refused('grant-refused'),
  },
  '400 invalid_authorization_code is a refusal': {
    status: 400,
    body: { error: 'invalid_authorization_code', error_description: planted.code },
    expected: refused('code-refused'),
  },
  '400 invalid_client is about us': {
    status: 400,
    body: { error: 'invalid_client' },
    expected: notProcessed('client-rejected'),
  },
  '401 invalid_client is about us': {
    status: 401,
    body: { error: 'invalid_client' },
    expected: notProcessed('client-rejected'),
  },
  '401 unauthorized_client is about us': {
    status: 401,
    body: { error: 'unauthorized_client' },
    expected: notProcessed('client-rejected'),
  },
  'invalid_client with a status it never has is unknown': {
    status: 403,
    body: { error: 'invalid_client' },
    expected: unknown('provider-garbled'),
  },
  'a server error that says invalid_client is unknown': {
    status: 500,
    body: { error: 'invalid_client' },
    expected: unknown('provider-failed'),
  },
  'a success that says invalid_client is unknown': {
    status: 200,
    body: { error: 'invalid_client' },
    expected: unknown('provider-garbled'),
  },
  'a success that says invalid_grant is unknown': {
    status: 200,
    body: { error: 'invalid_grant' },
    expected: unknown('provider-garbled'),
  },
  'two different errors in one answer are no ground for sending again': {
    status: 400,
    body: '{"error":"invalid_grant","error" : "invalid_client"}',
    expected: unknown('provider-garbled'),
  },
  'an error quoted inside a description does not make it two': {
    status: 400,
    body: { error: 'invalid_client', error_description: 'we said "error": "invalid_client"' },
    expected: notProcessed('client-rejected'),
  },
  'an error code nobody documented is unknown': {
    status: 400,
    body: { error: 'code_flow_disturbed' },
    expected: unknown('provider-garbled'),
  },
  'invalid_request is unknown': {
    status: 400,
    body: { error: 'invalid_request' },
    expected: unknown('provider-garbled'),
  },
  'an error that is no word is unknown': {
    status: 400,
    body: { error: { code: 'invalid_client' } },
    expected: unknown('provider-garbled'),
  },
  'a 400 with an empty body is unknown': { status: 400, body: '', expected: unknown('provider-garbled') },
  'a 404 is unknown': { status: 404, body: { error: 'not_found' }, expected: unknown('provider-garbled') },
  'a 403 page of a firewall is unknown': {
    status: 403,
    body: html,
    headers: asHtml,
    expected: unknown('provider-garbled'),
  },
  '408 is a time-out after it was sent': { status: 408, body: '', expected: unknown('provider-timeout') },
  '500 is unknown': { status: 500, body: { error: 'internal_server_error' }, expected: unknown('provider-failed') },
  '502 with a page is unknown': { status: 502, body: html, headers: asHtml, expected: unknown('provider-failed') },
  '503 with Retry-After is unknown all the same': {
    status: 503,
    body: '{}',
    headers: { 'retry-after': '1' },
    expected: unknown('provider-failed'),
  },
  '504 provider_timeout is unknown': {
    status: 504,
    body: { error: 'provider_timeout' },
    expected: unknown('provider-failed'),
  },
  '429 without Retry-After': { status: 429, body: '{}', expected: notProcessed('provider-rate-limited') },
  '429 with seconds': {
    status: 429,
    body: html,
    headers: { 'retry-after': '7' },
    expected: notProcessed('provider-rate-limited', 7000),
  },
  '429 with a date, measured by the sender’s own clock': {
    status: 429,
    body: '{}',
    headers: { date: 'Mon, 02 Nov 2026 10:00:00 GMT', 'retry-after': 'Mon, 02 Nov 2026 10:01:30 GMT' },
    expected: notProcessed('provider-rate-limited', 90_000),
  },
  '429 with nonsense': {
    status: 429,
    body: '{}',
    headers: { 'retry-after': 'soon' },
    expected: notProcessed('provider-rate-limited'),
  },
  '200 with a page is unknown': { status: 200, body: html, headers: asHtml, expected: unknown('provider-garbled') },
  '200 with half a JSON is unknown': {
    status: 200,
    body: '{"access_token":"abc"',
    expected: unknown('provider-garbled'),
  },
  '200 with a list is unknown': { status: 200, body: [{ access_token: 'abc' }], expected: unknown('provider-garbled') },
  '200 with null is unknown': { status: 200, body: 'null', expected: unknown('provider-garbled') },
  '200 without access_token is unknown': {
    status: 200,
    body: { refresh_token: 'abc' },
    expected: unknown('provider-garbled'),
  },
  '200 with an empty access_token is unknown': {
    status: 200,
    body: { access_token: '' },
    expected: unknown('provider-garbled'),
  },
  '200 with an access_token that is no text is unknown': {
    status: 200,
    body: { access_token: 42 },
    expected: unknown('provider-garbled'),
  },
  '200 with a token that no header can carry is unknown': {
    status: 200,
    body: { access_token: 'a\r\nx: y' },
    expected: unknown('provider-garbled'),
  },
  '200 success:false is unknown': { status: 200, body: { success: false }, expected: unknown('provider-garbled') },
  '204 is unknown': { status: 204, body: '', expected: unknown('provider-garbled') },
}

describe('an answer without tokens', () => {
  for (const [name, { status, body, headers, expected }] of Object.entries(cases)) {
    test(name, async () => {
      const server = await answering(status, body, headers)
      const it = subject(server.url)
      const answer = await it.exchange()
      expect(answer).toEqual(expected)
      expect(server.requests()).toBe(1)
      expectClean(answer, it)
      expect(await it.refresh()).toEqual(expected)
    })
  }
})

describe('the request', () => {
  test('an exchange is one form with every field', async () => {
    const server = await answering(400, { error: 'invalid_grant' })
    await subject(`${server.url}/`).exchange()
    const [head = '', body = ''] = server.received().split('\r\n\r\n')
    expect(head).toMatch(/^POST \/connect\/token HTTP\/1\.1\r\n/)
    expect(head).toMatch(/^content-type: application\/x-www-form-urlencoded\r?$/im)
    expect(head).toMatch(/^user-agent: reconsent\r?$/im)
    expect(head).not.toMatch(/authorization/i)
    expect(Object.fromEntries(new URLSearchParams(body))).toEqual({
      grant_type: 'authorization_code',
      client_id: 'reconsent-test',
      client_secret: planted.clientSecret,
      code: planted.code,
      redirect_uri: 'https://company.example/callback',
      code_verifier: planted.codeVerifier,
    })
  })

  test('a refresh is one form with every field', async () => {
    const server = await answering(400, { error: 'invalid_grant' })
    await subject(server.url).refresh()
    expect(Object.fromEntries(new URLSearchParams(server.received().split('\r\n\r\n')[1]))).toEqual({
      grant_type: 'refresh_token',
      client_id: 'reconsent-test',
      client_secret: planted.clientSecret,
      refresh_token: planted.refreshToken,
    })
  })
})

describe('tokens', () => {
  const tokensFrom = async (body: unknown, headers: Record<string, string> = {}, status = 200) => {
    const server = await answering(status, body, headers)
    const it = subject(server.url)
    const answer = await it.exchange()
    expectClean(answer, it)
    if (answer.kind !== 'tokens') throw new Error(`expected tokens, got ${answer.kind}`)
    expect(server.requests()).toBe(1)
    const { accessToken, refreshToken, credentialsId, expiresInSeconds } = answer.tokens
    return { accessToken: accessToken.reveal(), refreshToken: refreshToken?.reveal(), credentialsId, expiresInSeconds }
  }
  const jwt = aJwt({ sub: 'the-connection' })

  test('a whole answer', async () => {
    const body = {
      access_token: jwt,
      refresh_token: planted.refreshToken,
      expires_in: 1800,
      token_type: 'Bearer',
      scope: 'info',
    }
    expect(await tokensFrom(body)).toEqual({
      accessToken: jwt,
      refreshToken: planted.refreshToken,
      credentialsId: 'the-connection',
      expiresInSeconds: 1800,
    })
  })

  test('a gzip answer', async () => {
    const body = gzipSync(JSON.stringify({ access_token: jwt }))
    expect(await tokensFrom(body, { 'content-encoding': 'gzip' })).toMatchObject({ credentialsId: 'the-connection' })
  })

  test('a 201, since received tokens are never thrown away', async () => {
    expect(await tokensFrom({ access_token: jwt }, {}, 201)).toMatchObject({ accessToken: jwt })
  })

  test('a byte order mark, a wrong content type', async () => {
    expect(await tokensFrom(`\uFEFF{"access_token":"${jwt}"}`, { 'content-type': 'text/plain' })).toMatchObject({
      accessToken: jwt,
    })
  })

  test('repeated keys: the last one counts', async () => {
    expect(await tokensFrom('{"access_token":"first","access_token":"last"}')).toMatchObject({ accessToken: 'last' })
  })

  for (const [name, value] of Object.entries({
    absent: undefined,
    empty: '',
    null: null,
    'a number': 7,
    'unfit for a form': 'a\nb',
  })) {
    test(`a refresh token that is ${name} is none`, async () => {
      expect(await tokensFrom({ access_token: jwt, refresh_token: value })).toMatchObject({ refreshToken: undefined })
    })
  }

  for (const [given, seconds] of [
    [undefined, 3600],
    ['900', 900],
    [0, 3600],
    [-5, 3600],
    ['soon', 3600],
    [12.9, 12],
  ] as const) {
    test(`expires_in ${String(given)} is ${seconds} s`, async () => {
      expect(await tokensFrom({ access_token: jwt, expires_in: given })).toMatchObject({ expiresInSeconds: seconds })
    })
  }

  const base64 = (text: string) => Buffer.from(text).toString('base64').replaceAll('+', '-').replaceAll('/', '_')
  const withoutIdentity: Record<string, string> = {
    'an opaque token': 'opaque',
    'two parts': jwt.split('.').slice(0, 2).join('.'),
    'five parts (encrypted)': `${jwt}.a.b`,
    'an empty payload': 'a..c',
    'a payload that is not base64url': 'a.!!!!.c',
    'a payload that is not JSON': aJwt('sub=the-connection'),
    'a payload that is a list': aJwt([{ sub: 'x' }]),
    'a payload that is null': aJwt('null'),
    'no sub': aJwt({ client_id: 'x' }),
    'an empty sub': aJwt({ sub: '' }),
    'a sub that is a number': aJwt({ sub: 42 }),
    'a sub that is an object': aJwt({ sub: { id: 'x' } }),
    'a sub with control characters': aJwt({ sub: 'a\nb' }),
    'a sub of a thousand letters': aJwt({ sub: 'a'.repeat(1000) }),
  }
  for (const [name, token] of Object.entries(withoutIdentity)) {
    test(`${name}: tokens without an identity`, async () => {
      expect(await tokensFrom({ access_token: token })).toMatchObject({ accessToken: token, credentialsId: undefined })
    })
  }

  test('a padded payload is read', async () => {
    expect(await tokensFrom({ access_token: aJwt({ sub: 'ab' }, base64) })).toMatchObject({ credentialsId: 'ab' })
  })
})
