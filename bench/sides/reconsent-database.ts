// Fills a database of Reconsent by its own migrations and its own import.
import { makeVault } from '../../src/crypto/vault.ts'
import { Secret } from '../../src/secret.ts'
import { imports } from '../../src/store/import.ts'
import { migrate } from '../../src/store/migrate.ts'
import { openStore } from '../../src/store/open-store.ts'
import { DateTime } from 'luxon'
import { BANK, type BenchConsent, inPieces } from '../population.ts'
import type { Order } from './order.ts'
import { configFor } from './reconsent-config.ts'

export const fillReconsent = async (order: Order, consents: readonly BenchConsent[]): Promise<void> => {
  await migrate(order.databaseUrl)
  const { keys, policy } = await configFor(order)
  const { db, close } = openStore({ url: new Secret(order.databaseUrl), vault: makeVault({ keys }), connections: 1 })
  for (const piece of inPieces(consents, 500)) {
    const rows = piece.map(({ credentialsId, refreshToken, email, expiresAt }) => ({
      ...BANK,
      credentialsId,
      refreshToken: new Secret(refreshToken),
      redirectUri: order.redirectUri,
      userId: credentialsId,
      email,
      expiresAt,
      scopes: undefined,
      phone: undefined,
      name: undefined,
      locale: undefined,
      timeZone: undefined,
      consentedAt: undefined,
    }))
    await imports(db, policy).importBatch(rows, { now: DateTime.utc(), correct: false })
  }
  await close()
}
