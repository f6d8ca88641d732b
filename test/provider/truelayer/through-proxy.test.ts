// Calls through a real CONNECT proxy to a real TLS server: which requests were provably not sent, and which may have
// been. The server's certificate is trusted by the whole process, hence a file of its own.
import net, { type Socket } from 'node:net'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { goesByProxy } from '../../../src/provider/truelayer/egress-proxy.ts'
import { Secret } from '../../../src/secret.ts'
import { connectProxy, withLogin, type ProxyOptions } from './connect-proxy.ts'
import { expectClean, subject } from './planted.ts'
import { afterRequest, answering, refusedPort, response, tlsServer, type Scripted } from './scripted-server.ts'
import { selfSigned } from './self-signed.ts'

const trusted = tls.getCACertificates('default')
beforeAll(() => tls.setDefaultCACertificates([...trusted, selfSigned.cert]))
afterAll(() => tls.setDefaultCACertificates(trusted))

const proxyFailed = { kind: 'not-processed', code: 'proxy-failed', retryAfterMs: undefined }
const notSent = { kind: 'not-processed', code: 'provider-unreachable', retryAfterMs: undefined }
const unknown = (code: string) => ({ kind: 'in-doubt', code })
const tokens = afterRequest((socket) => void socket.end(response(200, '{"access_token":"opaque"}')))
const by = (url: string, bypass: readonly string[] = []) => ({ proxy: { url: new Secret(url), bypass } })
/** A TLS socket cannot send a reset itself. */
const reset = (client: Socket): void =>
  void (client instanceof tls.TLSSocket ? client.destroy() : client.resetAndDestroy())
const isClosed = async (one: Scripted): Promise<void> => expect.poll(() => one.open()).toBe(0)

describe('a call goes through', () => {
  test('one tunnel for each, to the host and port of the provider; the proxy reads nothing of it', async () => {
    const server = await tlsServer(tokens)
    const proxy = await connectProxy()
    const it = subject(server.url, by(proxy.url))
    expect(await it.exchange()).toMatchObject({ kind: 'tokens' })
    expect(await it.refresh()).toMatchObject({ kind: 'tokens' })
    expect([proxy.connections(), server.connections(), server.requests()]).toEqual([2, 2, 2])
    expect(proxy.received()).toContain(`CONNECT ${new URL(server.url).host} HTTP/1.1\r\n`)
    expect(proxy.received()).not.toContain('planted')
    expect(server.received()).toMatch(/^connection: close\r$/im)
    expect(server.received()).not.toMatch(/proxy/i)
    await isClosed(proxy)
  })

  test('with the decoded login of its address', async () => {
    const server = await tlsServer(tokens)
    const proxy = await connectProxy()
    expect(await subject(server.url, by(withLogin(proxy, 'user:p%40ss%3Aword'))).exchange()).toMatchObject({
      kind: 'tokens',
    })
    expect(proxy.received()).toMatch(
      new RegExp(`^proxy-authorization: Basic ${Buffer.from('user:p@ss:word').toString('base64')}\\r$`, 'im'),
    )
  })

  test('by TLS to the proxy itself', async () => {
    const server = await tlsServer(tokens)
    const proxy = await connectProxy({ secure: true })
    expect(await subject(server.url, by(proxy.url)).exchange()).toMatchObject({ kind: 'tokens' })
    expect(server.requests()).toBe(1)
  })

  test('where the provider takes longer to answer than a silent proxy may', async () => {
    const server = await tlsServer(
      afterRequest((socket) => void setTimeout(() => socket.end(response(200, '{"access_token":"opaque"}')), 700)),
    )
    const proxy = await connectProxy()
    expect(await subject(server.url, { ...by(proxy.url), requestTimeoutMs: 1_200 }).exchange()).toMatchObject({
      kind: 'tokens',
    })
  })

  test('where the proxy’s answer comes in many pieces, without keeping the process busy', async () => {
    const server = await tlsServer(tokens)
    const answer = `HTTP/1.1 200 Connection established\r\nvia: ${'x'.repeat(20)}\r\n\r\n`
    const proxy = await connectProxy({
      instead: (client) => {
        client.setNoDelay(true)
        client.pause()
        const upstream = net.connect(Number(new URL(server.url).port), '127.0.0.1')
        client.on('close', () => upstream.destroy())
        const say = (at: number): void => {
          if (at === answer.length) client.pipe(upstream).pipe(client)
          else client.write(answer.charAt(at), () => setTimeout(say, 2, at + 1))
        }
        say(0)
      },
    })
    const before = process.cpuUsage()
    expect(await subject(server.url, { ...by(proxy.url), requestTimeoutMs: 4_000 }).exchange()).toMatchObject({
      kind: 'tokens',
    })
    expect(process.cpuUsage(before).user / 1_000).toBeLessThan(2_000)
  })

  test('not without TLS: a simulator is called directly', async () => {
    const server = await answering(200, { access_token: 'opaque' })
    const proxy = await connectProxy()
    expect(await subject(server.url, by(proxy.url)).exchange()).toMatchObject({ kind: 'tokens' })
    expect(proxy.connections()).toBe(0)
  })

  test('a host of NO_PROXY directly', async () => {
    const server = await tlsServer(tokens)
    const proxy = await connectProxy()
    expect(await subject(server.url, by(proxy.url, ['127.0.0.0/8'])).exchange()).toMatchObject({ kind: 'tokens' })
    expect([proxy.connections(), server.requests()]).toEqual([0, 1])
  })
})

describe('no tunnel was made: provably not sent, and the proxy is named', () => {
  const answers = (text: string) => (client: Socket) => void client.end(text)
  const refusals: Record<string, (client: Socket) => void> = {
    '407': answers(
      'HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm="x"\r\ncontent-length: 0\r\n\r\n',
    ),
    '403 with a page': answers(
      'HTTP/1.1 403 Forbidden\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>',
    ),
    '429, which of the provider would be an answer': answers(
      'HTTP/1.1 429 Too Many Requests\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n',
    ),
    '400 with the provider’s own words': answers(
      'HTTP/1.1 400 Bad Request\r\ncontent-length: 25\r\n\r\n{"error":"invalid_grant"}',
    ),
    '502': answers('HTTP/1.1 502 Bad Gateway\r\n\r\n'),
    '504, kept open': (client) => void client.write('HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 0\r\n\r\n'),
    '204': answers('HTTP/1.1 204 No Content\r\n\r\n'),
    'what is no HTTP': answers('SSH-2.0-OpenSSH_9.2\r\n\r\n'),
    'half an answer': answers('HTTP/1.1 200 Conn'),
    'a polite end': (client) => void client.end(),
    'a reset': reset,
    silence: () => {},
  }
  for (const [name, instead] of Object.entries(refusals)) {
    for (const secure of [false, true]) {
      test(`${name}${secure ? ', by TLS' : ''}`, async () => {
        const server = await tlsServer(tokens)
        const proxy = await connectProxy({ instead, secure })
        const it = subject(server.url, { ...by(withLogin(proxy, 'user:planted-password')), requestTimeoutMs: 1_500 })
        const answer = await it.exchange()
        expect(answer).toEqual(proxyFailed)
        expect(await it.link()).toEqual({ kind: 'unavailable', code: 'proxy-failed', retryAfterMs: undefined })
        expect([server.connections(), proxy.connections()]).toEqual([0, 2])
        expect(it.logged()).not.toContain('planted-password')
        if (/^\d/.test(name)) expect(it.logged()).toContain(`"proxyStatus":${name.slice(0, 3)}`)
        expectClean(answer, it, proxy.url.split('//')[1])
        await isClosed(proxy)
      })
    }
  }

  test('nobody listens, or the name is unknown', async () => {
    const server = await tlsServer(tokens)
    expect(await subject(server.url, by(await refusedPort())).exchange()).toEqual(proxyFailed)
    const away = subject('https://auth.truelayer.example', {
      ...by('http://proxy.reconsent.invalid:3128'),
      requestTimeoutMs: 15_000,
    })
    const answer = await away.exchange()
    expect(answer).toEqual(proxyFailed)
    expectClean(answer, away, 'reconsent.invalid')
    expect(server.connections()).toBe(0)
  })

  test('the proxy’s own certificate is not trusted', async () => {
    const proxy = await connectProxy({ secure: true })
    const it = subject('https://auth.truelayer.example', by(proxy.url.replace('127.0.0.1', '127.0.0.2')))
    expect(await it.exchange()).toEqual(proxyFailed)
    expect(proxy.received()).toBe('')
  })
})

describe('a tunnel, but no TLS inside: not sent either, and the path behind the proxy is to blame', () => {
  const cuts: Record<string, ProxyOptions> = {
    cut: { afterTunnel: (client) => client.destroy() },
    reset: { afterTunnel: reset },
    'ended politely': { afterTunnel: (client) => void client.end() },
    'cut at the first bytes': { afterTunnel: (client) => client.once('data', () => client.destroy()) },
    'another protocol': {
      afterTunnel: (client) => client.once('data', () => void client.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
    },
    silence: { afterTunnel: () => {} },
  }
  for (const [name, options] of Object.entries(cuts)) {
    for (const secure of [false, true]) {
      test(`${name}${secure ? ', by TLS to the proxy' : ''}`, async () => {
        const server = await tlsServer(tokens)
        const proxy = await connectProxy({ ...options, secure })
        const it = subject(server.url, { ...by(proxy.url), requestTimeoutMs: 1_000 })
        const answer = await it.exchange()
        expect(answer).toEqual(notSent)
        expect([server.requests(), proxy.connections()]).toEqual([0, 1])
        expectClean(answer, it)
        await isClosed(proxy)
      })
    }
  }

  test('the certificate is for another host', async () => {
    const server = await tlsServer(tokens)
    const proxy = await connectProxy({ leadTo: server.url })
    const it = subject('https://auth.truelayer.example', by(proxy.url))
    expect(await it.exchange()).toEqual(notSent)
    expect(it.logged()).toContain('ERR_TLS_CERT_ALTNAME_INVALID')
    expect(server.requests()).toBe(0)
  })
})

describe('TLS stood inside the tunnel: anything may have been sent', () => {
  test('the provider closes right after the handshake', async () => {
    const server = await tlsServer((socket) => socket.destroy())
    const proxy = await connectProxy()
    expect(await subject(server.url, by(proxy.url)).exchange()).toEqual(unknown('provider-unreachable'))
  })

  test('the request was written and read, and the proxy cuts', async () => {
    const clients: Socket[] = []
    const server = await tlsServer(afterRequest(() => clients[0]?.destroy()))
    const proxy = await connectProxy({
      afterTunnel: (client, upstream) => {
        clients.push(client)
        client.pipe(upstream).pipe(client)
      },
    })
    const it = subject(server.url, by(proxy.url))
    const answer = await it.exchange()
    expect(answer).toEqual(unknown('provider-unreachable'))
    expect(server.requests()).toBe(1)
    expectClean(answer, it)
  })

  test('the request was read, and no answer comes', async () => {
    const server = await tlsServer(afterRequest(() => {}))
    const proxy = await connectProxy()
    expect(await subject(server.url, { ...by(proxy.url), requestTimeoutMs: 800 }).exchange()).toEqual(
      unknown('provider-timeout'),
    )
    expect(server.requests()).toBe(1)
    await isClosed(proxy)
  })

  test('a 429 of the provider is the provider’s own answer', async () => {
    const server = await tlsServer(
      afterRequest((socket) => void socket.end(response(429, '{}', { 'retry-after': '7' }))),
    )
    const proxy = await connectProxy()
    expect(await subject(server.url, by(proxy.url)).exchange()).toEqual({
      kind: 'not-processed',
      code: 'provider-rate-limited',
      retryAfterMs: 7_000,
    })
  })
})

describe('NO_PROXY', () => {
  const far = 'http://proxy.internal:3128'
  test.each<[string, string, boolean]>([
    ['', 'https://auth.truelayer.com', true],
    ['*', 'https://auth.truelayer.com', false],
    ['auth.truelayer.com', 'https://auth.truelayer.com', false],
    ['AUTH.TrueLayer.com', 'https://auth.truelayer.com', false],
    ['truelayer.com', 'https://auth.truelayer.com', false],
    ['.truelayer.com', 'https://auth.truelayer.com', false],
    ['*.truelayer.com', 'https://auth.truelayer.com', false],
    ['truelayer.com.', 'https://auth.truelayer.com', false],
    ['elayer.com', 'https://auth.truelayer.com', true],
    ['truelayer.com', 'https://truelayer.com.evil.example', true],
    ['truelayer', 'https://auth.truelayer.com', true],
    ['a.example, truelayer.com', 'https://api.truelayer.com', false],
    ['truelayer.com:443', 'https://api.truelayer.com', false],
    ['truelayer.com:443', 'https://api.truelayer.com:8443', true],
    ['truelayer.com:8443', 'https://api.truelayer.com:8443', false],
    ['10.1.2.3', 'https://10.1.2.3', false],
    ['10.1.2.3:8443', 'https://10.1.2.3:8443', false],
    ['10.1.2.3:8443', 'https://10.1.2.3', true],
    ['10.0.0.0/8', 'https://10.1.2.3', false],
    ['10.0.0.0/8', 'https://11.1.2.3', true],
    ['10.0.0.0/99', 'https://10.1.2.3', true],
    ['0.0.0.0/0', 'https://auth.truelayer.com', true],
    ['2001:db8::1', 'https://[2001:db8::1]', false],
    ['[2001:db8::1]:8443', 'https://[2001:db8::1]:8443', false],
    ['2001:DB8:0::1', 'https://[2001:db8::1]', false],
    ['2001:db8::/32', 'https://[2001:db8:1::1]', false],
    ['2001:db8::/32', 'https://[2001:db9::1]', true],
    [': . [ ]: / :443 *: %', 'https://auth.truelayer.com', true],
  ])('%j: %s goes through the proxy: %s', (list, address, expected) => {
    const bypass = list.split(/[\s,]+/).filter((entry) => entry !== '')
    expect(goesByProxy(address, { url: new Secret(far), bypass })).toBe(expected)
  })

  test('this machine is never called through a proxy on another one', () => {
    for (const address of [
      'https://localhost:4000',
      'https://127.0.0.1',
      'https://[::1]:4000',
      'https://sim.localhost',
    ]) {
      expect(goesByProxy(address, { url: new Secret(far), bypass: [] })).toBe(false)
      expect(goesByProxy(address, { url: new Secret('http://127.0.0.1:3128'), bypass: [] })).toBe(true)
    }
    expect(goesByProxy('http://simulator.internal', { url: new Secret(far), bypass: [] })).toBe(false)
  })
})
