// Secrets and signatures as Standard Webhooks has them (standardwebhooks.com, specification 1.0.0).
import { randomBytes } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { Secret } from '../secret.ts'

/** The specification asks for 24 to 64 bytes. */
const SECRET_BYTES = 32

export const newWebhookSecret = (): Secret => new Secret(`whsec_${randomBytes(SECRET_BYTES).toString('base64')}`)

/** The headers that identify and sign a message: one signature for each secret, separated by spaces. */
export const signedHeaders = (
  { id, body, sentAt }: { readonly id: string; readonly body: string; readonly sentAt: Date },
  secrets: readonly Secret[],
): Readonly<Record<string, string>> => ({
  'webhook-id': id,
  'webhook-timestamp': String(Math.floor(sentAt.getTime() / 1000)),
  'webhook-signature': secrets.map((secret) => new Webhook(secret.reveal()).sign(id, sentAt, body)).join(' '),
})
