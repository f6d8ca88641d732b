// What a webhook says: thin, without a secret or an address of a user. Whoever wants more asks the API.
import type { DateTime } from 'luxon'
import type { WebhookType } from './webhook-types.ts'

export interface WebhookGap {
  /** The event's number in its consent's chain. */
  readonly seq: number
  readonly hash: string
  readonly type: WebhookType
}

export interface WebhookEvent {
  readonly consentId: string
  readonly credentialsId: string
  readonly userId: string
  readonly seq: number
  readonly hash: string
  readonly type: WebhookType
  readonly at: DateTime
}

const HASH_SHOWN = 8

/**
 * The same at each try and in a replay. After a restore from a backup another event may have the number, so a part of
 * the hash, which no other event has, belongs to it. Without a full stop, by which the signed text joins its parts.
 */
export const webhookId = ({ consentId, seq, hash }: Pick<WebhookEvent, 'consentId' | 'seq' | 'hash'>): string =>
  `evt_${consentId}_${seq}_${hash.slice(0, HASH_SHOWN)}`

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
            gaps: gaps.map((gap) => ({
              id: webhookId({ ...gap, consentId: event.consentId }),
              type: gap.type,
              sequence: gap.seq,
            })),
          }),
    },
  })
