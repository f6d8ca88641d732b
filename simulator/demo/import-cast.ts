// Adds every consent of the cast to the simulator, as if its user had once consented, and to Reconsent, by the same
// import that a company uses.
import type { Clock } from '../../src/clock.ts'
import type { Config } from '../../src/config.ts'
import { Secret } from '../../src/secret.ts'
import { imports } from '../../src/store/import.ts'
import type { openStore } from '../../src/store/open-store.ts'
import type { Simulator } from '../src/start-simulator.ts'
import type { Role } from './cast.ts'

const SCOPES = ['info', 'accounts', 'balance', 'transactions', 'offline_access']

export interface ImportCastOptions {
  readonly cast: readonly Role[]
  readonly simulator: Simulator
  readonly opened: ReturnType<typeof openStore>
  readonly config: Config<'web'>
  readonly clock: Clock
}

export const importCast = async ({ cast, simulator, opened, config, clock }: ImportCastOptions): Promise<void> => {
  const redirectUri = `${config.web.publicUrl}/callback`
  for (const { credentialsId, providerId, providerName, country, refreshToken, expiresAt, rotates } of cast) {
    simulator.seedConnection({
      credentialsId,
      providerId,
      providerName,
      country,
      redirectUri,
      refreshToken,
      expiresAt,
      scopes: SCOPES,
      // Not only at a refresh, which is rare in the demo, but also when a code is exchanged.
      switches: rotates ? { rotate_refresh_tokens: 'always' } : {},
    })
  }
  const rows = cast.map((role) => ({
    credentialsId: role.credentialsId,
    refreshToken: new Secret(role.refreshToken),
    userId: role.userId,
    providerId: role.providerId,
    providerName: role.providerName,
    country: role.country,
    redirectUri,
    scopes: SCOPES,
    email: role.email,
    phone: undefined,
    name: role.name,
    locale: role.locale,
    timeZone: role.timeZone,
    expiresAt: role.expiresAt,
    consentedAt: undefined,
  }))
  const results = await imports(opened.db, config.policy).importBatch(rows, { now: clock.now(), correct: false })
  const refused = results.find(({ kind }) => kind !== 'created')
  if (refused !== undefined) throw new Error(`the demo's consents were not imported: ${refused.detail ?? refused.kind}`)
}
