// What became of a message when SMTP did not simply say yes. Pure. The question is always the same: could the server have taken it?
import type { Delivery } from './port.ts'

/** What nodemailer's connection says about a failure. Its message and response are never used: they quote addresses. */
export interface SmtpFailure {
  readonly code?: string | undefined
  /** The system's own code under nodemailer's, such as ECONNREFUSED. */
  readonly originalCode?: string | undefined
  readonly command?: string | undefined
  readonly responseCode?: number | undefined
  readonly response?: string | undefined
}

// Replies that speak of our session, login or encryption, not of this message, whichever step they answer: RFC 5321 (421, 503),
// RFC 4954 (454, 530, 534, 535, 538).
const aboutTheSession = new Set([421, 454, 503, 530, 534, 535, 538])

/** RFC 3463 3.4: X.3.X is the state of the mail system, such as a full disk, a table that cannot be read, a system that takes no mail. */
const aboutTheSystem = (response: string | undefined): boolean => enhancedCode(response).startsWith(' 4.3.')

/** RFC 3463: class.subject.detail. The only thing worth keeping of a server's words that cannot hold an address. */
const enhancedCode = (response: string | undefined): string => {
  const found = /^\d{3}[ -](\d\.\d{1,3}\.\d{1,3})\s/.exec(response ?? '')?.[1]
  return found === undefined ? '' : ` ${found}`
}

const word = (value: string | undefined): string => (value !== undefined && /^[A-Z][A-Z0-9_ -]{1,40}$/.test(value) ? value : 'unknown')

const step = ({ code, command }: SmtpFailure): string =>
  code === 'EAUTH' ? 'AUTH' : command === 'CONN' ? 'our connection' : word(command)

/**
 * `handedOver`: the whole message, with the final dot, may have left us. Before that nothing can have been delivered. After it, only a
 * proper 4xx or 5xx is an answer (RFC 5321 4.2.1: the server has not taken the message); silence, a cut connection or gibberish
 * leaves open whether it was delivered. A 5xx to MAIL is about the sender, which is ours to fix; to RCPT or DATA about this message.
 * What was certainly not delivered for a reason that would have met every other message as well is `away`: it must not use up this one's tries.
 */
export const classify = (failure: SmtpFailure, handedOver: boolean): Exclude<Delivery, { kind: 'sent' }> => {
  const status = failure.responseCode ?? 0
  const answered = status >= 400 && status <= 599
  if (answered) {
    const detail = `${status}${enhancedCode(failure.response)} to ${handedOver ? 'the message' : step(failure)}`
    const atThisMessage = handedOver || failure.command === 'RCPT TO' || failure.command === 'DATA'
    if (!atThisMessage || aboutTheSession.has(status) || aboutTheSystem(failure.response)) return { kind: 'away', code: 'mail-away', detail }
    return status >= 500 ? { kind: 'refused', code: 'mail-refused', detail } : { kind: 'deferred', code: 'mail-deferred', detail }
  }
  const cause = word(failure.originalCode ?? failure.code)
  return handedOver
    ? { kind: 'uncertain', code: 'mail-uncertain', detail: `no usable answer after the message was handed over (${cause})` }
    : { kind: 'away', code: 'mail-away', detail: `the connection failed before the message was handed over (${cause})` }
}
