// The secrets that sign webhooks: one encrypted cell each.
import type { CellAddress } from '../crypto/envelope.ts'

/** A secret never changes: a rotation adds a row. */
export const webhookSecretCell = (id: string): CellAddress => ({
  table: 'webhook_secrets',
  column: 'secret',
  rowId: id,
  version: 1,
})
