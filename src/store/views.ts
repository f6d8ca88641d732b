// Reads consents by their names.
import type { Consent } from '../domain/model.ts'
import { Prisma } from '../generated/prisma/client.ts'
import type { Database } from './database.ts'
import { factsOf } from './facts.ts'
import type { FoundRow } from './kept-facts.ts'
import { isId } from './ids.ts'
import type { Views } from './port.ts'
import { toConsent } from './rows.ts'
import type { Statements } from './statements.ts'
import { find } from './tables.ts'

export const views = (db: Database): Views => ({
  getView: async (consentId) => {
    if (!isId(consentId)) return undefined
    const { select, read } = factsOf.consent
    const [row] = await db.sql.$queryRaw<FoundRow[]>`
      ${select(Prisma.raw('consents'))} WHERE consent.id = ${consentId}::uuid`
    return row && read(row)
  },

  findConsent: async (idOrCredentialsId) => findConsentIn(db.sql, idOrCredentialsId),
})

/** A consent by our id or by the `credentials_id`, as a transaction sees it. */
export const findConsentIn = async (tx: Statements, name: string): Promise<Consent | undefined> => {
  const id = name.toLowerCase()
  const [asId] = isId(id) ? await find(tx, 'consent', { id }) : []
  if (asId !== undefined) return toConsent(asId)
  const [row] = await find(tx, 'consent', { credentialsId: name })
  return row && toConsent(row)
}
