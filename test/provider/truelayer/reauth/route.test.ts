import { describe, expect, test } from 'vitest'
import type { LinkRejected } from '../../../../src/provider/port.ts'
import { expectClean, planted, subject } from '../planted.ts'
import { afterRequest, answering, refusedPort, tcpServer } from '../scripted-server.ts'

const html = '<html><body>no</body></html>'
const unavailable = (code: string, retryAfterMs?: number) => ({ kind: 'unavailable', code, retryAfterMs })

describe('route reauth', () => {
  test('asks with the refresh token, the original redirect, state and PKCE, and no client credentials', async () => {
    const server = await answering(200, { result: 'https://bank.example/consent?x=planted-link', success: true })
    const it = subject(server.url)
    const answer = await it.link()
    if (answer.kind !== 'link') throw new Error(`expected a link, got ${answer.kind}`)
    expect(answer.url.reveal()).toBe('https://bank.example/consent?x=planted-link')
    const [head = '', body = ''] = server.received().split('\r\n\r\n')
    expect(head).toMatch(/^POST \/v1\/reauthuri HTTP\/1\.1\r\n/)
    expect(head).not.toMatch(/authorization/i)
    expect(head).toMatch(/^content-type: application\/json\r?$/im)
    expect(JSON.parse(body)).toEqual({
      response_type: 'code',
      refresh_token: planted.refreshToken,
      redirect_uri: 'https://company.example/callback',
      state: planted.state,
      code_challenge: 'the-challenge',
      code_challenge_method: 'S256',
    })
    expectClean(answer, it)
  })

  for (const result of [
    'http://127.0.0.1:4000/bank',
    'http://localhost:4000/bank',
    'http://[::1]:4000/bank',
    'http://bank.localhost/',
  ]) {
    test(`${result} is usable: it stays on this machine`, async () => {
      const server = await answering(200, { result, success: true })
      expect(await subject(server.url).link()).toMatchObject({ kind: 'link' })
    })
  }

  const unusable: Record<string, unknown> = {
    'success false': { result: 'https://bank.example/', success: false },
    'success as text': { result: 'https://bank.example/', success: 'true' },
    'no success': { result: 'https://bank.example/' },
    'no result': { success: true },
    'an empty result': { result: '', success: true },
    'a result that is an object': { result: { uri: 'https://bank.example/' }, success: true },
    'http to another machine': { result: 'http://bank.example/', success: true },
    'http to a name that starts like this machine': { result: 'http://127.0.0.1.evil.example/', success: true },
    'javascript:': { result: 'javascript:alert(1)//https://bank.example', success: true },
    'data:': { result: 'data:text/html,hello', success: true },
    'an app’s scheme': { result: 'mybank://consent', success: true },
    'a path': { result: '/consent', success: true },
    'a user name before the host': { result: 'https://truelayer.com@evil.example/', success: true },
    'several results': { result: ['https://bank.example/'], success: true },
  }
  for (const [name, body] of Object.entries(unusable)) {
    test(`${name} is no usable link`, async () => {
      const server = await answering(200, body)
      const it = subject(server.url)
      const answer = await it.link()
      expect(answer).toEqual(unavailable('link-unusable'))
      expectClean(answer, it)
    })
  }

  test('control characters do not survive in a link', async () => {
    const server = await answering(200, { result: 'https://bank.example/a\r\nset-cookie: b', success: true })
    const answer = await subject(server.url).link()
    if (answer.kind !== 'link') throw new Error(`expected a link, got ${answer.kind}`)
    expect(answer.url.reveal()).toBe('https://bank.example/aset-cookie:%20b')
  })

  const rejections: readonly [status: number, body: unknown, word: string, blames: LinkRejected['blames']][] = [
    [401, { error: 'unauthorized' }, 'unauthorized', 'token'],
    [400, { error: 'invalid_grant' }, 'invalid_grant', 'token'],
    [401, { error: 'unauthorized_client' }, 'unauthorized_client', 'client'],
    [400, { error: 'invalid_client' }, 'invalid_client', 'client'],
    [401, { error: 'unauthorized', error_description: 'Unknown client_id' }, 'unauthorized', 'client'],
    [
      401,
      { error: 'unauthorized_client', error_details: { reason: 'redirect_uri_not_registered' } },
      'unauthorized_client',
      'redirect-uri',
    ],
    [400, { error: 'invalid_request', error_description: 'Invalid redirect uri' }, 'invalid_request', 'redirect-uri'],
    [400, { error: 'invalid_request', error_description: planted.refreshToken }, 'invalid_request', 'request'],
    [403, { error: 'never_heard_of' }, 'never_heard_of', 'request'],
    [404, {}, 'unspecified', 'request'],
    [401, { error: `token ${planted.refreshToken} is dead` }, 'unrecognised', 'token'],
    [401, { error: 'a'.repeat(65) }, 'unrecognised', 'token'],
    [401, { error: { reason: planted.refreshToken } }, 'unrecognised', 'token'],
    [422, { error: 'Expired' }, 'unrecognised', 'request'],
  ]
  for (const [status, body, providerError, blames] of rejections) {
    const what = JSON.stringify(body).slice(0, 70)
    test(`a ${status} with ${what} is a rejection: ${providerError}, ${blames}`, async () => {
      const server = await answering(status, body)
      const it = subject(server.url)
      const answer = await it.link()
      expect(answer).toEqual({ kind: 'rejected', status, providerError, blames })
      expectClean(answer, it)
    })
  }

  const passing: readonly [status: number, body: string, headers: Record<string, string>, expected: unknown][] = [
    [429, '{"error":"slow_down"}', { 'retry-after': '30' }, unavailable('provider-rate-limited', 30_000)],
    [429, html, {}, unavailable('provider-rate-limited')],
    [500, '{"error":"internal_server_error"}', {}, unavailable('provider-failed')],
    [502, html, {}, unavailable('provider-failed')],
    [503, html, { 'retry-after': '120' }, unavailable('provider-failed', 120_000)],
    [408, '{}', {}, unavailable('provider-timeout')],
    [403, html, {}, unavailable('provider-garbled')],
    [401, '', {}, unavailable('provider-garbled')],
    [200, html, {}, unavailable('provider-garbled')],
    [200, '["https://bank.example/"]', {}, unavailable('provider-garbled')],
    [
      302,
      '{"result":"https://bank.example/","success":true}',
      { location: 'https://bank.example/' },
      unavailable('provider-garbled'),
    ],
  ]
  for (const [status, body, headers, expected] of passing) {
    test(`a ${status} with ${body.slice(0, 30) || 'nothing'} says nothing about the connection`, async () => {
      const server = await answering(status, body, headers)
      const it = subject(server.url)
      const answer = await it.link()
      expect(answer).toEqual(expected)
      expect(server.requests()).toBe(1)
      expectClean(answer, it)
    })
  }

  test('no server, no answer, an answer without end', async () => {
    expect(await subject(await refusedPort()).link()).toEqual(unavailable('provider-unreachable'))
    const silent = await tcpServer(() => {})
    expect(await subject(silent.url, { requestTimeoutMs: 300 }).link()).toEqual(unavailable('provider-timeout'))
    const closing = await tcpServer(afterRequest((socket) => socket.destroy()))
    expect(await subject(closing.url).link()).toEqual(unavailable('provider-unreachable'))
    expect(closing.requests()).toBe(1)
  })
})
