// The state of the circuit breaker: counted failures, open circuits, and when the next trial call may be made.
import { find } from './tables.ts'
import type { Database } from './database.ts'
import type { CircuitName, ProviderHealth } from './port.ts'
import { currentOf } from './refresh-token.ts'
import { instant } from './rows.ts'

/** More than one, since a token may not decrypt. */
const CANARIES_READ = 5

export const providerHealth = ({ sql, transaction, vault }: Database): ProviderHealth => ({
  getHealth: async () => {
    const rows = await sql.$queryRaw<{ name: string; since: Date | null; trial_at: Date | null }[]>`
      SELECT name, since, trial_at FROM open_circuits
      UNION ALL SELECT DISTINCT code, NULL::timestamptz, NULL::timestamptz FROM provider_failures`
    const code = (name: string) => name as CircuitName
    return {
      open: rows.flatMap(({ name, since, trial_at: trialAt }) =>
        since === null || trialAt === null
          ? []
          : [{ code: code(name), since: instant(since), trialAt: instant(trialAt) }],
      ),
      rejected: rows.filter(({ since }) => since === null).map(({ name }) => code(name)),
    }
  },

  // One UPDATE decides which of many workers makes the next trial call. A connection that was rejected lets another one
  // go first: trials with the same dead connections would never find out that the provider accepts our calls again.
  takeTrial: async (code, now, every, connection = '') => {
    const taken = await sql.$executeRaw`
      UPDATE open_circuits SET trial_at = ${now.plus(every).toJSDate()}
      WHERE name = ${code} AND trial_at <= ${now.toJSDate()} AND (trial_at <= ${now.minus(every).toJSDate()}
        OR NOT EXISTS (SELECT FROM provider_failures WHERE code = ${code} AND connection = ${connection}))`
    return taken === 1
  },

  findCanary: async (acceptedSince) => {
    const since = acceptedSince.toJSDate()
    const rows = await sql.$queryRaw<{ id: string }[]>`
      SELECT id FROM consents AS consent
      WHERE token_accepted_at >= ${since} AND status = 'active' AND token_rejected_at IS NULL
        AND candidate_token IS NULL
        AND EXISTS (
          SELECT FROM authorisations WHERE consent_id = consent.id AND route = 'reauth' AND issued_at >= ${since}
        )
        AND NOT EXISTS (SELECT FROM provider_failures WHERE code = 'link-rejected' AND connection = consent.id::text)
      ORDER BY token_accepted_at DESC LIMIT ${CANARIES_READ}`
    const consents = await find(sql, 'consent', { id: { in: rows.map(({ id }) => id) } })
    return consents
      .flatMap((row) => {
        const { id: consentId, redirectUri, providerId, scopes } = row
        const token = currentOf(vault, row)
        return token === undefined ? [] : [{ consentId, token, redirectUri, providerId, scopes }]
      })
      .at(0)
  },

  countFailure: async ({ code, connection, now, since, threshold, trialEvery }) =>
    transaction(async (tx) => {
      const at = now.toJSDate()
      await tx.$executeRaw`
        INSERT INTO provider_failures (code, connection, at) VALUES (${code}, ${connection}, ${at})
        ON CONFLICT (code, connection) DO UPDATE SET at = ${at}`
      const failures = await tx.$queryRaw<unknown[]>`
        SELECT FROM provider_failures WHERE code = ${code} AND at >= ${since.toJSDate()} LIMIT ${threshold}`
      if (failures.length < threshold) return false
      // The code is the key of the row, so at most one circuit of each kind is open.
      const opened = await tx.$executeRaw`
        INSERT INTO open_circuits (name, since, trial_at) VALUES (${code}, ${at}, ${now.plus(trialEvery).toJSDate()})
        ON CONFLICT (name) DO NOTHING`
      return opened === 1
    }),

  closeCircuit: async (code) => {
    await sql.$executeRaw`DELETE FROM provider_failures WHERE code = ${code}`
    return (await sql.$executeRaw`DELETE FROM open_circuits WHERE name = ${code}`) > 0
  },
})
