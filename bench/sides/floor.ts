// The side `floor`: the least that the loop can cost with these libraries. One process, which nothing else may run
// beside: what is under way is known by its rows alone, and nobody takes it over. Five commits a renewal, each where a
// crash before it must lose nothing and after it repeat nothing: the link with the intent to mail it · the mail is sent
// · the code is here, and is about to be exchanged · the tokens · the new expiry.
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { mailerOf } from './mails.ts'
import { runSide } from './order.ts'
import { servePages } from './pages.ts'
import { hashOf, providerOf } from './provider.ts'

const LOOKS_EVERY_MS = 1_000
const PAGE = 500
const AT_ONCE = 20
const CONNECTIONS = 10

interface Due {
  readonly id: string
  readonly email: string
  readonly bank: string
  readonly refresh_token: string
}
interface Returned {
  readonly id: string
  readonly consent_id: string
  readonly credentials_id: string
  readonly verifier: string
}

// Named, so that the server parses and plans each once for every connection.
const statements = {
  due: `SELECT id, email, bank, refresh_token FROM consents WHERE due_at <= now() ORDER BY due_at LIMIT ${PAGE}`,
  linkMade: `WITH taken AS (UPDATE consents SET due_at = NULL WHERE id = $1)
    INSERT INTO renewals (id, consent_id, status, state_hash, verifier, link, made_at)
    VALUES ($2, $1, 'made', $3, $4, $5, now())`,
  mailed: 'UPDATE renewals SET mailed_at = now() WHERE id = $1',
  visited: 'SELECT bank, link FROM renewals JOIN consents ON consents.id = consent_id WHERE renewals.id = $1',
  codeCame: `UPDATE renewals SET status = 'exchanging', code = $2 FROM consents
    WHERE state_hash = $1 AND code IS NULL AND consents.id = consent_id
    RETURNING renewals.id, consent_id, credentials_id, verifier`,
  tokensCame: `WITH stored AS (UPDATE consents SET refresh_token = $3 WHERE id = $1)
    UPDATE renewals SET status = 'proving', access_token = $4 WHERE id = $2`,
  renewed: `WITH stored AS (UPDATE consents SET expires_at = $3, due_at = $3::timestamptz - interval '14 days'
      WHERE id = $1)
    UPDATE renewals SET status = 'renewed', renewed_at = now(), access_token = NULL WHERE id = $2`,
} as const

await runSide(async (order) => {
  const pool = new pg.Pool({ connectionString: order.databaseUrl, max: CONNECTIONS })
  const run = async <Row extends pg.QueryResultRow>(name: keyof typeof statements, values: readonly unknown[] = []) =>
    (await pool.query<Row>({ name, text: statements[name], values: [...values] })).rows
  const provider = providerOf(order)
  const mailer = mailerOf(order)

  const ask = async ({ id, email, bank, refresh_token: refreshToken }: Due): Promise<void> => {
    const { url, state, verifier } = await provider.makeLink(refreshToken)
    const renewalId = randomUUID()
    await run('linkMade', [id, renewalId, hashOf(state), verifier, url])
    await mailer.send(renewalId, email, bank)
    await run('mailed', [renewalId])
  }

  const finish = async (
    { id, consent_id: consentId, credentials_id: credentialsId, verifier }: Returned,
    code: string,
  ) => {
    const { accessToken, refreshToken } = await provider.exchange(code, verifier)
    await run('tokensCame', [consentId, id, refreshToken, accessToken])
    const expiresAt = await provider.readExpiry(accessToken, credentialsId)
    await run('renewed', [consentId, id, expiresAt])
  }

  /** Some at once, each as soon as another has ended. */
  const askAll = async (due: Due[]): Promise<void> => {
    const askOneByOne = async (): Promise<void> => {
      for (let next = due.pop(); next !== undefined; next = due.pop()) await ask(next)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, askOneByOne))
  }

  let looking: Promise<void> | undefined
  const look = async (): Promise<void> => {
    for (;;) {
      const due = await run<Due>('due')
      if (due.length === 0) return
      await askAll(due)
    }
  }
  const lookOnce = (): void => {
    looking ??= look().finally(() => {
      looking = undefined
    })
  }
  const timer = setInterval(lookOnce, LOOKS_EVERY_MS)

  const pages = await servePages(order, {
    findRenewal: async (id) => (await run<{ bank: string; link: string }>('visited', [id]))[0],
    takeCode: async (state, code) => {
      const [returned] = await run<Returned>('codeCame', [hashOf(state), code])
      if (returned === undefined) return false
      // The user need not wait for it. What fails ends the process, as the bench wants to see.
      void finish(returned, code)
      return true
    },
  })
  return {
    onDue: lookOnce,
    stop: async () => {
      clearInterval(timer)
      await looking
      await pages.close()
      provider.close()
      mailer.close()
      await pool.end()
    },
  }
})
