// A proxy on loopback that speaks CONNECT, and fails at whichever step a test says. Counts what reached it.
import net from 'node:net'
import type { Socket } from 'node:net'
import { tcpServer, tlsServer, type Scripted } from './scripted-server.ts'

export interface ProxyOptions {
  /** Instead of a tunnel: what the proxy does once CONNECT was read. */
  readonly instead?: (client: Socket) => void
  /** Behind the 200, before any byte goes through. */
  readonly afterTunnel?: (client: Socket, upstream: Socket) => void
  /** By TLS. */
  readonly secure?: boolean
  /** Wherever the tunnel was asked to lead. */
  readonly leadTo?: string
}

export const connectProxy = async ({ instead, afterTunnel, secure, leadTo }: ProxyOptions = {}): Promise<Scripted> =>
  (secure === true ? tlsServer : tcpServer)((client) => {
    let head = ''
    const read = (bytes: Buffer): void => {
      head += bytes.toString('latin1')
      if (!head.includes('\r\n\r\n')) return
      client.off('data', read)
      if (instead !== undefined) {
        instead(client)
        return
      }
      const target = new URL(leadTo ?? `http://${/^CONNECT (\S+)/.exec(head)?.[1]}`)
      const upstream = net.connect(Number(target.port), target.hostname.replace(/^\[|\]$/g, ''))
      upstream.on('error', () => client.destroy())
      client.on('close', () => upstream.destroy())
      // Nobody reads a client whose upstream is gone, and its end would not be seen.
      upstream.on('close', () => client.resume())
      upstream.once('connect', () => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n')
        if (afterTunnel !== undefined) {
          afterTunnel(client, upstream)
          return
        }
        client.pipe(upstream).pipe(client)
      })
    }
    client.on('data', read)
  })

export const withLogin = (proxy: Scripted, login: string): string => proxy.url.replace('://', `://${login}@`)
