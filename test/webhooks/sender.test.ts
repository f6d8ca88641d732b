// One webhook over HTTP: signed, limited in size and time, and never to an address that is not public.
import type { ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { Secret } from '../../src/secret.ts'
import { isPublic, type Resolve, urlProblem } from '../../src/webhooks/public-address.ts'
import { MAX_REPLY, type SenderOptions, webhookSender } from '../../src/webhooks/sender.ts'
import { newWebhookSecret } from '../../src/webhooks/signature.ts'
import { connectProxy } from '../provider/truelayer/connect-proxy.ts'
import { selfSigned } from '../provider/truelayer/self-signed.ts'
import { hangs, startReceiver, startTrap, status, verified } from './receiver.ts'

const secret = newWebhookSecret()
const never = new AbortController().signal
const body = JSON.stringify({ type: 'consent.renewed', timestamp: '2026-12-01T09:00:00.000Z', data: { sequence: 7 } })
const request = (url: string, secrets = [secret]) => ({ url, id: 'evt_1_7', body, secrets, sentAt: new Date() })
const development = (over: Partial<SenderOptions> = {}) => webhookSender({ isDevelopment: true, ...over })
const production = (over: Partial<SenderOptions> = {}) => webhookSender({ isDevelopment: false, ...over })
const aReceiver = async (options: { tls?: boolean } = {}) => {
  const receiver = await startReceiver(options)
  onTestFinished(receiver.close)
  return receiver
}

describe('what is sent', () => {
  test('carries the headers of Standard Webhooks, which its public library accepts', async () => {
    const receiver = await aReceiver()
    expect(await development()(request(receiver.url), never)).toMatchObject({ status: 204, failure: undefined })
    const [received] = receiver.received
    expect(received?.headers).toMatchObject({ 'webhook-id': 'evt_1_7', 'content-type': 'application/json' })
    expect(verified(received!, secret.reveal())).toEqual(JSON.parse(body))
    expect(() => verified(received!, newWebhookSecret().reveal())).toThrow(/No matching signature/)
  })

  test('is signed by each secret during a rotation', async () => {
    const receiver = await aReceiver()
    const newer = newWebhookSecret()
    await development()(request(receiver.url, [newer, secret]), never)
    for (const one of [newer, secret]) expect(verified(receiver.received[0]!, one.reveal())).toBeDefined()
  })

  test('goes over TLS to the host in the address, whose certificate must be for it', async () => {
    const receiver = await aReceiver({ tls: true })
    const { cert: ca } = selfSigned
    expect(await development({ ca })(request(receiver.url), never)).toMatchObject({ status: 204 })
    expect(await development()(request(receiver.url), never)).toMatchObject({ failure: 'certificate' })
    const resolve: Resolve = async () => [{ address: '127.0.0.1', family: 4 }]
    const other = receiver.url.replace('localhost', 'hooks.example.com')
    expect(await development({ ca, resolve })(request(other), never)).toMatchObject({ failure: 'certificate' })
    expect(receiver.received).toHaveLength(1)
  })
})

describe('what comes back', () => {
  test('a status and Retry-After', async () => {
    const receiver = await aReceiver()
    receiver.answer = status(503, { 'retry-after': '120' })
    expect(await development()(request(receiver.url), never)).toMatchObject({ status: 503, retryAfterMs: 120_000 })
  })

  test.each([301, 302, 303, 307, 308])('a redirect by %d is not followed', async (code) => {
    const [receiver, trap] = [await aReceiver(), await startTrap()]
    onTestFinished(trap.close)
    receiver.answer = status(code, { location: `http://127.0.0.1:${trap.port}/` })
    expect(await development()(request(receiver.url), never)).toMatchObject({ status: code })
    expect(trap.seen).toEqual({ connections: 0, bytes: 0 })
  })

  test('silence is cut off when the time is over', async () => {
    const receiver = await aReceiver()
    receiver.answer = hangs
    expect(await development({ timeoutMs: 300 })(request(receiver.url), never)).toMatchObject({ failure: 'timed-out' })
  })

  // A body without an end, whatever it is: the status has come, and the connection is not kept.
  test.each<[string, (response: ServerResponse) => void]>([
    ['as large as is read', (response) => void response.end(Buffer.alloc(MAX_REPLY))],
    ['larger', (response) => void response.end(Buffer.alloc(MAX_REPLY + 1))],
    [
      'broken off',
      (response) => response.writeHead(200, { 'content-length': '9' }).write('.', () => response.destroy()),
    ],
    [
      'that trickles',
      (response) => {
        response.writeHead(200)
        const timer = setInterval(() => response.write('.'), 20)
        response.on('close', () => clearInterval(timer))
      },
    ],
    [
      'that floods',
      (response) => {
        response.writeHead(200)
        const more = (): unknown => response.write(Buffer.alloc(1 << 20), (error) => void (error ?? more()))
        more()
      },
    ],
    [
      'that is small, and large when it is unpacked',
      (response) => {
        const bomb = gzipSync(Buffer.alloc(32 << 20))
        response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb)
      },
    ],
  ])('a 2xx with a body %s is a delivery', async (_, answer) => {
    const receiver = await aReceiver()
    const send = development({ timeoutMs: 5_000 })
    receiver.answer = answer
    const sent = await send(request(receiver.url), never)
    expect(sent).toMatchObject({ status: 200, failure: undefined })
    expect(sent.tookMs).toBeLessThan(4_000)
    receiver.answer = status(204)
    expect(await send(request(receiver.url), never)).toMatchObject({ status: 204 })
  })

  /** Answers with these bytes, as no server of Node's would. */
  const aRawReceiver = async (answer: (socket: Socket) => void) => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => answer(socket))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(async () => void server.close())
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  }

  test('headers without an end are cut off', async () => {
    const url = await aRawReceiver((socket) => {
      const more = (): unknown => socket.write(`x-more: ${'x'.repeat(1_000)}\r\n`, (error) => void (error ?? more()))
      socket.write('HTTP/1.1 200 OK\r\n', more)
    })
    expect(await development({ timeoutMs: 5_000 })(request(url), never)).toMatchObject({ failure: 'reply-broken' })
  })

  test('answers before the answer (1xx) without an end are cut off in time', async () => {
    const url = await aRawReceiver((socket) => {
      const timer = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'), 1)
      socket.on('close', () => clearInterval(timer))
    })
    expect(await development({ timeoutMs: 500 })(request(url), never)).toMatchObject({ failure: 'timed-out' })
  })

  test('a receiver may take its time: longer than an idle connection is kept', async () => {
    const receiver = await aReceiver()
    receiver.answer = (response) => setTimeout(() => response.writeHead(202).end(), 5_000)
    expect(await development()(request(receiver.url), never)).toMatchObject({ status: 202 })
  })

  test('a name that takes for ever to resolve is given up in the same time', async () => {
    const resolve: Resolve = async () => new Promise(() => undefined)
    const sent = await development({ timeoutMs: 100, resolve })(request('https://hooks.example.com/'), never)
    expect(sent).toMatchObject({ failure: 'timed-out' })
  })

  test('nobody, and no such name', async () => {
    expect(await development()(request('http://127.0.0.1:9/'), never)).toMatchObject({ failure: 'not-reached' })
    const resolve: Resolve = async () => Promise.reject(new Error('ENOTFOUND'))
    expect(await development({ resolve })(request('https://nowhere.example/'), never)).toMatchObject({
      failure: 'not-resolved',
    })
  })

  test('a kept connection that was closed meanwhile: sent again on a new one', async () => {
    const receiver = await aReceiver()
    const send = development()
    await send(request(receiver.url), never)
    receiver.answer = (response) => {
      receiver.answer = status(204)
      response.socket?.resetAndDestroy()
    }
    expect(await send(request(receiver.url), never)).toMatchObject({ status: 204 })
    expect(receiver.received.map(({ id }) => id)).toEqual(['evt_1_7', 'evt_1_7', 'evt_1_7'])
  })

  test('a stop of the process', async () => {
    const receiver = await aReceiver()
    const stopping = new AbortController()
    receiver.answer = () => stopping.abort()
    expect(await development()(request(receiver.url), stopping.signal)).toMatchObject({ failure: 'stopped' })
  })
})

describe('addresses that are not public', () => {
  const refused = {
    'this network': ['0.0.0.0', '0.1.2.3'],
    loopback: ['127.0.0.1', '127.255.0.1', '::1'],
    private: ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1'],
    'link-local, cloud metadata': ['169.254.169.254', 'fe80::1', 'febf::1'],
    'shared (CGNAT)': ['100.64.0.1', '100.127.255.254'],
    multicast: ['224.0.0.1', '239.255.255.255', 'ff02::1'],
    broadcast: ['255.255.255.255'],
    'reserved and documentation': ['240.0.0.1', '192.0.0.8', '192.0.2.1', '198.51.100.1', '203.0.113.1', '2001:db8::1'],
    benchmarking: ['198.18.0.1', '198.19.255.255', '2001:2::1'],
    'IPv4-mapped': ['::ffff:127.0.0.1', '::ffff:10.0.0.1', '::ffff:8.8.8.8'],
    'IPv4-compatible': ['::127.0.0.1', '::8.8.8.8'],
    NAT64: ['64:ff9b::7f00:1', '64:ff9b::808:808', '64:ff9b:1::a00:1'],
    '6to4': ['2002:7f00:1::1', '192.88.99.1'],
    Teredo: ['2001::1'],
    'unique local and site-local': ['fc00::1', 'fd12:3456::1', 'fec0::1'],
    unspecified: ['::'],
    'what IANA has not given out': ['4000::1', '8000::1', '::2:3'],
    'what is no address': ['', 'localhost', '127.1', '0x7f.1'],
  }
  test.each(Object.entries(refused))('%s', (_, addresses) => {
    for (const address of addresses) expect([address, isPublic(address)]).toEqual([address, false])
  })

  test.each(['8.8.8.8', '172.32.0.1', '100.128.0.1', '192.167.1.1', '2606:4700::1111', '2a00:1450:4009::8a'])(
    '%s is public',
    (address) => expect(isPublic(address)).toBe(true),
  )

  let trap: Awaited<ReturnType<typeof startTrap>>
  beforeEach(async () => {
    trap = await startTrap()
  })
  afterEach(async () => {
    expect(trap.seen).toEqual({ connections: 0, bytes: 0 })
    await trap.close()
  })
  const nothing = { status: undefined, failure: 'address-refused' }

  // Every spelling that a URL may give to this machine, at the trap's own port.
  test.each([
    '127.0.0.1',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '127.1',
    '0.0.0.0',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[64:ff9b::7f00:1]',
    'localhost',
    'LOCALHOST.',
    'trap.localhost',
  ])('the trap as https://%s receives no byte', async (host) => {
    const sent = await production()(request(`https://${host}:${trap.port}/`), never)
    expect([nothing, { status: undefined, failure: 'not-resolved' }]).toContainEqual({
      status: sent.status,
      failure: sent.failure,
    })
  })

  test.each(
    Object.values(refused)
      .flat()
      .filter((address) => /[.:]/.test(address) && address !== '127.1' && address !== '0x7f.1'),
  )('a name that resolves to %s', async (address) => {
    const resolve: Resolve = async () => [{ address, family: address.includes(':') ? 6 : 4 }]
    expect(await production({ resolve })(request(`https://a.example:${trap.port}/`), never)).toMatchObject(nothing)
  })

  test('a name with one public address among others is refused as a whole', async () => {
    const resolve: Resolve = async () => [
      { address: '93.184.216.34', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ]
    expect(await production({ resolve })(request(`https://a.example:${trap.port}/`), never)).toMatchObject(nothing)
  })

  test('rebinding: what is connected to is what was checked, whatever the name resolves to next', async () => {
    // A public address that nobody answers at from here; whoever looked the name up again would find the trap.
    let asked = 0
    const resolve: Resolve = async () => {
      asked += 1
      return [{ address: asked === 1 ? '192.31.195.1' : '127.0.0.1', family: 4 }]
    }
    const sent = await production({ resolve, timeoutMs: 500 })(request(`https://a.example:${trap.port}/`), never)
    expect(sent.failure).toMatch(/^(?:timed-out|not-reached)$/)
    expect(asked).toBe(1)
    // The second try asks again, and is refused.
    expect(await production({ resolve })(request(`https://a.example:${trap.port}/`), never)).toMatchObject(nothing)
  })

  test('http, and a user in the address, are refused outside development', async () => {
    expect(await production()(request(`http://127.0.0.1:${trap.port}/`), never)).toMatchObject(nothing)
    expect(await production()(request(`https://user:word@127.0.0.1:${trap.port}/`), never)).toMatchObject(nothing)
  })

  test('development knows this machine, and nothing else that is not public', async () => {
    const resolve: Resolve = async () => [{ address: '10.0.0.1', family: 4 }]
    expect(await development({ resolve })(request(`http://a.example:${trap.port}/`), never)).toMatchObject(nothing)
  })

  test('through a proxy too: the proxy is not asked', async () => {
    const proxy = { url: new Secret(`http://127.0.0.1:${trap.port}`), bypass: [] }
    const resolve: Resolve = async () => [{ address: '169.254.169.254', family: 4 }]
    expect(await production({ proxy, resolve })(request('https://a.example/'), never)).toMatchObject(nothing)
  })
})

describe('through the proxy of HTTPS_PROXY', () => {
  test('CONNECT names the checked address, and TLS the host', async () => {
    const receiver = await aReceiver({ tls: true })
    const proxy = await connectProxy({ leadTo: `http://127.0.0.1:${receiver.port}` })
    const resolve: Resolve = async () => [{ address: '93.184.216.34', family: 4 }]
    const send = production({ proxy: { url: new Secret(proxy.url), bypass: [] }, resolve, ca: selfSigned.cert })
    // The certificate is for localhost, which resolves to a public address here.
    expect(await send(request(receiver.url), never)).toMatchObject({ status: 204 })
    expect(proxy.received()).toContain(`CONNECT 93.184.216.34:${receiver.port} `)
    expect(receiver.received[0]?.headers['host']).toBe(`localhost:${receiver.port}`)
    expect(await send(request('https://hooks.example.com/'), never)).toMatchObject({ failure: 'certificate' })
    expect(receiver.received).toHaveLength(1)
  })

  test('a proxy that opens a tunnel and then says nothing is cut off in time', async () => {
    const proxy = await connectProxy({ afterTunnel: () => undefined, leadTo: 'http://127.0.0.1:9' })
    const resolve: Resolve = async () => [{ address: '93.184.216.34', family: 4 }]
    const send = production({ proxy: { url: new Secret(proxy.url), bypass: [] }, resolve, timeoutMs: 300 })
    expect((await send(request('https://hooks.example.com/'), never)).failure).toMatch(
      /^(?:timed-out|not-reached|proxy-failed)$/,
    )
  })

  test('a proxy that refuses', async () => {
    const proxy = await connectProxy({ instead: (client) => client.end('HTTP/1.1 403 Forbidden\r\n\r\n') })
    const resolve: Resolve = async () => [{ address: '93.184.216.34', family: 4 }]
    const send = production({ proxy: { url: new Secret(proxy.url), bypass: [] }, resolve, timeoutMs: 1_000 })
    expect(await send(request('https://hooks.example.com/'), never)).toMatchObject({ failure: 'proxy-failed' })
  })
})

test.each([
  ['https://hooks.example.com/in?a=1', undefined],
  ['http://hooks.example.com/', 'must begin with https://'],
  ['ftp://hooks.example.com/', 'must begin with https://'],
  ['hooks.example.com', 'is no web address'],
  ['https://user@hooks.example.com/', 'must not hold a user or password'],
  ['https://hooks.example.com/#here', 'must not have a part behind #'],
  ['https://10.0.0.1/', 'is not a public address'],
  [`https://hooks.example.com/${'x'.repeat(2_000)}`, 'is longer than 2000 characters'],
])('the address %s', (url, problem) => expect(urlProblem(url, { isDevelopment: false })).toBe(problem))
