// Sends mail by SMTP and reports the outcome of each message. Never sends a message twice: retrying is the caller's
// decision. Drives nodemailer's connection itself, because nodemailer's transport on top of it does not say whether the
// body had already left.
import { Readable } from 'node:stream'
import MailComposer from 'nodemailer/lib/mail-composer'
import type SMTPConnection from 'nodemailer/lib/smtp-connection'
import { crashPoint } from '../../crash-point.ts'
import { needsSmtpUtf8 } from '../../domain/mail-address.ts'
import type { Secret } from '../../secret.ts'
import type { Channel, ChannelTimeouts, Delivery, Handover, Problem } from '../port.ts'
import { mailboxProblem, readSender, type Sender } from './mailbox.ts'
import { type Keeping, type Line, smtpConnections } from './smtp-connections.ts'
import { classify, type SmtpFailure } from './smtp-outcome.ts'
import { parseSmtpUrl } from './smtp-url.ts'

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
const unfit = (connection: SMTPConnection, { raw, recipient }: Composed, from: Sender): Problem | undefined => {
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

/**
 * Whether the server has refused the recipient or the message, and goes on. What it says to MAIL may be about the
 * connection, and with a 421 it ends it (RFC 5321 4.2).
 */
const refusesMessage = ({ responseCode = 0, command }: SmtpFailure): boolean =>
  responseCode >= 400 && responseCode <= 599 && responseCode !== 421 && (command === 'RCPT TO' || command === 'DATA')

/** What one connection has done with a message. */
interface Course {
  readonly failure: SmtpFailure | undefined
  readonly misfit: Problem | undefined
  /** The intent, once it was asked for. */
  readonly begun: Promise<boolean> | undefined
  readonly handedOver: boolean
}

/**
 * Whether a failure on a kept connection may be the connection's own: the server has ended it meanwhile, by a cut, by
 * 421, or by what it says to MAIL. Nothing was begun, so a new connection gets the message without its having been
 * tried.
 */
const mayBeStale = ({ failure, begun }: Course): boolean =>
  failure !== undefined && begun === undefined && !refusesMessage(failure)

/**
 * What sends the e-mail channel's mails; throws when `smtpUrl` or `from` is malformed. `send` rejects only with what
 * `begin` rejected with: every other outcome is a Delivery.
 */
export const smtpChannel = (options: SmtpOptions, keeping?: Keeping): SmtpChannel => {
  const server = parseSmtpUrl(options.smtpUrl)
  const from = parseSender(options.from)
  const { timeouts } = options
  const lines = smtpConnections(server, timeouts, keeping)

  /** Gives the message to the server by this connection, until `endsAt` at the latest. */
  const offer = async (line: Line, composed: Composed, handover: Handover, endsAt: number): Promise<Course> => {
    const { raw, sender, recipient } = composed
    let begun: Promise<boolean> | undefined
    let handedOver = false
    let hasLeft = false
    let isOver = false
    let misfit: Problem | undefined
    // Read only after the server has said 354. The server waits while the intent is committed; after that the body,
    // final dot included, is out of our control. A body that ends without its dot is discarded with the connection
    // (RFC 5321 4.1.1.10).
    const body = Readable.from(
      (async function* leave() {
        // Another connection may have been asked in place of this one: an intent belongs to one of them.
        if (isOver) throw new Error('the connection has ended')
        begun = handover.begin()
        if (!(await begun)) throw new Error('the message is not to be sent')
        await crashPoint('mail-leaving')
        // The server has said its last word meanwhile, or the process has slept past the deadline, whose timer may
        // fire only after this: another worker may have this message by now, or its user may have renewed. An end of
        // the body would still be followed by the dot.
        if (isOver || performance.now() > endsAt) throw new Error('the connection has ended')
        handedOver = true
        yield raw
      })(),
    )
    body.once('end', () => {
      hasLeft = true
      handover.left()
    })
    const failure = await line.dialogue(endsAt - performance.now(), (smtp, finish) => {
      misfit = unfit(smtp, composed, from)
      if (misfit !== undefined) return finish()
      const hand = async (): Promise<void> => {
        await crashPoint('mail-server-greeted')
        smtp.send({ from: sender, to: [recipient], size: raw.length }, body, (refused) => finish(refused ?? undefined))
      }
      hand().catch(finish)
    })
    isOver = true
    // Fit for the next message: nothing was said of this one, or it was answered whole, or it was refused before the
    // server waited for it (EENVELOPE). In between, the server would take our next command for a line of the message.
    const isAtRest = misfit !== undefined || (begun === undefined ? failure?.code === 'EENVELOPE' : hasLeft)
    if (isAtRest && (failure === undefined || refusesMessage(failure))) {
      // What else the server has said in the same packet is read first: a word too many ends the connection.
      setImmediate(() => line.giveBack({ afterRefusal: failure !== undefined }))
    } else line.end(begun === undefined && failure?.responseCode !== undefined ? 'quit' : 'cut')
    return { failure, misfit, begun, handedOver }
  }

  return {
    async send(message, handover): Promise<Delivery> {
      const problem = problemOf(message)
      if (problem !== undefined) return { kind: 'refused', code: 'message-refused', detail: `not sent: ${problem}` }
      const composed = await compose(message, from)
      const { sender, recipient } = composed
      const endsAt = performance.now() + timeouts.totalMs
      const kept = lines.take()
      let course = await offer(kept ?? lines.open(), composed, handover, endsAt)
      if (kept !== undefined && mayBeStale(course) && performance.now() < endsAt && !lines.isClosed())
        course = await offer(lines.open(), composed, handover, endsAt)
      const { failure, misfit, begun, handedOver } = course
      if (misfit !== undefined) return misfit
      // The intent may still be on its way to the database when the connection has ended: what it says must be known
      // before anything else is written about the message.
      if (begun !== undefined && !(await begun)) return { kind: 'not-begun' }
      if (failure === undefined && handedOver) return { kind: 'sent' }
      const beyondAscii = { isBeyondAscii: needsSmtpUtf8(recipient), isSenderBeyondAscii: needsSmtpUtf8(sender) }
      return classify(failure ?? { code: 'EPROTOCOL' }, { handedOver, ...beyondAscii })
    },

    async check() {
      let encrypted = false
      let offersLogin = true
      let takesSender = true
      const line = lines.open()
      const failure = await line.dialogue(timeouts.totalMs, (smtp, finish) => {
        encrypted = smtp.secure
        offersLogin = smtp.allowsAuth
        takesSender = !needsSmtpUtf8(from.address) || offersOf(smtp).smtpUtf8
        finish()
      })
      line.end(failure === undefined || failure.responseCode !== undefined ? 'quit' : 'cut')
      if (failure !== undefined) return { ok: false, detail: classify(failure, { handedOver: false }).detail }
      if (!takesSender) return { ok: false, detail: `${NO_UTF8}: MAIL_FROM has one` }
      const how = encrypted ? 'over TLS' : 'without encryption'
      if (server.login === undefined)
        return { ok: true, detail: `the mail server answers, ${how}, no login configured` }
      return offersLogin
        ? { ok: true, detail: `the mail server accepts our login, ${how}` }
        : { ok: false, detail: `SMTP_URL has a login, but the mail server offers none (AUTH), ${how}` }
    },

    close: () => lines.close(),
  }
}
