// Reads a consent with its current cycle, as the domain needs it.
import type { ConsentView } from '../domain/model.ts'
import type {
  Authorisation as AuthorisationRow,
  Consent as ConsentRow,
  Notification as NotificationRow,
  Renewal as RenewalRow,
} from '../generated/prisma/client.ts'
import type { Database } from './database.ts'
import { isId } from './ids.ts'
import type { Views } from './port.ts'
import { toAuthorisation, toConsent, toNotification, toRenewal } from './rows.ts'

export const views = (db: Database): Views => ({
  getView: async (consentId) => getView(db, consentId),

  findConsent: async (idOrCredentialsId) => {
    const id = idOrCredentialsId.toLowerCase()
    const asId = isId(id) ? await db.prisma.consent.findUnique({ where: { id } }) : null
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
    include: oldestFirst,
  })
  return toView(consent, renewal ?? undefined)
}

/** What belongs to a cycle, in the order in which the domain reads it. */
export const oldestFirst = {
  authorisations: { orderBy: { issuedAt: 'asc' } },
  notifications: { orderBy: { createdAt: 'asc' } },
} as const

/** The row of a renewal with its attempts and messages, each oldest first. */
export interface CycleRow extends RenewalRow {
  readonly authorisations: AuthorisationRow[]
  readonly notifications: NotificationRow[]
}

export const toView = (consent: ConsentRow, cycle: CycleRow | undefined): ConsentView => ({
  consent: toConsent(consent),
  renewal: cycle === undefined ? undefined : toRenewal(cycle),
  authorisations: (cycle?.authorisations ?? []).map(toAuthorisation),
  notifications: (cycle?.notifications ?? []).map(toNotification),
})
