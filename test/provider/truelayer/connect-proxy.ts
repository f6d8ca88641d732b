// A proxy on loopback that speaks CONNECT and fails at the step that a test chooses. Counts what reached it.
import net from 'node:net'
import type { Socket } from 'node:net'
import { tcpServer, tlsServer, type Scripted } from './scripted-server.ts'

export interface ProxyOptions {
  /** What the proxy does after CONNECT instead of opening a tunnel. */
  readonly instead?: (client: Socket) => void
  /** Runs after the 200, before any byte goes through the tunnel. */
  readonly afterTunnel?: (client: Socket, upstream: Socket) => void
  /** Whether the proxy itself speaks TLS. */
  readonly secure?: boolean
  /** Where every tunnel leads, whatever CONNECT asks for. */
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
      // The client's socket is not read any more once the upstream is closed, so its end would not be noticed.
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
