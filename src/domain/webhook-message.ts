// What a webhook says: thin, without a secret or an address of a user. Whoever wants more asks the API.
import type { DateTime } from 'luxon'
import type { WebhookType } from './webhook-types.ts'

export interface WebhookGap {
  /** The event's number in its consent's chain. */
  readonly seq: number
  readonly type: WebhookType
}

export interface WebhookEvent {
  readonly consentId: string
  readonly credentialsId: string
  readonly userId: string
  readonly seq: number
  readonly type: WebhookType
  readonly at: DateTime
}

/** The same at each try, at each endpoint and in a replay. Has no full stop: the signed text joins its parts by that. */
export const webhookId = (consentId: string, seq: number): string => `evt_${consentId}_${seq}`

/** `gaps`: earlier events of the consent that this endpoint was not told of, because they were given up. */
export const webhookBody = (event: WebhookEvent, gaps: readonly WebhookGap[]): string =>
  JSON.stringify({
    type: event.type,
    timestamp: event.at.toUTC().toISO(),
    data: {
      consent_id: event.consentId,
      credentials_id: event.credentialsId,
      user_id: event.userId,
      sequence: event.seq,
      ...(gaps.length === 0
        ? {}
        : {
            gaps: gaps.map(({ seq, type }) => ({ id: webhookId(event.consentId, seq), type, sequence: seq })),
          }),
    },
  })
