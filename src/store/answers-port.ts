// What the API needs to answer a repeated request as it answered the first. Types only.
import type { DateTime } from 'luxon'

export interface RepeatableRequest {
  /** Of the API key. */
  readonly callerId: string
  readonly method: string
  readonly path: string
  readonly idempotencyKey: string
  /** The body in a form that is the same for the same content. */
  readonly body: string
  readonly now: DateTime
}

export interface RepeatableAnswer {
  readonly status: number
  /** JSON, without a token or a link: it is stored as it is. */
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>> | undefined
}

export type Answered<Answer extends RepeatableAnswer> =
  | { readonly kind: 'answered'; readonly answer: Answer }
  /** The same request was answered before: nothing was done now. */
  | { readonly kind: 'repeated'; readonly answer: RepeatableAnswer }
  /** The same request is being worked on. */
  | { readonly kind: 'in-progress' }
  /** The key came before with another body. */
  | { readonly kind: 'other-request' }
