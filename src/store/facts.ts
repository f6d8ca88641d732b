// Reads a record together with everything from which the domain decides what is next for it, in one statement.
import type { ConsentView, Notification } from '../domain/model.ts'
import type { AttemptFacts } from '../domain/exchange-step.ts'
import { Prisma } from '../generated/prisma/client.ts'
import type { RecordKind } from '../records.ts'
import { isUnsettled } from './authorisation-row.ts'
import { allOf, recordIn, recordsIn } from './columns.ts'
import type { Facts } from './port.ts'
import { toAuthorisation, toConsent, toNotification, toRenewal } from './rows.ts'
import { type CycleRow, toView } from './cycles.ts'
import type { FoundRow } from './kept-facts.ts'
import { OTHERS, versionsOf } from './locks.ts'

interface Shape<Kind extends RecordKind> {
  /** A SELECT of the facts; the rows of the record itself come from `from`: its table, or a list of its rows. */
  select(from: Prisma.Sql): Prisma.Sql
  /** Throws if the row has something that this release does not know. */
  read(row: FoundRow): Facts[Kind]
}

const listOf = (table: string, order: string): string =>
  `(SELECT json_agg(one ORDER BY one.${order}) FROM ${table} AS one WHERE one.renewal_id = renewal.id)`

/** The columns of a renewal with its attempts and messages, for a SELECT in which its table is called `renewal`. */
export const cycleColumns = Prisma.sql`${allOf('renewal')},
  ${Prisma.raw(listOf('authorisations', 'issued_at'))} AS attempts,
  ${Prisma.raw(listOf('notifications', 'created_at'))} AS messages`

/** The cycle in a row that was selected by these columns. */
export const cycleIn = (row: FoundRow): CycleRow | undefined => {
  const renewal = recordIn('renewal', 'renewal', row)
  return (
    renewal && {
      ...renewal,
      authorisations: recordsIn('authorisation', row['attempts']),
      notifications: recordsIn('notification', row['messages']),
    }
  )
}

const there = <Record>(record: Record | undefined): Record => {
  if (record === undefined) throw new Error('a record whose consent or renewal does not exist')
  return record
}

const consentFacts: Shape<'consent'> = {
  select: (from) => Prisma.sql`
    SELECT ${allOf('consent')}, ${cycleColumns}, ${versionsOf('consent')}
    FROM ${from} AS consent
      LEFT JOIN renewals AS renewal ON renewal.consent_id = consent.id AND renewal.cycle = consent.cycle`,
  read: (row): ConsentView => toView(there(recordIn('consent', 'consent', row)), cycleIn(row)),
}

const messageFacts: Shape<'notification'> = {
  select: (from) => Prisma.sql`
    SELECT ${allOf('message')}, ${allOf('consent')}, ${cycleColumns},
      ${versionsOf('consent', 'renewal', 'notification')}
    FROM ${from} AS message JOIN consents AS consent ON consent.id = message.consent_id
      JOIN renewals AS renewal ON renewal.id = message.renewal_id`,
  read: (row): { notification: Notification; view: ConsentView } => ({
    notification: toNotification(there(recordIn('notification', 'message', row))),
    view: consentFacts.read(row),
  }),
}

const attemptFacts: Shape<'authorisation'> = {
  select: (from) => Prisma.sql`
    SELECT ${allOf('attempt')}, ${allOf('consent')}, ${allOf('renewal')},
      ${versionsOf('consent', 'renewal', 'authorisation')},
      (
        SELECT json_agg(other) FROM authorisations AS other WHERE ${OTHERS}
      ) AS others
    FROM ${from} AS attempt JOIN consents AS consent ON consent.id = attempt.consent_id
      JOIN renewals AS renewal ON renewal.id = attempt.renewal_id`,
  read: (row): AttemptFacts => ({
    attempt: toAuthorisation(there(recordIn('authorisation', 'attempt', row))),
    consent: toConsent(there(recordIn('consent', 'consent', row))),
    renewal: toRenewal(there(recordIn('renewal', 'renewal', row))),
    others: recordsIn('authorisation', row['others']).filter(isUnsettled).map(toAuthorisation),
  }),
}

export const factsOf: { readonly [Kind in RecordKind]: Shape<Kind> } = {
  consent: consentFacts,
  notification: messageFacts,
  authorisation: attemptFacts,
}
