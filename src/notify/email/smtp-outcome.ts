// Decides the outcome of a message when SMTP did not simply accept it. Pure. The question is always the same: could the
// server have taken the message?
import type { Delivery, Problem } from '../port.ts'
import { aboutBeforeRecipient, scopeOf, refusesSmtpUtf8 } from './smtp-replies.ts'

/** What nodemailer's connection says about a failure. Its message and response are not shown: they quote addresses. */
export interface SmtpFailure {
  readonly code?: string | undefined
  /** The operating system's own code behind nodemailer's, such as ECONNREFUSED. */
  readonly originalCode?: string | undefined
  readonly command?: string | undefined
  readonly responseCode?: number | undefined
  readonly response?: string | undefined
}

/**
 * RFC 3463: class.subject.detail. Only this code and the reply code are kept of a server's words: they cannot hold an
 * address.
 */
const enhancedCode = (response: string | undefined): string | undefined =>
  /^\d{3}[ -](\d\.\d{1,3}\.\d{1,3})(?![\d.])/m.exec(response ?? '')?.[1]

const word = (value: string | undefined): string =>
  value !== undefined && /^[A-Z][A-Z0-9_ -]{1,40}$/.test(value) ? value : 'unknown'

const step = ({ code, command }: SmtpFailure): string =>
  code === 'EAUTH' ? 'AUTH' : command === 'CONN' ? 'our connection' : word(command)

interface Circumstances {
  readonly handedOver: boolean
  readonly isBeyondAscii?: boolean
  readonly isSenderBeyondAscii?: boolean
}

/**
 * `handedOver`: the whole message, with the final dot, may have left us. Before that, nothing can have been delivered.
 * After it, only a proper 4xx or 5xx is an answer (RFC 5321 4.2.1: the server has not taken the message); silence, a
 * cut connection or gibberish leaves the delivery in doubt. A message that was certainly not delivered, for a reason
 * that would have stopped every other message too, is `unavailable`: that must not use up the message's tries.
 * `isBeyondAscii`: the recipient's local part has letters beyond ASCII, so only a server with SMTPUTF8 takes it. The
 * parameter SMTPUTF8 is sent with MAIL FROM: its refusal is about this recipient, unless the sender needs SMTPUTF8 too
 * (`isSenderBeyondAscii`).
 */
export const classify = (
  failure: SmtpFailure,
  { handedOver, isBeyondAscii = false, isSenderBeyondAscii = false }: Circumstances,
): Problem => {
  const status = failure.responseCode ?? 0
  if (status < 400 || status > 599) return unanswered(failure, handedOver)
  const enhanced = enhancedCode(failure.response)
  const numbers = [status, enhanced].filter((number) => number !== undefined).join(' ')
  const detail = `${numbers} to ${handedOver ? 'the message' : step(failure)}`
  const reply = { status, enhanced, text: failure.response ?? '' }
  if (isBeyondAscii && !isSenderBeyondAscii && failure.command === 'MAIL FROM' && refusesSmtpUtf8(reply)) {
    return { kind: 'no-channel', code: 'no-channel', detail }
  }
  const atThisMessage = handedOver || failure.command === 'RCPT TO' || failure.command === 'DATA'
  const about = atThisMessage ? scopeOf(reply) : aboutBeforeRecipient(reply, failure.command)
  switch (about) {
    case 'outage':
    case 'limit':
    case 'setup':
      return { kind: 'unavailable', code: 'message-unavailable', cause: about, detail }
    case 'too-large':
      return { kind: 'refused', code: 'message-too-large', detail }
    case 'no-channel':
      if (isBeyondAscii) return { kind: 'no-channel', code: 'no-channel', detail }
      return refusedOrDeferred(status, detail)
    case 'recipient':
      // RFC 6531 3.5: a server that has no enhanced code for this answers 553 to an address beyond ASCII.
      if (isBeyondAscii && status === 553 && failure.command === 'RCPT TO')
        return { kind: 'no-channel', code: 'no-channel', detail }
      return refusedOrDeferred(status, detail)
  }
}

const refusedOrDeferred = (status: number, detail: string): Extract<Delivery, { kind: 'refused' | 'deferred' }> =>
  status >= 500
    ? { kind: 'refused', code: 'message-refused', detail }
    : { kind: 'deferred', code: 'message-deferred', detail }

const unanswered = (
  failure: SmtpFailure,
  handedOver: boolean,
): Extract<Delivery, { kind: 'unavailable' | 'uncertain' }> => {
  const cause = word(failure.originalCode ?? failure.code)
  return handedOver
    ? {
        kind: 'uncertain',
        code: 'message-uncertain',
        detail: `no usable answer after the message was handed over (${cause})`,
      }
    : {
        kind: 'unavailable',
        code: 'message-unavailable',
        cause: 'outage',
        detail: `the connection failed before the message was handed over (${cause})`,
      }
}
