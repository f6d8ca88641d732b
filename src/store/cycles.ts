// A consent with its current cycle, as rows and as the domain needs it.
import type { ConsentView } from '../domain/model.ts'
import type {
  Authorisation as AuthorisationRow,
  Consent as ConsentRow,
  Notification as NotificationRow,
  Renewal as RenewalRow,
} from '../generated/prisma/client.ts'
import { toAuthorisation, toConsent, toNotification, toRenewal } from './rows.ts'

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
