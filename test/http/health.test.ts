// Health, metrics, and how the listener handles slow connections and closes.
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeHealthServer } from '../../src/http/server.ts'
import { makeLog } from '../../src/log.ts'
import { makeMetrics } from '../../src/metrics.ts'
import { aCount } from '../builders.ts'
import { startWorld, type World } from '../setup/world.ts'
import { anAskedConsent, aWeb, startWeb, theCallback, type Web } from './web.ts'

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

const portOf = (server: Web): number => Number(new URL(server.url).port)

const aSocket = async (server: Web): Promise<Socket> => {
  const socket = connect(portOf(server), '127.0.0.1')
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

/** Everything that arrives until the other side closes. */
const readAll = async (socket: Socket): Promise<string> => {
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  if (!socket.closed) await once(socket, 'close')
  return text
}

describe('/livez', () => {
  test('is live while the event loop turns', async () => {
    const answer = await web.get('/livez')
    expect([answer.status, JSON.parse(answer.body).status]).toEqual([200, 'live'])
  })

  test('reports a hanging event loop when most of its turns are late', async () => {
    const server = await aWeb(world, { times: { maxLagMs: 60 } })
    // A busy process: each turn of its event loop takes 400 ms. The loop is looked at every 500 ms: every look is late.
    let answered = false
    const busy = async (turns: number): Promise<void> => {
      for (let turn = 0; turn < turns && !answered; turn += 1) {
        const until = performance.now() + 400
        while (performance.now() < until);
        await new Promise<void>((resolve) => {
          setTimeout(resolve, 0)
        })
      }
    }
    await busy(4)
    const goesOn = busy(150)
    const answer = await server.get('/livez')
    answered = true
    await goesOn
    expect([answer.status, JSON.parse(answer.body).status]).toEqual([503, 'hanging'])
  })
})

describe('/readyz', () => {
  test('reports the result of the check', async () => {
    expect(JSON.parse((await web.get('/readyz')).body)).toEqual({ status: 'ready', detail: 'the database answers' })
    const behind = await aWeb(world, { checkReady: async () => ({ ok: false, detail: '2 migrations are missing' }) })
    const answer = await behind.get('/readyz')
    expect([answer.status, JSON.parse(answer.body)]).toEqual([
      503,
      { status: 'unready', detail: '2 migrations are missing' },
    ])
  })

  test('is unready when the check fails, without the details, or does not end', async () => {
    const failing = await aWeb(world, {
      checkReady: async () => Promise.reject(new Error('postgres://user:hunter2@db')),
    })
    const failed = await failing.get('/readyz')
    expect([failed.status, JSON.parse(failed.body).detail]).toEqual([503, 'the check failed: the log says why'])
    expect(failing.logged()).not.toContain('hunter2')
    const hanging = await aWeb(world, {
      checkReady: async () => new Promise(() => undefined),
      times: { readyWithinMs: 50 },
    })
    expect(JSON.parse((await hanging.get('/readyz')).body).detail).toBe('the check took too long')
  })

  test('runs one check for all who ask at the same time', async () => {
    let asked = 0
    const server = await aWeb(world, {
      checkReady: async () => {
        asked += 1
        return { ok: true, detail: '' }
      },
    })
    await Promise.all(Array.from({ length: 20 }, async () => server.get('/readyz')))
    expect(asked).toBe(1)
  })

  test('is unready from setUnready on, while every other request is still answered', async () => {
    const server = await aWeb(world)
    server.setUnready()
    const answer = await server.get('/readyz')
    expect([answer.status, JSON.parse(answer.body).detail]).toEqual([503, 'stopping'])
    expect((await server.get('/livez')).status).toBe(200)
    const consent = await anAskedConsent(world)
    expect((await server.get(`/callback?${await theCallback(world, consent.id)}`)).status).toBe(303)
  })
})

test('/metrics counts requests by route pattern, and callbacks by answer', async () => {
  const server = await aWeb(world)
  const consent = await anAskedConsent(world)
  await server.get(`/r/${await world.startToken(consent.id)}`)
  await server.get(`/callback?${await theCallback(world, consent.id)}`)
  await server.get('/callback')
  await server.get('/some/where/planted')
  const { body } = await server.get('/metrics')
  expect(body).toContain('reconsent_http_requests_total{method="GET",route="/r/:token",status="200"} 1')
  expect(body).toContain('reconsent_http_requests_total{method="GET",route="none",status="404"} 1')
  expect(body).toContain('reconsent_callbacks_total{answer="accepted"} 1')
  expect(body).toContain('reconsent_callbacks_total{answer="malformed"} 1')
  expect(body).toContain('reconsent_consents{status="active"} 3')
  expect(body).not.toContain('planted')
})

test('a process without the web role has health and metrics alone', async () => {
  const log = makeLog({ level: 'silent' })
  const metrics = makeMetrics({ collectCounts: async () => aCount({ consents: {}, sweepAgeSeconds: undefined }) })
  const server = await makeHealthServer({ log, metrics, checkReady: async () => ({ ok: true, detail: '' }) })
  const url = await server.listen({ host: '127.0.0.1', port: 0 })
  const statusOf = async (path: string) => (await fetch(`${url}${path}`)).status
  expect([
    await statusOf('/livez'),
    await statusOf('/readyz'),
    await statusOf('/metrics'),
    await statusOf('/callback'),
  ]).toEqual([200, 200, 200, 404])
  await server.close()
  await expect(fetch(`${url}/livez`)).rejects.toThrow()
})

describe('slow connections', () => {
  test('two hundred of them do not keep a valid callback waiting', async () => {
    const server = await aWeb(world)
    const consent = await anAskedConsent(world)
    const query = await theCallback(world, consent.id)
    const sockets = await Promise.all(Array.from({ length: 200 }, async () => aSocket(server)))
    for (const [index, socket] of sockets.entries()) {
      const length =
        'POST /callback HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n' +
        'content-length: 1000\r\n\r\nstate='
      socket.write(['', 'GET /callback?co', 'GET /callback HTTP/1.1\r\nhost: x\r\nx-slow: ', length][index % 4] ?? '')
    }
    const started = performance.now()
    const answer = await server.get(`/callback?${query}`)
    expect(answer.status).toBe(303)
    // Ten times the usual time; if slow connections blocked the callback, it would wait until their headers time out.
    expect(performance.now() - started).toBeLessThan(5_000)
    for (const socket of sockets) socket.destroy()
  })

  test('are closed when their headers or their body do not come in time', async () => {
    const server = await aWeb(world, { times: { headersMs: 200, requestMs: 400, checkEveryMs: 50 } })
    const [silent, headers, body] = [await aSocket(server), await aSocket(server), await aSocket(server)]
    headers.write('GET /callback?code=planted-code HTTP/1.1\r\nhost: x\r\nx-slow: ')
    body.write(
      'POST /callback HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n' +
        'content-length: 1000\r\n\r\nstate=planted',
    )
    const answers = await Promise.all([silent, headers, body].map(readAll))
    for (const answer of answers.slice(1)) {
      expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/)
      expect(answer).toContain('cache-control: no-store')
      expect(answer).not.toContain('planted')
    }
    expect(server.logged()).not.toContain('planted')
  })

  test('that send no HTTP get a bare 400, a header of 32 kB a bare 431', async () => {
    const [garbage, large] = [await aSocket(web), await aSocket(web)]
    garbage.write('\0\0planted\r\n\r\n')
    large.write(`GET / HTTP/1.1\r\nhost: x\r\nx-large: ${'planted '.repeat(4_096)}\r\n\r\n`)
    const answers = [await readAll(garbage), await readAll(large)]
    expect(answers.map((answer) => answer.split('\r\n', 1)[0])).toEqual([
      'HTTP/1.1 400 Bad Request',
      'HTTP/1.1 431 Request Header Fields Too Large',
    ])
    for (const answer of answers) expect(answer).not.toContain('planted')
  })
})

describe('close', () => {
  test('lets a running callback end, and serves one that still comes over an open connection', async () => {
    const consent = await anAskedConsent(world)
    const query = await theCallback(world, consent.id)
    const held = Promise.withResolvers<void>()
    const running = Promise.withResolvers<void>()
    const server = await aWeb(world, {
      visitStartPage: async () => {
        running.resolve()
        await held.promise
        return { kind: 'unknown' }
      },
    })
    const socket = await aSocket(server)
    const said = readAll(socket)
    socket.write('GET /r/x HTTP/1.1\r\nhost: x\r\n\r\n')
    await running.promise
    const closed = server.close()
    await expect.poll(() => server.app.server.listening).toBe(false)
    socket.write(`GET /callback?${query} HTTP/1.1\r\nhost: x\r\n\r\n`)
    await expect
      .poll(async () => (await world.authorisationsOf(consent.id)).map(({ status }) => status))
      .toEqual(['code_received'])
    held.resolve()
    expect((await said).match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 404', 'HTTP/1.1 303'])
    await closed
  })

  test('cuts off connections that do not end', async () => {
    const server = await aWeb(world, { times: { closeWithinMs: 200 } })
    const socket = await aSocket(server)
    socket.write('GET /callback?slow HTTP/1.1\r\nhost: x\r\nx-slow: ')
    await server.get('/livez')
    const started = performance.now()
    await Promise.all([server.close(), readAll(socket)])
    expect(performance.now() - started).toBeLessThan(3_000)
    await server.close()
  })
})

test('PUBLIC_URL with a path is refused: pages are made for the root of a host', async () => {
  await expect(aWeb(world, { publicUrl: 'https://example.com/consents' })).rejects.toThrow('without a path')
})
