// What the rest of Reconsent needs to send a webhook. Types only.
import type { Secret } from '../secret.ts'

export interface WebhookRequest {
  readonly url: string
  /** Of the event: the same at each try, by which a receiver recognises what it has seen. */
  readonly id: string
  /** The body, exactly as it is signed and sent. */
  readonly body: string
  /** `whsec_…`, each of which signs: several during a rotation. */
  readonly secrets: readonly Secret[]
  /** When this try is made; a receiver refuses what is some minutes old. */
  readonly sentAt: Date
}

/** Why there is no answer. These words are stored and shown. */
export type WebhookFailure =
  /** The host has an address that is not public: nothing was sent. */
  | 'address-refused'
  | 'not-resolved'
  | 'not-reached'
  | 'proxy-failed'
  | 'certificate'
  | 'timed-out'
  | 'reply-broken'
  | 'stopped'

export interface WebhookReply {
  /** Undefined where no answer came. Its headers decide, whatever becomes of its body. */
  readonly status: number | undefined
  readonly failure: WebhookFailure | undefined
  /** Milliseconds. */
  readonly retryAfterMs: number | undefined
  readonly tookMs: number
}

/** Sends one request, once. Every result is a value; never rejects. */
export type SendWebhook = (request: WebhookRequest, signal: AbortSignal) => Promise<WebhookReply>
