// Sends mail by SMTP, one connection per message, and reports the outcome of each message. Never sends a message twice:
// retrying is the caller's decision. Drives nodemailer's connection itself, because nodemailer's transport on top of it
// does not say whether the body had already left.
import { Readable } from 'node:stream'
import MailComposer from 'nodemailer/lib/mail-composer'
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import { crashPoint } from '../../crash-point.ts'
import { needsSmtpUtf8 } from '../../domain/mail-address.ts'
import type { Secret } from '../../secret.ts'
import type { Channel, ChannelTimeouts, Delivery } from '../port.ts'
import { mailboxProblem, readSender, type Sender } from './mailbox.ts'
import { classify, type SmtpFailure } from './smtp-outcome.ts'
import { parseSmtpUrl, type SmtpServer } from './smtp-url.ts'

export interface Mail {
  readonly to: string
  /** Deterministic per notification, so that mail systems can drop a surplus copy. Without angle brackets. */
  readonly messageId: string
  readonly subject: string
  readonly text: string
  readonly html: string
  readonly locale: string
}

/** `smtpUrl` is as in `parseSmtpUrl`, `from` as in MAIL_FROM. */
export interface SmtpOptions {
  readonly smtpUrl: Secret
  readonly from: string
  readonly timeouts: ChannelTimeouts
}

export type SmtpChannel = Omit<Channel<Mail>, 'compose' | 'diagnosis'>

const singleLine = /^[^\p{Cc}\p{Zl}\p{Zp}]+$/u

/** What is wrong with a message before any server sees the message. Names the field, never the value. */
const problemOf = (message: Mail): string | undefined => {
  const ofAddress = mailboxProblem(message.to)
  if (ofAddress !== undefined) return `the address is not a single plain mailbox: it ${ofAddress}`
  if (!singleLine.test(message.subject)) return 'the subject is empty or holds a line break or control character'
  if (!/^[^\s\p{Cc}<>@]+@[^\s\p{Cc}<>@]+$/u.test(message.messageId)) return 'the message id is malformed'
  if (!/^[A-Za-z0-9-]+$/.test(message.locale)) return 'the locale is malformed'
  return undefined
}

const parseSender = (from: string): Sender => {
  const read = readSender(from)
  if ('problem' in read) throw new Error(`MAIL_FROM ${read.problem}`)
  return read.sender
}

interface Composed {
  readonly raw: Buffer
  readonly sender: string
  readonly recipient: string
}

const compose = async (message: Mail, from: Sender): Promise<Composed> => {
  const node = new MailComposer({
    // Copies, because the composer writes the addresses' ASCII forms into these objects.
    from: { ...from },
    to: { name: '', address: message.to },
    subject: message.subject,
    text: message.text,
    html: message.html,
    messageId: `<${message.messageId}>`,
    headers: {
      'Auto-Submitted': 'auto-generated',
      'X-Auto-Response-Suppress': 'All',
      'Content-Language': message.locale,
    },
    disableFileAccess: true,
    disableUrlAccess: true,
  }).compile()
  // The composer's envelope has international domains in their ASCII form.
  const envelope = node.getEnvelope()
  const sender = envelope.from === false ? from.address : String(envelope.from)
  const [recipient, ...others] = envelope.to
  if (recipient === undefined || others.length > 0) throw new Error('a message goes to one mailbox')
  return { raw: await node.build(), sender, recipient }
}

const connectionTo = (server: SmtpServer, timeouts: ChannelTimeouts): SMTPConnection =>
  new SMTPConnection({
    host: server.host,
    port: server.port,
    secure: server.secure,
    requireTLS: server.requireTLS,
    ignoreTLS: server.ignoreTLS,
    name: server.name,
    tls: server.tls,
    connectionTimeout: timeouts.connectMs,
    greetingTimeout: timeouts.connectMs,
    socketTimeout: timeouts.silenceMs,
    socketCloseTimeout: 1_000,
  })

/**
 * What the server offered in EHLO (RFC 1870, RFC 6531). nodemailer reads the offers only for itself: without SMTPUTF8
 * it would send an address beyond ASCII unchanged, and about a message above the size it reports only that sending
 * failed.
 */
const offersOf = (connection: SMTPConnection): { smtpUtf8: boolean; largest: number } => {
  const { _supportedExtensions: extensions, _maxAllowedSize: size } = connection as unknown as {
    _supportedExtensions: readonly string[]
    _maxAllowedSize: number | undefined
  }
  return {
    smtpUtf8: extensions.includes('SMTPUTF8'),
    largest: size === undefined || size === 0 ? Number.POSITIVE_INFINITY : size,
  }
}

const NO_UTF8 =
  'the server offers no SMTPUTF8 (RFC 6531), without which no address with letters beyond ASCII before its @ ' +
  'can be written to'

/** Why this server is not given the message at all; undefined when it is. */
const unfit = (
  connection: SMTPConnection,
  { raw, recipient }: Composed,
  from: Sender,
): Exclude<Delivery, { kind: 'sent' }> | undefined => {
  const { smtpUtf8, largest } = offersOf(connection)
  if (!smtpUtf8 && needsSmtpUtf8(from.address))
    return { kind: 'unavailable', code: 'message-unavailable', cause: 'setup', detail: `${NO_UTF8}: MAIL_FROM has one` }
  if (!smtpUtf8 && needsSmtpUtf8(recipient)) return { kind: 'no-channel', code: 'no-channel', detail: NO_UTF8 }
  if (raw.length <= largest) return undefined
  return {
    kind: 'refused',
    code: 'message-too-large',
    detail: `the message has ${raw.length} bytes, the server takes at most ${largest} (SIZE)`,
  }
}

/** Connects and logs in; calls `ready` once. */
const open = (connection: SMTPConnection, server: SmtpServer, ready: (failure?: SmtpFailure) => void): void => {
  connection.connect((failure) => {
    if (failure || server.login === undefined || !connection.allowsAuth) return ready(failure)
    const { user, password } = server.login
    connection.login({ user, pass: password.reveal() }, (refused) => ready(refused ?? undefined))
  })
}

/**
 * What sends the e-mail channel's mails; throws when `smtpUrl` or `from` is malformed. `send` never rejects: every
 * outcome is a Delivery.
 */
export const smtpChannel = (options: SmtpOptions): SmtpChannel => {
  const server = parseSmtpUrl(options.smtpUrl)
  const from = parseSender(options.from)
  const { timeouts } = options
  const connections = new Set<SMTPConnection>()

  type Talk = (connection: SMTPConnection, finish: (failure?: SmtpFailure) => void) => void
  /**
   * Runs one dialogue on a connection of its own. Resolves to `undefined` when all went well. A connection that ends
   * before `finish` was called is a failure too.
   */
  const dialogue = (talk: Talk): Promise<SmtpFailure | undefined> =>
    new Promise((resolve) => {
      const connection = connectionTo(server, timeouts)
      connections.add(connection)
      const finish = (failure?: SmtpFailure): void => {
        clearTimeout(deadline)
        resolve(failure)
        // A server that answered gets a QUIT, as RFC 5321 4.1.1.10 requires; the outcome does not wait for the QUIT.
        if (failure === undefined || failure.responseCode !== undefined) connection.quit()
        else connection.close()
      }
      const deadline = setTimeout(() => {
        resolve({ code: 'ETIMEDOUT' })
        connection.close()
      }, timeouts.totalMs)
      // The listener must stay for the connection's whole life: a reset while quitting would otherwise be an uncaught
      // error.
      connection.on('error', (error: SmtpFailure) => finish(error))
      connection.on('end', () => {
        connections.delete(connection)
        clearTimeout(deadline)
        // After a 421 nodemailer ends the connection first and reports the reply right after: that report must come
        // first.
        queueMicrotask(() => resolve({ code: 'ECONNECTION' }))
      })
      talk(connection, finish)
    })

  return {
    async send(message): Promise<Delivery> {
      const problem = problemOf(message)
      if (problem !== undefined) return { kind: 'refused', code: 'message-refused', detail: `not sent: ${problem}` }
      const composed = await compose(message, from)
      const { raw, sender, recipient } = composed
      let handedOver = false
      let misfit: ReturnType<typeof unfit>
      // Read only after the server has said 354: from then on the body, final dot included, is out of our control.
      const body = Readable.from(
        (async function* leave() {
          handedOver = true
          await crashPoint('mail-leaving')
          yield raw
        })(),
      )
      const failure = await dialogue((connection, finish) => {
        open(connection, server, (notReady) => {
          if (notReady) return finish(notReady)
          misfit = unfit(connection, composed, from)
          if (misfit !== undefined) return finish()
          const hand = async (): Promise<void> => {
            await crashPoint('mail-server-greeted')
            connection.send({ from: sender, to: [recipient], size: raw.length }, body, (refused) =>
              finish(refused ?? undefined),
            )
          }
          hand().catch(finish)
        })
      })
      if (misfit !== undefined) return misfit
      if (failure === undefined) return { kind: 'sent' }
      const beyondAscii = { isBeyondAscii: needsSmtpUtf8(recipient), isSenderBeyondAscii: needsSmtpUtf8(sender) }
      return classify(failure, { handedOver, ...beyondAscii })
    },

    async check() {
      let encrypted = false
      let offersLogin = true
      let takesSender = true
      const failure = await dialogue((connection, finish) => {
        open(connection, server, (notReady) => {
          encrypted = connection.secure
          offersLogin = connection.allowsAuth
          takesSender = notReady !== undefined || !needsSmtpUtf8(from.address) || offersOf(connection).smtpUtf8
          finish(notReady)
        })
      })
      if (failure !== undefined) return { ok: false, detail: classify(failure, { handedOver: false }).detail }
      if (!takesSender) return { ok: false, detail: `${NO_UTF8}: MAIL_FROM has one` }
      const how = encrypted ? 'over TLS' : 'without encryption'
      if (server.login === undefined)
        return { ok: true, detail: `the mail server answers, ${how}, no login configured` }
      return offersLogin
        ? { ok: true, detail: `the mail server accepts our login, ${how}` }
        : { ok: false, detail: `SMTP_URL has a login, but the mail server offers none (AUTH), ${how}` }
    },

    close() {
      for (const connection of connections) connection.close()
    },
  }
}
