// Real servers for webhooks: one that answers as the test says and verifies signatures by the public library, and traps
// that must not be reached.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { Webhook } from 'standardwebhooks'
import { vi } from 'vitest'
import { selfSigned } from '../provider/truelayer/self-signed.ts'

export interface Received {
  readonly id: string
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
  readonly type: string
  readonly consentId: string
  readonly sequence: number
  readonly gaps: readonly { readonly id: string; readonly type: string; readonly sequence: number }[]
}

export type Answer = (response: ServerResponse, received: Received) => void
export const status =
  (code: number, headers: Readonly<Record<string, string>> = {}): Answer =>
  (response) =>
    void response.writeHead(code, headers).end()
/** Takes the request and never answers. */
export const hangs: Answer = () => undefined

const read = async (request: IncomingMessage): Promise<Received> => {
  const body = await text(request)
  const { type, data } = JSON.parse(body) as {
    type: string
    data: { consent_id: string; sequence: number; gaps?: Received['gaps'] }
  }
  const headers = request.headers as Record<string, string>
  return {
    id: headers['webhook-id'] ?? '',
    body,
    headers,
    type,
    consentId: data.consent_id,
    sequence: data.sequence,
    gaps: data.gaps ?? [],
  }
}

const listening = async (server: {
  listen(port: number, host: string, done: () => void): unknown
  address(): unknown
}) => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

export const startReceiver = async ({ tls = false }: { tls?: boolean } = {}) => {
  const received: Received[] = []
  const receiver = { answer: status(204) as Answer }
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    void read(request).then((one) => {
      received.push(one)
      receiver.answer(response, one)
    })
  }
  const server = tls ? createTlsServer(selfSigned, handle) : createServer(handle)
  const port = await listening(server)
  return Object.assign(receiver, {
    port,
    url: tls ? `https://localhost:${port}/hook` : `http://127.0.0.1:${port}/hook`,
    received,
    /** Of one consent, as they came. */
    sequencesOf: (consentId: string): number[] =>
      received.filter((one) => one.consentId === consentId).map(({ sequence }) => sequence),
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
}

export type Receiver = Awaited<ReturnType<typeof startReceiver>>

/** As a receiver does it at that time. Throws if the signature is not by this secret. */
export const verified = ({ body, headers }: Received, secret: string): unknown => {
  vi.useFakeTimers({ toFake: ['Date'], now: Number(headers['webhook-timestamp']) * 1000 })
  try {
    return new Webhook(secret).verify(body, headers)
  } finally {
    vi.useRealTimers()
  }
}

/** Counts connections and bytes. */
export const startTrap = async () => {
  const seen = { connections: 0, bytes: 0 }
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    seen.connections += 1
    sockets.add(socket)
    socket.on('data', (bytes) => (seen.bytes += bytes.length))
    socket.on('error', () => undefined)
  })
  const port = await listening(server)
  return {
    port,
    seen,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
