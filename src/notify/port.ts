// What Reconsent needs from a channel that carries messages to users.
import type { DateTime } from 'luxon'
import type { ErrorCode } from '../errors.ts'
import type { Secret } from '../secret.ts'
import type { TemplateName } from '../texts/template-names.ts'

/** What one message is about, and whom it goes to: the same for every channel. */
export interface MessageFacts {
  /** The ledger's row: the same for every try of a message, so that a server can drop a surplus copy. */
  readonly id: string
  /** The user's address for the channel. */
  readonly to: string
  readonly template: TemplateName
  /** As imported; falls back to English. */
  readonly locale: string | null | undefined
  /** As imported; falls back to UTC. */
  readonly timeZone: string | null | undefined
  readonly company: string
  readonly bank: string
  readonly name?: string | null | undefined
  readonly expiresAt: DateTime
  readonly graceEndsAt: DateTime
  /** Our own start page's address. */
  readonly link: Secret
}

/** What the words of a message depend on. */
export type Wording = Omit<MessageFacts, 'id' | 'to'>

/** The outcome of handing a message over. `detail` holds reply codes and steps, no address and no content. */
export type Delivery =
  | { readonly kind: 'sent' }
  /**
   * Certainly not handed over, for a reason that has nothing to do with this message: the server cannot be reached or
   * is in trouble (`outage`), we have reached its limit (`limit`), or it does not let us send at all (`setup`: login,
   * sender, relaying, reputation).
   */
  | {
      readonly kind: 'unavailable'
      readonly code: Extract<ErrorCode, 'message-unavailable'>
      readonly cause: 'outage' | 'limit' | 'setup'
      readonly detail: string
    }
  /** Certainly not handed over: the server deferred this message or its recipient. Safe to try again later. */
  | { readonly kind: 'deferred'; readonly code: Extract<ErrorCode, 'message-deferred'>; readonly detail: string }
  /** Refused for good: this recipient or content, or a message larger than the server accepts. */
  | {
      readonly kind: 'refused'
      readonly code: Extract<ErrorCode, 'message-refused' | 'message-too-large'>
      readonly detail: string
    }
  /** This server can never reach an address like this one (domain/channels.ts: `whyUnreachable`). */
  | { readonly kind: 'no-channel'; readonly code: Extract<ErrorCode, 'no-channel'>; readonly detail: string }
  /** The server is ready for the message, and the caller has not let it begin: nothing of it has left. */
  | { readonly kind: 'not-begun' }
  /** In doubt: the message was handed over, but no usable answer came. Not sent again. */
  | { readonly kind: 'uncertain'; readonly code: Extract<ErrorCode, 'message-uncertain'>; readonly detail: string }

/** Every outcome of a sending that the server did not confirm. */
export type Problem = Exclude<Delivery, { kind: 'sent' | 'not-begun' }>

/** The caller's part in a sending. */
export interface Handover {
  /**
   * Commits the intent to send. Called at most once, and as late as the channel can: the server has accepted the
   * recipient, and nothing of the message has left. With the answer false, or when it rejects, nothing may leave.
   */
  begin(): Promise<boolean>
  /** The whole message has left us, its last byte included; the server's answer is awaited. */
  left(): void
}

/** `Message` is the channel's own: others only carry it from `compose` to `send`. */
export interface Channel<Message = unknown> {
  /** Writes the message, in the user's language. Sends nothing: whatever it throws, the message is still unsent. */
  compose(facts: MessageFacts): Message
  /**
   * Hands the message over, at most once. Retrying is the caller's decision. Every outcome should be a Delivery; when
   * `begin` rejects, `send` rejects with the same error. A message that is refused or deferred before that is never
   * begun.
   */
  send(message: Message, handover: Handover): Promise<Delivery>
  /** For `doctor`: whether the server can be reached and accepts our login. */
  check(): Promise<{ ok: boolean; detail: string }>
  /** What `doctor` calls the check, and what an operator can do when it fails. */
  readonly diagnosis: { readonly check: string; readonly advice: string }
  close(): void
}

/** All in milliseconds. */
export interface ChannelTimeouts {
  /** From the first packet until the server is ready for our first word, encryption included. */
  readonly connectMs: number
  /**
   * The longest time without a byte from the server, at any step. While the server scans the message, its answer to the
   * last byte may take long.
   */
  readonly silenceMs: number
  /** For one message, from start to answer: a server that sends byte by byte must not occupy a worker for ever. */
  readonly totalMs: number
}
