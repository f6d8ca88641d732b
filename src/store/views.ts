// Reads a consent with its current cycle, as the domain needs it.
import type { ConsentView } from '../domain/model.ts'
import type { Database } from './database.ts'
import type { Views } from './port.ts'
import { toAuthorisation, toConsent, toNotification, toRenewal } from './rows.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

export const views = (db: Database): Views => ({
  getView: async (consentId) => getView(db, consentId),

  findConsent: async (idOrCredentialsId) => {
    const asId = UUID.test(idOrCredentialsId)
      ? await db.prisma.consent.findUnique({ where: { id: idOrCredentialsId.toLowerCase() } })
      : null
    const row = asId ?? (await db.prisma.consent.findUnique({ where: { credentialsId: idOrCredentialsId } }))
    return row === null ? undefined : toConsent(row)
  },
})

/** A consent with the renewal of its current cycle, or with the renewal of the given id. */
export const getView = async (
  { prisma }: Database,
  consentId: string,
  renewalId?: string,
): Promise<ConsentView | undefined> => {
  const consent = await prisma.consent.findUnique({ where: { id: consentId } })
  if (consent === null) return undefined
  const renewal = await prisma.renewal.findUnique({
    where: renewalId === undefined ? { consentId_cycle: { consentId, cycle: consent.cycle } } : { id: renewalId },
    include: { authorisations: { orderBy: { issuedAt: 'asc' } }, notifications: { orderBy: { createdAt: 'asc' } } },
  })
  return {
    consent: toConsent(consent),
    renewal: renewal === null ? undefined : toRenewal(renewal),
    authorisations: renewal?.authorisations.map(toAuthorisation) ?? [],
    notifications: renewal?.notifications.map(toNotification) ?? [],
  }
}
