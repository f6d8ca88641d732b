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
  /** Certainly not handed over, for a reason that says nothing of this message: no connection, no login, a server in trouble. */
  | { readonly kind: 'away'; readonly code: Extract<ErrorCode, 'mail-away'>; readonly detail: string }
  /** Certainly not handed over: the server put off this message or its recipient. Safe to try again later. */
  | { readonly kind: 'deferred'; readonly code: Extract<ErrorCode, 'mail-deferred'>; readonly detail: string }
  /** Refused for good (SMTP 5xx). */
  | { readonly kind: 'refused'; readonly code: Extract<ErrorCode, 'mail-refused'>; readonly detail: string }
  /** Handed over, but the answer never came. Never sent again. */
  | { readonly kind: 'uncertain'; readonly code: Extract<ErrorCode, 'mail-uncertain'>; readonly detail: string }

export interface Channel {
  readonly name: 'email'
  send(message: Message): Promise<Delivery>
  /** For `doctor`: whether the server can be reached and accepts our login. */
  check(): Promise<{ ok: boolean; detail: string }>
  close(): void
}
