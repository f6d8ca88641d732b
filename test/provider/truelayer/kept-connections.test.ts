// Which calls share connections, and what becomes of a call whose connection the provider has closed meanwhile.
import type { Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { subject } from './planted.ts'
import { afterRequest, response, tcpServer } from './scripted-server.ts'

const bodies: Readonly<Record<string, string>> = {
  '/v1/reauthuri': '{"success":true,"result":"https://bank.example/authorise"}',
  '/data/v1/me': '{"results":[{"credentials_id":"c-1"}]}',
  '/connect/token': '{"access_token":"opaque"}',
}

/** Answers each request with what its path asks for, and keeps the connection; `instead` may do something else. */
const keeping = async (instead: Readonly<Record<number, (socket: Socket) => unknown>> = {}) => {
  let asked = 0
  const sockets = new Set<Socket>()
  const server = await tcpServer((socket) => {
    sockets.add(socket)
    let path = ''
    socket.on('data', (bytes) => {
      path = /^(?:GET|POST) (\S+)/.exec(bytes.toString('latin1'))?.[1] ?? path
    })
    afterRequest(() => {
      const other = instead[(asked += 1)]
      if (other === undefined) socket.write(response(200, bodies[path] ?? '', { connection: 'keep-alive' }))
      else other(socket)
    })(socket)
  })
  return { ...server, sockets, asked: () => asked }
}

test('links and the dates of a connection share a connection; a code and a refresh token never do', async () => {
  const server = await keeping()
  const it = subject(server.url)
  // Node warns of a connection that collects listeners.
  const warnings: Error[] = []
  const note = (warning: Error) => void warnings.push(warning)
  process.on('warning', note)
  onTestFinished(() => void process.off('warning', note))
  for (let n = 0; n < 12; n += 1) {
    expect(await it.link()).toMatchObject({ kind: 'link' })
    expect(await it.me()).toMatchObject({ kind: 'me' })
    await turn()
  }
  expect(server.connections()).toBe(1)
  expect(await it.exchange()).toMatchObject({ kind: 'tokens' })
  expect(await it.refresh()).toMatchObject({ kind: 'tokens' })
  expect(await it.exchange()).toMatchObject({ kind: 'tokens' })
  expect([server.connections(), server.asked()]).toEqual([4, 27])
  expect(await it.me()).toMatchObject({ kind: 'me' })
  expect(server.connections()).toBe(4)
  expect(warnings).toEqual([])
})

describe('the provider has closed the kept connection', () => {
  test.each(['end', 'resetAndDestroy'] as const)('while nobody used it (%s): the call has another', async (how) => {
    const server = await keeping()
    const it = subject(server.url)
    expect(await it.me()).toMatchObject({ kind: 'me' })
    await turn()
    for (const socket of server.sockets) socket[how]()
    expect(await it.me()).toMatchObject({ kind: 'me' })
    expect(server.connections()).toBe(2)
    expect(it.logged()).not.toContain('gave no answer')
  })

  test.each(['destroy', 'resetAndDestroy', 'end'] as const)('as the call came (%s): asked again', async (how) => {
    const server = await keeping({ 2: (socket) => socket[how]() })
    const it = subject(server.url)
    expect(await it.link()).toMatchObject({ kind: 'link' })
    await turn()
    expect(await it.link()).toMatchObject({ kind: 'link' })
    expect([server.connections(), server.asked()]).toEqual([2, 3])
    expect(it.logged()).not.toContain('gave no answer')
  })

  test('and the new one as well: unavailable, asked no third time', async () => {
    const cut = (socket: Socket) => socket.destroy()
    const server = await keeping({ 2: cut, 3: cut })
    const it = subject(server.url)
    expect(await it.me()).toMatchObject({ kind: 'me' })
    await turn()
    expect(await it.me()).toMatchObject({ kind: 'unavailable', code: 'provider-unreachable' })
    expect([server.connections(), server.asked()]).toEqual([2, 3])
  })

  test('a connection that is new and closed at once: not asked again', async () => {
    const server = await keeping({ 1: (socket) => socket.destroy() })
    expect(await subject(server.url).me()).toMatchObject({ kind: 'unavailable', code: 'provider-unreachable' })
    expect(server.asked()).toBe(1)
  })

  test('in the middle of an answer: not asked again', async () => {
    const server = await keeping({
      2: (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n{"resu'),
    })
    const it = subject(server.url)
    expect(await it.me()).toMatchObject({ kind: 'me' })
    await turn()
    expect(await it.me()).toMatchObject({ kind: 'unavailable', code: 'provider-unreachable' })
    expect([server.connections(), server.asked()]).toEqual([1, 2])
  })

  test('it says nothing any more: the time of the call is the limit, and it is not asked again', async () => {
    const server = await keeping({ 2: () => undefined })
    const it = subject(server.url, { requestTimeoutMs: 1_000 })
    expect(await it.me()).toMatchObject({ kind: 'me' })
    await turn()
    expect(await it.me()).toMatchObject({ kind: 'unavailable', code: 'provider-timeout' })
    expect([server.connections(), server.asked()]).toEqual([1, 2])
  })
})
