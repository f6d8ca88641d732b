// Fuzzed requests by the ten thousand, most injected into the server's own code, some over real sockets: no answer is a
// 5xx, no planted text appears in an answer or a log line, memory stays level. FUZZ_REQUESTS sets their number and
// FUZZ_SECONDS the time limit, which counts once 20,000 are sent; FUZZ_SEED repeats a run.
import { Agent, request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { Writable } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { makeLog } from '../../src/log.ts'
import { openBackend, type Backend } from '../../src/queue/backend.ts'
import { queueNames } from '../../src/queue/catalogue.ts'
import { Secret } from '../../src/secret.ts'
import { API_KEY, anAskedConsent, startWeb, theCallback, type Web } from '../http/web.ts'
import { aPrefix, plans } from '../queue/setup.ts'
import { startWorld, type World } from '../setup/world.ts'
import { aRequest, type FuzzRequest, type Honest, PLANTED } from './requests.ts'

const REQUESTS = Number(process.env['FUZZ_REQUESTS'] ?? 50_000)
const SEED = Number(process.env['FUZZ_SEED'] ?? 1)
const SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 90)
/** Fewer requests prove nothing, so a machine too busy to send them within FUZZ_SECONDS takes longer. */
const FEWEST = Math.min(REQUESTS, 20_000)
/** The limit on the busiest machine. */
const MAX_SECONDS = SECONDS + 300
const PAGE = 500
const AT_ONCE = 24
/** One page in ten goes over real sockets. */
const SOCKET_PAGES = 10
/** By then the code is compiled and the pools and statements exist, so the heap should not grow any more. */
const warmAfter = (planned: number): number => Math.min(10_000, planned / 5)
const PASSWORD = 'the-operators-password'
const LOGIN = `Basic ${Buffer.from(`ops:${PASSWORD}`).toString('base64')}`

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void
const heapAfterCollection = async (): Promise<number> => {
  for (let time = 0; time < 3; time += 1) {
    await new Promise((resolve) => setImmediate(resolve))
    collectGarbage()
  }
  return process.memoryUsage().heapUsed
}

let world: World
let web: Web
let backend: Backend
let honest: Honest
/** Secrets that only a genuine request may hold, and that no answer or log line may show. */
let secrets: string[]
const leaks: string[] = []
const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE })

const judgeText = (where: string, text: string): void => {
  for (const secret of secrets)
    if (text.includes(secret) && leaks.length < 10) leaks.push(`${where}: ${text.slice(0, 400)}`)
}
const watched = new Writable({
  write: (chunk, _encoding, done) => {
    judgeText('log', String(chunk))
    done()
  },
})

beforeAll(async () => {
  world = await startWorld()
  const log = makeLog({ level: 'debug', pretty: false, to: watched })
  backend = await openBackend({ kind: 'redis', url: new Secret(inject('redisUrl')) }, { log, plans, prefix: aPrefix() })
  const consents = [await anAskedConsent(world), await anAskedConsent(world), await anAskedConsent(world)]
  const used = await theCallback(world, consents[0]?.id ?? '')
  const fresh = await theCallback(world, consents[1]?.id ?? '')
  const [state, code] = [
    [used, fresh].map((query) => query.get('state') ?? ''),
    [used, fresh].map((query) => query.get('code') ?? ''),
  ]
  const authorisations = await world.db.prisma.authorisation.findMany()
  secrets = [PLANTED, ...state, ...code, ...consents.map(({ email }) => email ?? ''), API_KEY, PASSWORD]
  for (const { id } of consents) secrets.push(await world.tokenOf(id))
  web = await startWeb(world, {
    log,
    board: {
      queues: queueNames.map((name) => backend.queue(name)),
      user: 'ops',
      password: new Secret(PASSWORD),
      allowDestructive: false,
    },
    // The limits are off, because the code behind them is under test; they have tests of their own.
    limits: { unknownPerMinute: 1e9, departuresPerMinute: 20, wrongKeysPerMinute: 1e9, callsPerMinute: 1e9 },
  })
  honest = {
    startTokens: await Promise.all(consents.map(async ({ id }) => world.startToken(id))),
    states: state,
    codes: code,
    doneIds: authorisations.map(({ doneId }) => doneId),
    consentIds: consents.flatMap(({ id, credentialsId }) => [id, credentialsId]),
    apiKey: API_KEY,
    login: LOGIN,
  }
  await web.get(`/callback?${used}`)
})
afterAll(async () => {
  agent.destroy()
  await web.close()
  await backend.close()
  await world.close()
})

interface Answered {
  readonly status: number
  readonly location: string
  readonly text: string
}

const viaInject = async ({ method, url, headers, body }: FuzzRequest): Promise<Answered> => {
  // Fastify's inject cannot parse such an address; the server must.
  if (!URL.canParse(url, web.url)) return viaSocket({ method, url, headers, body })
  const answer = await web.app.inject({
    method,
    url,
    headers: { ...headers },
    ...(body === undefined ? {} : { payload: body }),
  })
  return {
    status: answer.statusCode,
    location: String(answer.headers.location ?? ''),
    text: `${JSON.stringify(answer.headers)}\n${answer.body}`,
  }
}

const viaSocket = async ({ method, url, headers, body }: FuzzRequest): Promise<Answered> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(web.url)
    const request = httpRequest(
      { agent, hostname, port, method, path: url, headers: { ...headers }, timeout: 20_000 },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          const { location = '' } = response.headers
          resolve({
            status: response.statusCode ?? 0,
            location,
            text: `${JSON.stringify(response.headers)}\n${Buffer.concat(chunks).toString()}`,
          })
        })
      },
    )
    request.on('timeout', () => request.destroy(new Error(`no answer to ${method} ${url}`)))
    request.on('error', reject)
    request.end(body)
  })

const ownAddress = /^\/(?:r\/|done\/)/
const say = ({ method, url, headers, body }: FuzzRequest): string =>
  JSON.stringify({ method, url, headers, body: body?.toString() }).slice(0, 1_000)

const tryOut = async (request: FuzzRequest, ask: typeof viaInject, counts: Map<number, number>): Promise<void> => {
  const { status, location, text } = await ask(request)
  counts.set(status, (counts.get(status) ?? 0) + 1)
  if (status >= 500 || status < 200) throw new Error(`seed ${SEED}: answered ${status} to ${say(request)}`)
  const isOurs =
    ownAddress.test(location) || location.startsWith('/ops/queues') || location.startsWith(`${world.simulator.url}/`)
  if (location !== '' && !isOurs) throw new Error(`seed ${SEED}: led to ${location} by ${say(request)}`)
  // A button pressed from another site leads back to the requested page, so this address may hold the user's own token.
  if (!location.startsWith('/r/')) judgeText(`answer to ${say(request)}`, text)
}

test(
  `${REQUESTS} fuzzed requests, or ${SECONDS} s of them: no 5xx, nothing leaks, memory stays level`,
  { timeout: MAX_SECONDS * 1_000 },
  async () => {
    const counts = new Map<number, number>()
    const arbitrary = aRequest(honest)
    const started = performance.now()
    const secondsGone = (): number => (performance.now() - started) / 1_000
    let warm: number | undefined
    let sent = 0
    for (let page = 0; sent < REQUESTS && (sent < FEWEST || secondsGone() < SECONDS); page += 1) {
      const drawn = fc.sample(arbitrary, { seed: SEED + page, numRuns: Math.min(PAGE, REQUESTS - sent) })
      const ask = page % SOCKET_PAGES === 1 ? viaSocket : viaInject
      const waiting = drawn.values()
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          for (const request of waiting) await tryOut(request, ask, counts)
        }),
      )
      sent += drawn.length
      if (warm === undefined && sent >= warmAfter(Math.min(REQUESTS, (sent / secondsGone()) * SECONDS)))
        warm = await heapAfterCollection()
    }
    const end = await heapAfterCollection()
    console.log(
      `${sent} fuzzed requests in ${secondsGone().toFixed(0)} s, seed ${SEED}: ` +
        `${JSON.stringify(Object.fromEntries(counts))}; heap ${warm} to ${end} bytes`,
    )
    expect(sent).toBeGreaterThanOrEqual(FEWEST)
    expect(leaks, `seed ${SEED}`).toEqual([])
    // Every kind of answer occurred: pages, redirects, refusals.
    for (const status of [200, 202, 303, 400, 401, 403, 404, 415])
      expect(counts.get(status) ?? 0, `answers with ${status}, seed ${SEED}`).toBeGreaterThan(0)
    expect(end / (warm ?? end), `heap of ${warm} bytes became ${end}`).toBeLessThan(1.2)
    // The fuzzed requests changed nothing: the one code of the genuine callback is stored, and no other took its place.
    expect(
      (await world.authorisationsOf(honest.consentIds[0] ?? '')).filter(({ status }) => status === 'code_received'),
    ).toHaveLength(1)
  },
)

const rawBytes = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  fc
    .constantFrom(
      'GET / HTTP/9.9\r\n\r\n',
      'GET /callback?state=a b HTTP/1.1\r\nhost: x\r\n\r\n',
      'GET  HTTP/1.1\r\n\r\n',
      '\r\n\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'CONNECT evil.example:443 HTTP/1.1\r\nhost: x\r\n\r\n',
      'GET http://evil.example/ HTTP/1.1\r\nhost: evil.example\r\n\r\n',
      'GET /r/\u00ff HTTP/1.1\r\nhost: x\r\n\r\n',
      'GET / HTTP/1.1\r\n\r\n',
      'GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n',
      'POST /callback HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n' +
        'GET / HTTP/1.1\r\nhost: x\r\n\r\n',
      'POST /callback HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
      'POST /callback HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n',
      `GET / HTTP/1.1\r\nx: ${'a'.repeat(40_000)}\r\n\r\n`,
      `GET /${'a'.repeat(40_000)} HTTP/1.1\r\nhost: x\r\n\r\n`,
      'GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
      'GET / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\r\n',
      `${PLANTED}\r\n\r\n`,
    )
    .map((text) => Buffer.from(text, 'latin1')),
)

/**
 * Everything that the server sends until it closes. The client's sending end stays open: a client that closes it gets
 * no answer.
 */
const sendRaw = async ({ hostname, port }: URL, bytes: Buffer): Promise<string> =>
  new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(bytes))
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')))
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' || error.code === 'EPIPE' ? resolve(answer) : reject(error),
    )
    socket.on('close', () => resolve(answer))
    socket.setTimeout(20_000, () => socket.destroy(new Error('the server keeps a broken connection')))
  })

test('bytes that are hardly HTTP are refused or cut off, and the server goes on', async () => {
  const impatient = await startWeb(world, {
    log: makeLog({ level: 'debug', pretty: false, to: watched }),
    times: { headersMs: 400, requestMs: 600, checkEveryMs: 100, keepAliveMs: 100 },
  })
  const url = new URL(impatient.url)
  const drawn = fc.sample(rawBytes, { seed: SEED, numRuns: 300 })
  const waiting = drawn.values()
  let answered = 0
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      for (const bytes of waiting) {
        const answer = await sendRaw(url, bytes)
        if (answer !== '') answered += 1
        for (const [, status] of answer.matchAll(/^HTTP\/1\.1 (\d{3})/gm)) {
          // 505 is Node's own answer to an HTTP version that does not exist.
          const isFault = Number(status) >= 500 && status !== '505'
          if (isFault)
            throw new Error(
              `seed ${SEED}: answered ${status} to ${JSON.stringify(bytes.toString('latin1')).slice(0, 500)}`,
            )
        }
        judgeText('answer to raw bytes', answer)
      }
    }),
  )
  expect([leaks, answered > drawn.length / 2]).toEqual([[], true])
  expect((await impatient.get('/livez')).status).toBe(200)
  await impatient.close()
})
