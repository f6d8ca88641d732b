// The first event of a consent that a test inserts itself, as an import writes it.
import type { DateTime } from 'luxon'
import type { Consent } from '../../src/domain/model.ts'
import type { Transaction } from '../../src/store/database.ts'
import { appendEvent } from './append-event.ts'

export const recordImport = async (
  tx: Transaction,
  { id, status, cycle, expiresAt }: Consent,
  at: DateTime,
): Promise<void> =>
  appendEvent(tx, id, {
    type: 'consent.imported',
    at,
    actor: 'company',
    data: { status, cycle, expires_at: expiresAt.toUTC().toISO() ?? '' },
  })
