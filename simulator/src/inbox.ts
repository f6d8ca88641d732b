// A real SMTP server that stores every mail, for any address, and can fail in the ways in which mail servers fail.
import type { Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as wait } from 'node:timers/promises'
import { simpleParser } from 'mailparser'
import { SMTPServer } from 'smtp-server'
import type { SMTPServerSession } from 'smtp-server'
import type { ActiveSettings } from './fault-kinds.ts'
import type { Mail } from './mail-store.ts'
import type { World } from './world.ts'

const MAX_MAIL_BYTES = 10 * 1024 * 1024

const smtpError = (responseCode: number, text: string): Error => Object.assign(new Error(text), { responseCode })

const recipientsOf = (session: SMTPServerSession): readonly string[] =>
  session.envelope.rcptTo.map(({ address }) => address.toLowerCase())

const readMail = async (source: Buffer, session: SMTPServerSession): Promise<Omit<Mail, 'id' | 'at' | 'links'>> => {
  const parsed = await simpleParser(source, { skipTextToHtml: true })
  const sender = session.envelope.mailFrom
  return {
    from: parsed.from?.text ?? (sender === false ? '' : sender.address),
    to: recipientsOf(session),
    subject: parsed.subject ?? '',
    text: parsed.text ?? '',
    html: parsed.html === false ? '' : (parsed.html ?? ''),
    message_id: (parsed.messageId ?? '').replace(/^<|>$/g, ''),
    headers: Object.fromEntries(
      parsed.headerLines.map(({ key, line }) => [key, line.slice(line.indexOf(':') + 1).trim()]),
    ),
  }
}

export interface Inbox {
  readonly port: number
  close(): Promise<void>
}

/** Listens on `port` (0: a free port). Rejects when the port is taken. Any login is accepted; none is needed. */
export const startInbox = async (world: World, { host, port }: { host: string; port: number }): Promise<Inbox> => {
  const { faults, ledger, mails, closing } = world
  const sockets = new Map<number, Socket>()
  // One fault per mail: chosen at its first recipient, kept until the message is finished.
  const drawn = new Map<string, ActiveSettings | undefined>()

  const noteLost = (session: SMTPServerSession, to: readonly string[], fault: ActiveSettings): void => {
    drawn.delete(session.id)
    ledger.record({ what: 'mail', outcome: 'not-processed', to, fault: fault.kind })
  }

  /** Receives a whole message. Undefined when the connection was cut, so that no answer can be sent. */
  const receive = async (source: Buffer, session: SMTPServerSession): Promise<string | undefined> => {
    const fault = drawn.get(session.id)
    if (fault?.kind === 'data-4xx' || fault?.kind === 'data-5xx') {
      noteLost(session, recipientsOf(session), fault)
      throw fault.kind === 'data-4xx'
        ? smtpError(451, '4.3.0 Try again later')
        : smtpError(554, '5.6.0 Message refused')
    }
    const isLost = fault?.kind === 'cut-after-dot' && !fault.stored
    if (isLost) noteLost(session, recipientsOf(session), fault)
    const mail = isLost
      ? undefined
      : mails.add(await readMail(source, session), {
          fault: fault?.kind,
          late_ms: fault?.kind === 'slow-mail' ? fault.ms : undefined,
        })
    drawn.delete(session.id)
    if (fault?.kind === 'cut-after-dot') {
      sockets.get(session.remotePort)?.destroy()
      return undefined
    }
    if (fault?.kind === 'slow-mail') await wait(fault.ms, undefined, { signal: closing }).catch(() => undefined)
    return `2.0.0 Kept as mail ${mail?.id}`
  }

  const smtp = new SMTPServer({
    banner: 'simulated inbox',
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    allowInsecureAuth: true,
    disableReverseLookup: true,
    size: MAX_MAIL_BYTES,
    closeTimeout: 100,
    logger: false,
    onAuth: ({ username }, _session, done) => done(null, { user: username ?? 'anybody' }),
    onMailFrom: (_address, session, done) => {
      drawn.delete(session.id)
      done()
    },
    onRcptTo: ({ address }, session, done) => {
      const to = address.toLowerCase()
      if (!drawn.has(session.id)) drawn.set(session.id, faults.take('mail', [to]))
      const fault = drawn.get(session.id)
      if (fault?.kind !== 'rcpt-4xx' && fault?.kind !== 'rcpt-5xx') return done()
      noteLost(session, [to], fault)
      return done(
        fault.kind === 'rcpt-4xx' ? smtpError(451, '4.7.1 Try again later') : smtpError(550, '5.1.1 No such mailbox'),
      )
    },
    onData: (stream, session, done) => {
      const answer = async (): Promise<void> => {
        const source = await buffer(stream)
        // The server itself answers 552 to a mail that is too large.
        const reply = stream.sizeExceeded ? '' : await receive(source, session)
        if (reply !== undefined) done(null, reply)
      }
      answer().catch((error: unknown) => done(error instanceof Error ? error : new Error(String(error))))
    },
    onClose: (session) => {
      drawn.delete(session.id)
    },
  })
  smtp.server.on('connection', (socket: Socket) => {
    const remotePort = socket.remotePort ?? 0
    sockets.set(remotePort, socket)
    socket.once('close', () => {
      if (sockets.get(remotePort) === socket) sockets.delete(remotePort)
    })
  })

  await new Promise<void>((resolve, reject) => {
    smtp.once('error', reject)
    smtp.listen(port, host, () => {
      smtp.off('error', reject)
      // A client that disconnects in the middle is not an error of the simulator.
      smtp.on('error', () => undefined)
      resolve()
    })
  })
  const address = smtp.server.address()
  if (address === null || typeof address === 'string') throw new Error('simulator: the SMTP listener has no port')
  return {
    port: address.port,
    close: () =>
      new Promise((resolve) => {
        smtp.close(() => resolve())
        for (const socket of sockets.values()) socket.destroy()
      }),
  }
}
