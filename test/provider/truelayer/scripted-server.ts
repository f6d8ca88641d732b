// Loopback servers that answer a request byte by byte as a test says, and count what reached them.
import http from 'node:http'
import net from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import tls from 'node:tls'
import { onTestFinished } from 'vitest'
import { selfSigned } from './self-signed.ts'

export interface Scripted {
  readonly url: string
  /** Connections accepted (TLS: with a finished handshake). */
  connections(): number
  /** The sockets that are still open. */
  open(): number
  /** All bytes received, as text. */
  received(): string
  /** Whole or partial HTTP requests seen. */
  requests(): number
}

const requestLine = /^(?:GET|POST) \S+ HTTP\/1\.1\r$/gm

const listening = async (server: net.Server): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

const scripted = async (
  server: net.Server,
  event: string,
  scheme: string,
  onSocket: (socket: Socket) => void,
): Promise<Scripted> => {
  const open = new Set<Socket>()
  let received = ''
  let connections = 0
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    socket.on('error', () => {})
  })
  server.on(event, (socket: Socket) => {
    connections += 1
    if (received !== '') received += '\n'
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      received += bytes.toString('latin1')
    })
    onSocket(socket)
  })
  server.on('tlsClientError', () => {})
  const port = await listening(server)
  onTestFinished(async () => {
    for (const socket of open) socket.destroy()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  })
  return {
    url: `${scheme}://127.0.0.1:${port}`,
    connections: () => connections,
    open: () => open.size,
    received: () => received,
    requests: () => received.match(requestLine)?.length ?? 0,
  }
}

/** Plain TCP. */
export const tcpServer = (onSocket: (socket: Socket) => void): Promise<Scripted> =>
  scripted(net.createServer(), 'connection', 'http', onSocket)

/** TLS with a certificate that nobody trusts unless the test installs it. */
export const tlsServer = (onSocket: (socket: Socket) => void): Promise<Scripted> =>
  scripted(tls.createServer(selfSigned), 'secureConnection', 'https', onSocket)

/** Calls `answer` once a whole request has arrived (the headers and the body that its content-length announces). */
export const afterRequest = (answer: (socket: Socket) => void) => (socket: Socket) => {
  let text = ''
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1')
    const end = text.indexOf('\r\n\r\n')
    const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0)
    if (end < 0 || text.length < end + 4 + length) return
    text = ''
    answer(socket)
  })
}

export const response = (status: number, body: string | Buffer, headers: Record<string, string> = {}): Buffer => {
  const all = {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
    ...headers,
  }
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.concat([
    Buffer.from(`HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? 'Odd'}\r\n${head.join('')}\r\n`),
    Buffer.from(body),
  ])
}

/** Every request gets this answer. */
export const answering = (status: number, body: unknown, headers: Record<string, string> = {}): Promise<Scripted> => {
  const bytes = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  return tcpServer(afterRequest((socket) => void socket.end(response(status, bytes, headers))))
}

/** An address of this machine on which no server listens. */
export const refusedPort = async (): Promise<string> => {
  const server = net.createServer()
  const port = await listening(server)
  await new Promise<void>((resolve) => server.close(() => resolve()))
  return `http://127.0.0.1:${port}`
}
