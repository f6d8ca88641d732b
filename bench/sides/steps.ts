// The steps of a renewal for a queue in PostgreSQL: three jobs, each with its call to the outside before its commit,
// and each commit adds the next job. The queues differ in how that is done: their own files say it.
import { randomUUID } from 'node:crypto'
import type { Pool } from 'pg'
import { mailerOf } from './mails.ts'
import type { Order } from './order.ts'
import { hashOf, providerOf } from './provider.ts'

export type JobName = 'send-mail' | 'exchange'

/**
 * Runs a statement that returns the `id` of the renewal it wrote, and adds a job for that renewal, in one transaction.
 * Returns whether there was such a renewal.
 */
export type CommitWithJob = (statement: string, values: readonly unknown[], job: JobName) => Promise<boolean>

/** How many jobs of a queue run at once in one process: as many as Reconsent has in all. */
export const AT_ONCE = 20
/** How many due consents a sweep takes with one statement. */
export const PAGE = 500

/** A consent that is taken is no longer due: from then on, the queue knows it. */
export const TAKE_DUE = `UPDATE consents SET due_at = NULL WHERE id IN (
  SELECT id FROM consents WHERE due_at <= now() ORDER BY due_at LIMIT ${PAGE} FOR UPDATE SKIP LOCKED) RETURNING id`

interface UnderWay {
  readonly status: string
  readonly code: string
  readonly verifier: string
  readonly access_token: string
  readonly consent_id: string
  readonly credentials_id: string
}

export const renewalSteps = (order: Order, pool: Pool, commitWithJob: CommitWithJob) => {
  const provider = providerOf(order)
  const mailer = mailerOf(order)
  const find = async <Row extends object>(text: string, id: string): Promise<Row | undefined> =>
    (await pool.query<Row>(text, [id])).rows[0]
  const get = async <Row extends object>(text: string, id: string): Promise<Row> => {
    const row = await find<Row>(text, id)
    if (row === undefined) throw new Error('the record is gone')
    return row
  }

  return {
    makeLink: async (consentId: string): Promise<void> => {
      const { token } = await get<{ token: string }>(
        'SELECT refresh_token AS token FROM consents WHERE id = $1',
        consentId,
      )
      const { url, state, verifier } = await provider.makeLink(token)
      await commitWithJob(
        `INSERT INTO renewals (id, consent_id, status, state_hash, verifier, link, made_at)
         VALUES ($1, $2, 'made', $3, $4, $5, now()) RETURNING id`,
        [randomUUID(), consentId, hashOf(state), verifier, url],
        'send-mail',
      )
    },
    sendMail: async (renewalId: string): Promise<void> => {
      const { email, bank } = await get<{ email: string; bank: string }>(
        'SELECT email, bank FROM renewals JOIN consents ON consents.id = consent_id WHERE renewals.id = $1',
        renewalId,
      )
      await mailer.send(renewalId, email, bank)
      await pool.query(`UPDATE renewals SET mailed_at = now() WHERE id = $1`, [renewalId])
    },
    findRenewal: async (renewalId: string) =>
      find<{ bank: string; link: string }>(
        'SELECT bank, link FROM renewals JOIN consents ON consents.id = consent_id WHERE renewals.id = $1',
        renewalId,
      ),
    takeCode: async (state: string, code: string): Promise<boolean> =>
      commitWithJob(
        `UPDATE renewals SET status = 'exchanging', code = $2 WHERE state_hash = $1 AND code IS NULL RETURNING id`,
        [hashOf(state), code],
        'exchange',
      ),
    /** A second try goes on where the first has stopped: a code is not sent again once its tokens are stored. */
    exchange: async (renewalId: string): Promise<void> => {
      const renewal = await get<UnderWay>(
        `SELECT renewals.status, code, verifier, access_token, consent_id, credentials_id
         FROM renewals JOIN consents ON consents.id = consent_id WHERE renewals.id = $1`,
        renewalId,
      )
      const { consent_id: consentId } = renewal
      let accessToken = renewal.access_token
      if (renewal.status === 'exchanging') {
        const tokens = await provider.exchange(renewal.code, renewal.verifier)
        accessToken = tokens.accessToken
        await pool.query(
          `WITH stored AS (UPDATE consents SET refresh_token = $3 WHERE id = $1)
           UPDATE renewals SET status = 'proving', access_token = $4 WHERE id = $2`,
          [consentId, renewalId, tokens.refreshToken, accessToken],
        )
      }
      const expiresAt = await provider.readExpiry(accessToken, renewal.credentials_id)
      await pool.query(
        `WITH stored AS (UPDATE consents SET expires_at = $3, due_at = $3::timestamptz - interval '14 days'
           WHERE id = $1)
         UPDATE renewals SET status = 'renewed', renewed_at = now(), access_token = NULL WHERE id = $2`,
        [consentId, renewalId, expiresAt],
      )
    },
    close: (): void => {
      provider.close()
      mailer.close()
    },
  }
}
