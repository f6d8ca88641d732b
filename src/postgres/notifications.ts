// Checks whether notifications (LISTEN) reach a session of this address, because BullMQ waits for them. A pooler that
// lends sessions by transaction accepts LISTEN, but delivers notifications to whichever client has the session at that
// time.
import { randomBytes } from 'node:crypto'
import type { Secret } from '../secret.ts'
import { isPooled, type SessionOptions, withConnection } from './client.ts'

const WAITS_MS = 3_000

/**
 * Uses two connections, because a single connection could receive its own notification even behind such a pooler. A
 * direct connection is not tested. Rejects when the database cannot be used.
 */
export const hearsNotifications = async (url: Secret): Promise<boolean> => {
  const options: SessionOptions = { applicationName: 'reconsent queue', connectMs: 5_000, keepsSession: true }
  return withConnection(url, options, async (listener) => {
    if (!isPooled(url)) return true
    const channel = `reconsent_${randomBytes(6).toString('hex')}`
    const heard = new Promise<boolean>((resolve) => {
      listener.once('notification', () => resolve(true))
      listener.once('end', () => resolve(false))
      setTimeout(resolve, WAITS_MS, false).unref()
    })
    await listener.query(`LISTEN ${channel}`)
    await withConnection(url, options, async (other) => other.query(`NOTIFY ${channel}`))
    return heard
  })
}

export const NO_NOTIFICATIONS =
  'QUEUE=postgres needs sessions of its own, because it waits for notifications (LISTEN), and these do not ' +
  'arrive: a pooler lends sessions by transaction (pool_mode=transaction). Let DATABASE_URL lead past it or to ' +
  'a pool with pool_mode=session, or use QUEUE=redis'
