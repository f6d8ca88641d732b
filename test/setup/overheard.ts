// Stands between a program and one of its servers, passes everything on, and lets somebody read what the program sends.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface Overheard {
  /** The address of the server, through this place. */
  readonly url: string
  close(): Promise<void>
}

/** `reader` makes the reader of one connection. */
export const overhear = async (serverUrl: string, reader: () => (chunk: Buffer) => void): Promise<Overheard> => {
  const target = new URL(serverUrl)
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname)
    client.on('data', reader())
    client.pipe(upstream).pipe(client)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = new URL(serverUrl)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
