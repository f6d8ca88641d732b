// The fault proxy against a real echo server: what each behaviour does to open and to new connections.
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts'

let received: string
let server: ReturnType<typeof createServer>
let proxy: FaultProxy
const clients: Socket[] = []

beforeEach(async () => {
  received = ''
  server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => {
      received += bytes.toString()
      socket.write(`echo ${bytes.toString()}`)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  proxy = await startFaultProxy({ targets: () => [(server.address() as AddressInfo).port] })
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await proxy.close()
  server.close()
})

const open = async (): Promise<Socket> => {
  const client = connect(proxy.port, '127.0.0.1')
  clients.push(client)
  client.on('error', () => undefined)
  await once(client, 'connect')
  return client
}
const answer = async (client: Socket): Promise<string> => String((await once(client, 'data'))[0])
/** Node's `once` would reject at the reset, which comes before the close. */
const closed = async (client: Socket): Promise<void> => new Promise((resolve) => client.once('close', () => resolve()))
const soon = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await wait(5)
}

describe('the fault proxy', () => {
  test('passes bytes on in both directions', async () => {
    const client = await open()
    client.write('hello')
    expect(await answer(client)).toBe('echo hello')
  })

  test('late: the answer takes both ways of it', async () => {
    await proxy.set({ kind: 'latency', ms: 60 })
    const client = await open()
    const from = performance.now()
    client.write('hello')
    await answer(client)
    expect(performance.now() - from).toBeGreaterThanOrEqual(115)
  })

  test('silent: nothing passes, and what was sent arrives once it heals', async () => {
    const client = await open()
    client.write('one')
    await answer(client)
    await proxy.set({ kind: 'blackhole' })
    client.write('two')
    const late = await open()
    late.write('three')
    await wait(50)
    expect(received).toBe('one')
    await proxy.set({ kind: 'pass' })
    expect(await answer(client)).toBe('echo two')
    expect(await answer(late)).toBe('echo three')
  })

  test('refusing: open connections are reset, new ones fail, and it listens on the same port again', async () => {
    const client = await open()
    client.write('hello')
    await answer(client)
    const ended = closed(client)
    await proxy.set({ kind: 'refuse' })
    await ended
    await expect(once(connect(proxy.port, '127.0.0.1'), 'connect')).rejects.toThrow('ECONNREFUSED')
    await proxy.set({ kind: 'pass' })
    const again = await open()
    again.write('again')
    expect(await answer(again)).toBe('echo again')
  })

  test('one byte at a time: an answer comes in as many pieces', async () => {
    await proxy.set({ kind: 'drip', ms: 5 })
    const client = await open()
    const pieces: string[] = []
    client.on('data', (bytes) => pieces.push(bytes.toString()))
    client.write('hi')
    await soon(() => pieces.join('') === 'echo hi')
    expect(pieces.length).toBeGreaterThan(3)
  })

  test('an answer that is lost: the bytes went through, the client is cut, others are not touched', async () => {
    await proxy.set({ kind: 'cut-answer', after: 'COMMIT', times: 1 })
    const other = await open()
    other.write('SELECT')
    expect(await answer(other)).toBe('echo SELECT')
    const client = await open()
    let heard = ''
    client.on('data', (bytes) => {
      heard += bytes.toString()
    })
    client.write('COMMIT')
    await closed(client)
    expect(received).toBe('SELECTCOMMIT')
    expect(heard).toBe('')
    expect(proxy.swallowed()).toBe(1)
    other.write('COMMIT')
    expect(await answer(other)).toBe('echo COMMIT')
  })

  test('cut: every open connection ends at once', async () => {
    const all = [await open(), await open()]
    for (const client of all) {
      client.write('x')
      await answer(client)
    }
    const ended = all.map(closed)
    expect(proxy.cut()).toBe(2)
    await Promise.all(ended)
  })

  test('it counts who has met it: what was held back, came late, or was reset; not what passed', async () => {
    const client = await open()
    client.write('one')
    await answer(client)
    expect(proxy.met()).toBe(0)
    await proxy.set({ kind: 'blackhole' })
    client.write('two')
    await soon(() => proxy.met() === 1)
    await proxy.set({ kind: 'pass' })
    await answer(client)
    await proxy.set({ kind: 'latency', ms: 5 })
    client.write('three')
    await answer(client)
    expect(proxy.met()).toBe(3)
    const ended = closed(client)
    await proxy.set({ kind: 'refuse' })
    await ended
    expect(proxy.met()).toBe(4)
    await proxy.set({ kind: 'pass' })
  })

  test('several targets: one that refuses is passed over', async () => {
    const gone = createServer().listen(0, '127.0.0.1')
    await once(gone, 'listening')
    const { port } = gone.address() as AddressInfo
    gone.close()
    await once(gone, 'close')
    const balancer = await startFaultProxy({ targets: () => [port, (server.address() as AddressInfo).port] })
    for (let turn = 0; turn < 3; turn += 1) {
      const client = connect(balancer.port, '127.0.0.1')
      clients.push(client)
      client.write('hello')
      expect(await answer(client)).toBe('echo hello')
    }
    await balancer.close()
  })
})
