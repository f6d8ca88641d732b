// What Reconsent needs from a channel that carries messages to users.
import type { ErrorCode } from '../errors.ts'

export interface Message {
  readonly to: string
  /** Deterministic per notification, so that mail systems can drop a surplus copy. Without angle brackets. */
  readonly messageId: string
  readonly subject: string
  readonly text: string
  readonly html: string
  readonly locale: string
}

export type Delivery =
  | { readonly kind: 'sent' }
  /**
   * Certainly not handed over, for a reason that has nothing to do with this message: the server cannot be reached or
   * is in trouble (`outage`), we have reached its limit (`limit`), or it does not let us send at all (`setup`: login,
   * sender, relaying, reputation).
   */
  | {
      readonly kind: 'unavailable'
      readonly code: Extract<ErrorCode, 'mail-unavailable'>
      readonly cause: 'outage' | 'limit' | 'setup'
      readonly detail: string
    }
  /** Certainly not handed over: the server deferred this message or its recipient. Safe to try again later. */
  | { readonly kind: 'deferred'; readonly code: Extract<ErrorCode, 'mail-deferred'>; readonly detail: string }
  /** Refused for good: this recipient or content (SMTP 5xx), or a message larger than the server accepts. */
  | {
      readonly kind: 'refused'
      readonly code: Extract<ErrorCode, 'mail-refused' | 'mail-too-large'>
      readonly detail: string
    }
  /** This server can never reach the address, which has letters beyond ASCII before its @: no SMTPUTF8 (RFC 6531). */
  | { readonly kind: 'no-channel'; readonly code: Extract<ErrorCode, 'no-channel'>; readonly detail: string }
  /** In doubt: the message was handed over, but no usable answer came. Never sent again. */
  | { readonly kind: 'uncertain'; readonly code: Extract<ErrorCode, 'mail-uncertain'>; readonly detail: string }

export interface Channel {
  readonly name: 'email'
  send(message: Message): Promise<Delivery>
  /** For `doctor`: whether the server can be reached and accepts our login. */
  check(): Promise<{ ok: boolean; detail: string }>
  close(): void
}
