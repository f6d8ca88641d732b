// A small TCP proxy that misbehaves on request: it delays, cuts, keeps silent, refuses, sends one byte at a time, or
// loses the answer to a request that went through. It knows nothing of the protocols it carries.
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'

export type Behaviour =
  | { readonly kind: 'pass' }
  /** Each chunk arrives this much later, in both directions. */
  | { readonly kind: 'latency'; readonly ms: number }
  /**
   * Connections stay open and new ones are accepted, but nothing passes; bytes sent meanwhile arrive afterwards, as
   * after a partition.
   */
  | { readonly kind: 'blackhole' }
  /**
   * The proxy does not listen: connecting fails, so that the client's request was certainly not sent. Open connections
   * are reset.
   */
  | { readonly kind: 'refuse' }
  /** Answers come one byte at a time. */
  | { readonly kind: 'drip'; readonly ms: number }
  /**
   * Lets the client's bytes through, waits until the server has answered, and resets the client instead of passing the
   * answer on. `skip`: the first ones are passed on.
   */
  | { readonly kind: 'cut-answer'; readonly after: string; readonly times: number; readonly skip?: number }

export interface FaultProxy {
  readonly port: number
  /** Takes effect at once, for open connections too. */
  set(behaviour: Behaviour): Promise<void>
  /** Resets every open connection; returns how many there were. */
  cut(): number
  /** The number of open connections. */
  open(): number
  /**
   * Since the start: the chunks and connections that were held back or delayed, and the connections that were reset
   * when the proxy stopped listening. The proxy does not see clients that find nobody listening after that.
   */
  met(): number
  /** How many answers `cut-answer` has swallowed since the start. */
  swallowed(): number
  close(): Promise<void>
}

interface Pair {
  readonly client: Socket
  readonly server: Socket
  /** Set while the proxy waits for the answer that it will not pass on. */
  swallowing: boolean
}

const HOST = '127.0.0.1'

/**
 * `targets`: ports on loopback, used in turn by each new connection; a port that refuses is skipped, as by a load
 * balancer.
 */
export const startFaultProxy = async ({ targets }: { targets: () => readonly number[] }): Promise<FaultProxy> => {
  let behaviour: Behaviour = { kind: 'pass' }
  let changed = Promise.withResolvers<void>()
  let turn = 0
  let swallowed = 0
  let left = 0
  let skipped = 0
  let met = 0
  let closed = false
  const pairs = new Set<Pair>()

  const passing = async (): Promise<void> => {
    while (behaviour.kind === 'blackhole' && !closed) await changed.promise
  }

  const drop = (pair: Pair): void => {
    pairs.delete(pair)
    for (const socket of [pair.client, pair.server]) if (!socket.destroyed) socket.resetAndDestroy()
  }

  const write = async (to: Socket, bytes: Buffer): Promise<void> => {
    if (to.destroyed || to.write(bytes)) return
    await Promise.race([once(to, 'drain'), once(to, 'close')]).catch(() => undefined)
  }

  const deliver = async (pair: Pair, from: 'client' | 'server', bytes: Buffer): Promise<void> => {
    const to = from === 'client' ? pair.server : pair.client
    if (behaviour.kind === 'blackhole') met += 1
    await passing()
    const now = behaviour
    if (now.kind === 'latency') {
      met += 1
      await wait(now.ms)
    }
    if (from === 'server' && pair.swallowing) {
      swallowed += 1
      drop(pair)
      return
    }
    if (from === 'client' && now.kind === 'cut-answer' && left > 0 && bytes.includes(now.after)) {
      if (skipped > 0) skipped -= 1
      else {
        left -= 1
        pair.swallowing = true
      }
    }
    if (from === 'server' && now.kind === 'drip') {
      for (const byte of bytes) {
        if (to.destroyed) return
        await write(to, Buffer.of(byte))
        if (behaviour.kind === 'drip') await wait(now.ms)
      }
      return
    }
    await write(to, bytes)
  }

  const pump = async (pair: Pair, from: 'client' | 'server'): Promise<void> => {
    const source = pair[from]
    const to = from === 'client' ? pair.server : pair.client
    try {
      for await (const bytes of source as AsyncIterable<Buffer>) await deliver(pair, from, bytes)
      await passing()
      if (!to.destroyed) to.end()
    } catch {
      drop(pair)
    }
  }

  /** A connection to the first target that accepts it, beginning with the next target in turn. */
  const reach = async (): Promise<Socket | undefined> => {
    const ports = targets()
    turn += 1
    for (let tried = 0; tried < ports.length; tried += 1) {
      const target = ports[(turn + tried) % ports.length]
      if (target === undefined) continue
      const socket = connect({ host: HOST, port: target, noDelay: true, allowHalfOpen: true })
      const reached = await new Promise<boolean>((resolve) => {
        socket.once('connect', () => resolve(true))
        socket.once('error', () => resolve(false))
      })
      if (reached) return socket
    }
    return undefined
  }

  const take = async (client: Socket): Promise<void> => {
    client.on('error', () => undefined)
    client.setNoDelay(true)
    if (behaviour.kind === 'blackhole') met += 1
    await passing()
    const server = await reach()
    if (server === undefined || client.destroyed || closed) {
      client.resetAndDestroy()
      server?.destroy()
      return
    }
    server.on('error', () => undefined)
    const pair: Pair = { client, server, swallowing: false }
    pairs.add(pair)
    await Promise.all([pump(pair, 'client'), pump(pair, 'server')])
    pairs.delete(pair)
    client.destroy()
    server.destroy()
  }

  let listener: Server | undefined
  let taken = 0
  const listen = async (): Promise<void> => {
    listener = createServer({ allowHalfOpen: true, pauseOnConnect: false }, (client) => void take(client))
    listener.on('error', () => undefined)
    listener.listen(taken, HOST)
    await once(listener, 'listening')
    const address = listener.address()
    if (address !== null && typeof address === 'object') taken = address.port
  }
  const deafen = async (): Promise<void> => {
    const ended = listener
    if (ended === undefined) return
    listener = undefined
    ended.close()
    met += cut()
    await once(ended, 'close')
  }
  const cut = (): number => {
    const all = [...pairs]
    for (const pair of all) drop(pair)
    return all.length
  }

  await listen()
  return {
    port: taken,
    set: async (next) => {
      behaviour = next
      left = next.kind === 'cut-answer' ? next.times : 0
      skipped = next.kind === 'cut-answer' ? (next.skip ?? 0) : 0
      changed.resolve()
      changed = Promise.withResolvers<void>()
      if (next.kind === 'refuse') await deafen()
      else if (listener === undefined && !closed) await listen()
    },
    cut,
    open: () => pairs.size,
    met: () => met,
    swallowed: () => swallowed,
    close: async () => {
      closed = true
      changed.resolve()
      cut()
      await deafen()
    },
  }
}
