// What the API writes about consents: rows, as an import does, and contact data. Each function is part of the caller's
// transaction, which is run again after a collision.
import type { Vault } from '../crypto/vault.ts'
import { addressFor, traitsOf } from '../domain/channels.ts'
import { type ContactChanges, decideContactChange } from '../domain/contact-change.ts'
import { isTerminal } from '../domain/lifecycle.ts'
import type { Consent } from '../domain/model.ts'
import type { Policy } from '../domain/policy.ts'
import { nextStepHint } from '../domain/renewal-request.ts'
import type { AdministrationAnswer, ImportRow, Request, RowResult } from './administration-port.ts'
import { appendEvent } from './events.ts'
import { lockRows, writeRows } from './import.ts'
import { reviveUnreached } from './import-writes.ts'
import { lockConsent } from './locks.ts'
import { channelsText, toConsent } from './rows.ts'
import type { Statements } from './statements.ts'
import { changeRecord } from './tables.ts'
import { fingerprintOf } from './token-fingerprints.ts'

/** Whether the consent, undefined if there is none, is as the caller expects it; asked under its lock. */
export type IsExpected = (current: Consent | undefined) => boolean

type Why = Pick<Request, 'now'> & { readonly by: string }

export interface ApiWrites {
  /** Undefined: the consent is not as expected, and nothing was written. */
  putRow(row: ImportRow, why: Why, isExpected: IsExpected): Promise<RowResult | undefined>
  /** Up to 1,000 rows; a result for each, in their order. A later row sees what an earlier one has changed. */
  putRows(rows: readonly ImportRow[], why: Why): Promise<RowResult[]>
  /** By our id. `not-as-expected`: nothing was written. */
  changeContact(
    id: string,
    changes: ContactChanges,
    why: Why,
    isExpected: IsExpected,
  ): Promise<AdministrationAnswer | 'not-as-expected'>
}

export const apiWrites = (tx: Statements, { vault, policy }: { vault: Vault; policy: Policy }): ApiWrites => ({
  putRow: async (row, { now, by }, isExpected) => {
    const locked = await lockRows(tx, [row], [fingerprintOf(row.refreshToken)], 'by-key')
    const current = locked.known.ours.find(({ credentialsId }) => credentialsId === row.credentialsId)
    if (!isExpected(current && toConsent(current))) return undefined
    const [result] = await writeRows(tx, { vault, policy }, locked, { now, correct: false, by })
    return result
  },

  putRows: async (rows, { now, by }) => {
    if (rows.length === 0) return []
    const fingerprints = rows.map(({ refreshToken }) => fingerprintOf(refreshToken))
    const locked = await lockRows(tx, rows, fingerprints, 'alone')
    return writeRows(tx, { vault, policy }, locked, { now, correct: false, by })
  },

  changeContact: async (id, changes, { now, by }, isExpected) => {
    const row = await lockConsent(tx, id)
    if (row === undefined) return { kind: 'refused', detail: 'there is no such consent' }
    const consent = toConsent(row)
    if (!isExpected(consent)) return 'not-as-expected'
    if (isTerminal(consent)) return { kind: 'refused', detail: nextStepHint(consent) }
    const { fields, evaluateNow } = decideContactChange(consent, changes, policy.channels)
    if (fields.length === 0) return { kind: 'unchanged', detail: 'it is so already' }
    const at = now.toJSDate()
    await changeRecord(tx, 'consent', id, {
      ...Object.fromEntries(
        fields.map((field) => [field, field === 'channels' ? channelsText(changes.channels) : changes[field]]),
      ),
      updatedAt: at,
      // A worker that has the consent claimed decided on what was there before.
      ...(evaluateNow && consent.status === 'active'
        ? {
            nextActionAt: at,
            nextActionReason: 'contact data was changed',
            fencingToken: { increment: 1 },
            leaseUntil: null,
            queuedUntil: null,
          }
        : {}),
    })
    const readdressed = policy.channels.filter((name) => {
      const { address } = traitsOf(name)
      return fields.includes(address) && addressFor({ [address]: changes[address] ?? undefined }, name) !== undefined
    })
    for (const channel of readdressed) await reviveUnreached(tx, channel, [id], at)
    const names = fields.map((field) => field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`))
    await appendEvent(tx, row, { type: 'consent.updated', at: now, actor: 'company', data: { by, fields: names } })
    return { kind: 'done', detail: `changed: ${names.join(', ')}` }
  },
})
