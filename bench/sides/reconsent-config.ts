// The configuration of Reconsent in the bench: that of an operator, but for a sweep each second and mails at any hour.
import { loadConfig } from '../../src/config.ts'
import type { Order } from './order.ts'

/** `concurrency`: how many jobs of each kind a process does at once; by default as many as an operator gets. */
export const configFor = async (order: Order, { concurrency }: { readonly concurrency?: number } = {}) =>
  loadConfig({
    cwd: process.cwd(),
    needs: ['database', 'queue', 'provider', 'keys', 'web', 'channels'],
    env: {
      DATABASE_URL: order.databaseUrl,
      ...(order.redisUrl === undefined ? { QUEUE: 'postgres' } : { QUEUE: 'redis', REDIS_URL: order.redisUrl }),
      ENCRYPTION_KEYS: order.encryptionKeys,
      TRUELAYER_AUTH_URL: order.providerUrl,
      TRUELAYER_API_URL: order.providerUrl,
      TRUELAYER_CLIENT_ID: order.clientId,
      TRUELAYER_CLIENT_SECRET: order.clientSecret,
      PUBLIC_URL: order.publicUrl,
      HOST: '127.0.0.1',
      PORT: String(order.port),
      SMTP_URL: order.smtpUrl,
      MAIL_FROM: order.mailFrom,
    },
    policy: {
      company: { name: 'Bench' },
      quietHours: false,
      spread: false,
      sweep: { cron: '* * * * * *' },
      limits: { messagesPerHour: 1_000_000 },
      ...(concurrency === undefined
        ? {}
        : { timing: { concurrency: { reauth: concurrency, notify: concurrency, exchange: concurrency } } }),
    },
  })
