import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { Secret } from '../../../src/secret.ts'
import { expectClean, subject } from './planted.ts'
import { afterRequest, answering, refusedPort, response, tcpServer, tlsServer } from './scripted-server.ts'
import type { Scripted } from './scripted-server.ts'

const notProcessed = { kind: 'not-processed', code: 'provider-unreachable', retryAfterMs: undefined }
const unknown = (code: string) => ({ kind: 'in-doubt', code })
const aTokenBody = { access_token: 'opaque', expires_in: 3600, token_type: 'Bearer' }

describe('no byte of the request left, so the code may be sent again', () => {
  test('nobody listens on the port', async () => {
    const url = await refusedPort()
    const it = subject(url)
    const answer = await it.exchange()
    expect(answer).toEqual(notProcessed)
    expect(it.logged()).toContain('ECONNREFUSED')
    expectClean(answer, it, url.slice('http://'.length))
  })

  test('the host name does not resolve', async () => {
    const it = subject('https://auth.reconsent.invalid', { requestTimeoutMs: 15_000 })
    const answer = await it.exchange()
    expect(answer).toEqual(notProcessed)
    expectClean(answer, it, 'reconsent.invalid')
  })

  test('the certificate is not trusted', async () => {
    const server = await tlsServer(() => {})
    const it = subject(server.url)
    const answer = await it.exchange()
    expect(answer).toEqual(notProcessed)
    expect(it.logged()).toContain('DEPTH_ZERO_SELF_SIGNED_CERT')
    expect(server.received()).toBe('')
    expectClean(answer, it, server.url.slice('https://'.length))
  })

  test('the other side does not speak TLS', async () => {
    const server = await tcpServer((socket) =>
      socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
    )
    const it = subject(server.url.replace('http:', 'https:'))
    expect(await it.exchange()).toEqual(notProcessed)
    expect(server.received()).not.toContain('POST')
  })

  test('the other side closes during the TLS handshake', async () => {
    const server = await tcpServer((socket) => socket.once('data', () => socket.destroy()))
    expect(await subject(server.url.replace('http:', 'https:')).exchange()).toEqual(notProcessed)
  })

  test('the other side accepts and never starts the TLS handshake: the time-out comes before the request', async () => {
    const server = await tcpServer(() => {})
    const it = subject(server.url.replace('http:', 'https:'), { requestTimeoutMs: 300 })
    const answer = await it.exchange()
    expect(answer).toEqual(notProcessed)
    expect(it.logged()).toContain('ETIMEDOUT')
    expect(server.received()).not.toContain('POST')
    expectClean(answer, it)
  })
})

describe('bytes may have left and no whole answer came, so the code must not be sent again', () => {
  const cases: Record<string, { script: Parameters<typeof tcpServer>[0]; code: string; timeoutMs?: number }> = {
    'the connection is closed before the request is read': {
      script: (socket) => socket.destroy(),
      code: 'provider-unreachable',
    },
    'the connection is reset at the first bytes': {
      script: (socket) => socket.once('data', () => socket.resetAndDestroy()),
      code: 'provider-unreachable',
    },
    'the connection is closed after the request was read': {
      script: afterRequest((socket) => socket.destroy()),
      code: 'provider-unreachable',
    },
    'the connection is reset after the request was read': {
      script: afterRequest((socket) => socket.resetAndDestroy()),
      code: 'provider-unreachable',
    },
    'the connection ends politely without an answer': {
      script: afterRequest((socket) => void socket.end()),
      code: 'provider-unreachable',
    },
    'half the headers, then the end': {
      script: afterRequest((socket) => void socket.end('HTTP/1.1 200 OK\r\ncontent-le')),
      code: 'provider-unreachable',
    },
    'half the body, then the end': {
      script: afterRequest(
        (socket) => void socket.end(response(200, '{"access_token":"opaque"}', { 'content-length': '4000' })),
      ),
      code: 'provider-unreachable',
    },
    'half a chunked body, then the end': {
      script: afterRequest((socket) => {
        socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n19\r\n{"access_token":"opaque"}\r\n')
      }),
      code: 'provider-unreachable',
    },
    'half a 429: even its status is no proof then': {
      script: afterRequest((socket) => void socket.end(response(429, '{}', { 'content-length': '4000' }))),
      code: 'provider-unreachable',
    },
    'no HTTP at all': {
      script: afterRequest((socket) => void socket.end('SSH-2.0-OpenSSH_9.2\r\n')),
      code: 'provider-garbled',
    },
    'a body that is not the gzip it says': {
      script: afterRequest(
        (socket) => void socket.end(response(200, 'not gzip at all', { 'content-encoding': 'gzip' })),
      ),
      code: 'provider-garbled',
    },
    'headers of a hundred thousand letters': {
      script: afterRequest((socket) => void socket.end(response(200, '{}', { 'x-long': 'a'.repeat(100_000) }))),
      code: 'provider-garbled',
    },
    'silence after the request': { script: () => {}, code: 'provider-timeout', timeoutMs: 300 },
    'silence after the headers': {
      script: afterRequest((socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n')),
      code: 'provider-timeout',
      timeoutMs: 300,
    },
  }

  for (const [name, { script, code, timeoutMs }] of Object.entries(cases)) {
    test(name, async () => {
      const server = await tcpServer(script)
      const it = subject(server.url, timeoutMs === undefined ? {} : { requestTimeoutMs: timeoutMs })
      const answer = await it.exchange()
      expect(answer).toEqual(unknown(code))
      expect(server.connections()).toBe(1)
      expectClean(answer, it, server.url.slice('http://'.length))
    })
  }

  const drips: Record<string, (socket: Parameters<Parameters<typeof tcpServer>[0]>[0]) => void> = {
    'a body that drips, a byte at a time, as long as one listens': (socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n')
      const drip = setInterval(() => socket.write(' '), 50)
      socket.on('close', () => clearInterval(drip))
    },
    'a gzip body that drips': (socket) => {
      const bytes = gzipSync(JSON.stringify({ access_token: 'a'.repeat(5000) }))
      socket.write(`HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${bytes.length + 5000}\r\n\r\n`)
      let at = 0
      const drip = setInterval(() => socket.write(bytes.subarray(at, (at += 1))), 50)
      socket.on('close', () => clearInterval(drip))
    },
    'headers that drip': (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nx-slow: ')
      const drip = setInterval(() => socket.write('a'), 50)
      socket.on('close', () => clearInterval(drip))
    },
    'interim answers for ever': (socket) => {
      const drip = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'), 50)
      socket.on('close', () => clearInterval(drip))
    },
  }

  for (const [name, script] of Object.entries(drips)) {
    test(`${name}: the time-out covers the whole call`, async () => {
      const server = await tcpServer(afterRequest(script))
      const it = subject(server.url, { requestTimeoutMs: 400 })
      const startedAt = performance.now()
      const answer = await it.exchange()
      // Without a total time-out the call would never end.
      expect(performance.now() - startedAt).toBeLessThan(5_000)
      expect(answer).toEqual(unknown('provider-timeout'))
      expect(server.requests()).toBe(1)
      expectClean(answer, it)
    })
  }

  const endless = (socket: Parameters<Parameters<typeof tcpServer>[0]>[0]) => {
    const pour = () => {
      while (!socket.destroyed && socket.write(Buffer.alloc(65_536, ' '))) {
        // until the socket is full
      }
    }
    socket.write('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n')
    socket.on('drain', pour)
    pour()
  }

  test('a body without end is cut off at the cap, long before the time-out', async () => {
    const server = await tcpServer(afterRequest(endless))
    const it = subject(server.url, { requestTimeoutMs: 15_000 })
    const answer = await it.exchange()
    expect(answer).toEqual(unknown('provider-garbled'))
    expect(it.logged()).toContain('BODY_TOO_LARGE')
    expect(server.requests()).toBe(1)
  })

  test('a small body that unpacks to a huge one is cut off as well', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, ' '))
    const server = await answering(200, bomb, { 'content-encoding': 'gzip' })
    const it = subject(server.url)
    expect(await it.exchange()).toEqual(unknown('provider-garbled'))
    expect(it.logged()).toContain('BODY_TOO_LARGE')
  })
})

test('reset as soon as it is accepted: a race, in which sent again only means not sent before', async () => {
  const server = await tcpServer((socket) => socket.resetAndDestroy())
  const answer = await subject(server.url).exchange()
  // The reset may arrive before this side knows of the connection (nothing was written) or afterwards (anything may
  // have been written).
  expect([notProcessed, unknown('provider-unreachable')]).toContainEqual(answer)
  expect(server.requests()).toBe(0)
})

test('a host with several addresses: those that refuse do not hide that one was reached', async () => {
  const server = await tcpServer(afterRequest((socket) => socket.destroy()))
  // `localhost` is ::1 and 127.0.0.1; the server listens on 127.0.0.1 only.
  const answer = await subject(server.url.replace('127.0.0.1', 'localhost')).exchange()
  expect(answer).toEqual(unknown('provider-unreachable'))
  expect(server.requests()).toBe(1)
})

describe('one request, one connection', () => {
  const exchangesTwice = async (server: Scripted) => {
    const it = subject(server.url)
    return [await it.exchange(), await it.exchange()]
  }

  test('a connection that the server offers to keep open is not used again', async () => {
    const body = JSON.stringify(aTokenBody)
    const server = await tcpServer(
      afterRequest((socket) => void socket.write(response(200, body, { connection: 'keep-alive' }))),
    )
    const answers = await exchangesTwice(server)
    expect(answers.map(({ kind }) => kind)).toEqual(['tokens', 'tokens'])
    expect(server.connections()).toBe(2)
    expect(server.requests()).toBe(2)
    expect(server.received()).toMatch(/^connection: close\r$/im)
  })

  for (const status of [301, 302, 303, 307, 308]) {
    test(`a ${status} is not followed`, async () => {
      const target = await answering(200, aTokenBody)
      const server = await answering(status, '', { location: `${target.url}/connect/token` })
      const it = subject(server.url)
      const answer = await it.exchange()
      expect(answer).toEqual(unknown('provider-garbled'))
      expect(target.connections()).toBe(0)
      expect(server.requests()).toBe(1)
      expectClean(answer, it)
    })
  }
})

describe('a call that could not be sent at all is answered, not thrown', () => {
  test('an invalid address: no connection was seen, so nothing is promised', async () => {
    const it = subject('no address at all')
    const answer = await it.exchange()
    expect(answer).toEqual(unknown('provider-unreachable'))
    expectClean(answer, it, 'no address')
  })

  test('a token that no header can carry', async () => {
    const server = await answering(200, {})
    const it = subject(server.url)
    const answer = await it.provider.readMe(new Secret('planted-access-token\r\nx: y'))
    expect(answer).toEqual({ kind: 'unavailable', code: 'provider-unreachable', retryAfterMs: undefined })
    expect(server.connections()).toBe(0)
    expectClean(answer, it)
  })
})
