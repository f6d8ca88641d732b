// As in production: TLS to a trusted host. In a file of its own, because the trust applies to the whole process.
import tls from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { expectClean, subject } from './planted.ts'
import { afterRequest, response, tlsServer } from './scripted-server.ts'
import { selfSigned } from './self-signed.ts'

const trusted = tls.getCACertificates('default')
beforeAll(() => tls.setDefaultCACertificates([...trusted, selfSigned.cert]))
afterAll(() => tls.setDefaultCACertificates(trusted))

test('the tokens come back', async () => {
  const server = await tlsServer(afterRequest((socket) => void socket.end(response(200, '{"access_token":"opaque"}'))))
  expect(await subject(server.url).exchange()).toMatchObject({ kind: 'tokens' })
  expect(server.requests()).toBe(1)
})

test('closed right after the handshake: the request may have been read, so the outcome is unknown', async () => {
  const server = await tlsServer((socket) => socket.destroy())
  const it = subject(server.url)
  const answer = await it.exchange()
  expect(answer).toEqual({ kind: 'in-doubt', code: 'provider-unreachable' })
  expect(server.connections()).toBe(1)
  expectClean(answer, it)
})

test('reset after the request was read: unknown, sent once', async () => {
  const server = await tlsServer(afterRequest((socket) => socket.destroy()))
  const it = subject(server.url)
  expect(await it.exchange()).toEqual({ kind: 'in-doubt', code: 'provider-unreachable' })
  expect(server.requests()).toBe(1)
})

test('silence after the request: unknown, sent once', async () => {
  const server = await tlsServer(() => {})
  expect(await subject(server.url, { requestTimeoutMs: 400 }).exchange()).toEqual({
    kind: 'in-doubt',
    code: 'provider-timeout',
  })
  expect(server.requests()).toBe(1)
})

test('the certificate is for another host: nothing was sent', async () => {
  const server = await tlsServer(() => {})
  const elsewhere = server.url.replace('127.0.0.1', '127.0.0.2')
  expect(await subject(elsewhere, { requestTimeoutMs: 3000 }).exchange()).toMatchObject({ kind: 'not-processed' })
  expect(server.received()).toBe('')
})
