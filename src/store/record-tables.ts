// For each kind of record, its table and the condition that a job works on it (an `issued` attempt only waits for the
// user); the conditions match the partial indexes. As SQL, for statements that serve every kind.
import { Prisma } from '../generated/prisma/client.ts'

/**
 * `isUrgent`: the record cannot wait, since `urgentSince`. A consent is never urgent, and its own job gives it a later
 * date.
 */
export const recordTables = {
  consent: { name: Prisma.raw('consents'), open: Prisma.raw(`status = 'active'`) },
  authorisation: {
    name: Prisma.raw('authorisations'),
    open: Prisma.raw(`status IN ('code_received', 'exchanging', 'verifying', 'in_doubt', 'awaiting_date')`),
    isUrgent: Prisma.raw(`status IN ('code_received', 'exchanging')`),
    urgentSince: Prisma.raw('code_received_at'),
  },
  notification: {
    name: Prisma.raw('notifications'),
    open: Prisma.raw(`status IN ('pending', 'sending')`),
    isUrgent: Prisma.raw(`status = 'sending'`),
    urgentSince: Prisma.raw('sending_at'),
  },
} as const
