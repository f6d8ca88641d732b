// A mail server on loopback that follows a script: at each step it sends a reply, cuts the connection, or stays silent.
import { createServer, type AddressInfo, type Socket } from 'node:net'

export type Reply = string | 'cut' | 'silence'

export type Step = 'greeting' | 'EHLO' | 'HELO' | 'AUTH' | 'MAIL' | 'RCPT' | 'DATA' | 'dot' | 'RSET' | 'QUIT'

const usual: Record<Step, Reply> = {
  greeting: '220 test ESMTP',
  EHLO: '250 test',
  HELO: '250 test',
  AUTH: '235 ok',
  MAIL: '250 ok',
  RCPT: '250 ok',
  DATA: '354 go on',
  dot: '250 queued',
  RSET: '250 forgotten',
  QUIT: '221 bye',
}

export interface ScriptedSmtp {
  readonly port: number
  /** Every command line received, in order. */
  readonly commands: string[]
  /** Every body received, as its bytes in latin1. */
  readonly bodies: string[]
  /** How many connections were made, and how many of them are open. */
  connections(): { readonly made: number; readonly open: number }
  /** Settles when no connection is open any more. */
  empty(): Promise<void>
  /** The next time that a step is reached, it has this reply. */
  next(script: Partial<Record<Step, Reply>>): void
  /** Ends every connection: as a server does that has waited long enough, as one that says so, or as one that dies. */
  hangUp(how: 'end' | 'reset' | '421'): void
  /** Settles when a connection has reached a step, so that a test can act at that moment. */
  reached(step: Step): Promise<void>
  close(): Promise<void>
}

export interface Script extends Partial<Record<Step, Reply>> {
  /** The extensions that the server offers in its answer to EHLO, such as `PIPELINING`. */
  readonly extensions?: readonly string[]
}

/** A refused step has the same consequences as in real servers: after a refused RCPT there is no DATA. */
export const scriptedSmtp = async ({ extensions = [], ...script }: Script = {}): Promise<ScriptedSmtp> => {
  const ehlo = ['test', ...extensions, 'HELP']
    .map((line, index, all) => `250${index === all.length - 1 ? ' ' : '-'}${line}`)
    .join('\r\n')
  const replies = { ...usual, EHLO: ehlo, ...script }
  let once: Partial<Record<Step, Reply>> = {}
  let made = 0
  let emptied: (() => void) | undefined
  const commands: string[] = []
  const bodies: string[] = []
  const sockets = new Set<Socket>()
  const arrivals = new Map<Step, PromiseWithResolvers<void>>()
  const arrival = (step: Step): PromiseWithResolvers<void> => {
    const known = arrivals.get(step) ?? Promise.withResolvers<void>()
    arrivals.set(step, known)
    return known
  }

  const server = createServer((socket) => {
    made += 1
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      if (sockets.size === 0) emptied?.()
    })
    /** The reply that was given. */
    const play = (step: Step): Reply => {
      const reply = once[step] ?? replies[step]
      once = { ...once, [step]: undefined }
      if (reply === 'cut') socket.destroy()
      else if (reply !== 'silence') socket.write(`${reply}\r\n`)
      arrival(step).resolve()
      return reply
    }
    let inBody = false
    let refusedAt: Step | undefined
    let buffered = ''
    socket.on('data', (chunk) => {
      buffered += chunk.toString('latin1')
      for (;;) {
        const end = inBody ? buffered.indexOf('\r\n.\r\n') : buffered.indexOf('\r\n')
        if (end < 0) return
        const line = buffered.slice(0, end)
        buffered = buffered.slice(end + (inBody ? 5 : 2))
        if (inBody) {
          inBody = false
          bodies.push(line)
          play('dot')
          continue
        }
        commands.push(line)
        const step = /^(EHLO|HELO|AUTH|MAIL|RCPT|DATA|RSET|QUIT)/.exec(line)?.[1] as Step | undefined
        if (step === undefined) continue
        if (step === 'RSET') refusedAt = undefined
        if (refusedAt !== undefined && step !== 'QUIT') {
          socket.write('503 not now\r\n')
          continue
        }
        const reply = play(step)
        // A server from before 1995 does not know EHLO; the client goes on with HELO.
        if (/^[45]/.test(reply) && step !== 'EHLO') refusedAt = step
        if (step === 'DATA') inBody = reply.startsWith('3')
        if (step === 'QUIT' && reply !== 'silence') socket.end()
      }
    })
    play('greeting')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    commands,
    bodies,
    connections: () => ({ made, open: sockets.size }),
    empty: async () => {
      if (sockets.size > 0) await new Promise<void>((resolve) => (emptied = resolve))
    },
    next: (script) => {
      once = { ...once, ...script }
    },
    hangUp: (how) => {
      for (const socket of sockets) {
        if (how === 'reset') socket.resetAndDestroy()
        else socket.end(how === '421' ? '421 idle for too long\r\n' : '')
      }
    },
    reached: (step) => arrival(step).promise,
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
