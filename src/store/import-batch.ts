// Applies the rows of one import batch to its consents, in memory. The domain decides what each row means. A later row
// sees what an earlier row of the batch has changed. Nothing is written to the database here.
import { randomUUID } from 'node:crypto'
import type { DateTime } from 'luxon'
import type { Vault } from '../crypto/vault.ts'
import { type ChannelName, traitsOf } from '../domain/channels.ts'
import { type ImportDecision, decideImport, expiryOf } from '../domain/import-decision.ts'
import type { DetailField } from '../domain/model.ts'
import { firstDateOf } from '../domain/apply-step.ts'
import type { Policy } from '../domain/policy.ts'
import { ruleFor } from '../domain/rules.ts'
import { isTerminal } from '../domain/lifecycle.ts'
import type { Consent as ConsentRow, Prisma } from '../generated/prisma/client.ts'
import type { ImportRow, RowResult } from './administration-port.ts'
import type { NoStatus } from './database.ts'
import { chainEvent, type ChainedEvent, type EventType } from './events.ts'
import { moveRow } from './moves.ts'
import { sealToken, tokenCell } from './refresh-token.ts'
import { detailsRow, instant, newRecordDefaults, toConsent, withoutFailure } from './rows.ts'

export interface BatchInput {
  readonly vault: Vault
  readonly policy: Policy
  readonly now: DateTime
  /** The operator gave `--correct`. */
  readonly correct: boolean
  /** The consents that we have, read under their locks; changed in place. */
  readonly ours: readonly ConsentRow[]
}

export interface Batch {
  take(row: ImportRow): RowResult
  /** The new and the changed consents, as whole rows. */
  changed(): ConsentRow[]
  repaired(): string[]
  superseded(): string[]
  /** The consents whose user has another address now, by the channels that use the address. */
  readdressed(): ReadonlyMap<ChannelName, readonly string[]>
  events(): readonly ChainedEvent[]
}

export const startBatch = ({ vault, policy, now, correct, ours }: BatchInput): Batch => {
  const byCredentials = new Map<string, ConsentRow>()
  /** The consents that name a replaced connection in `supersedes`, by the `credentials_id` of that connection. */
  const successors = new Map<string, ConsentRow[]>()
  const byId = new Map<string, ConsentRow>()
  const changed = new Set<ConsentRow>()
  const repairedIds = new Set<string>()
  const readdressed = new Map<ChannelName, string[]>()
  const supersededIds = new Set<string>()
  const events: ChainedEvent[] = []
  const at = now.toJSDate()

  /** Makes the row findable by the names under which later rows of the batch look for it. */
  const index = (row: ConsentRow): void => {
    byCredentials.set(row.credentialsId, row)
    byId.set(row.id, row)
    if (row.supersedes !== null) successors.set(row.supersedes, [...(successors.get(row.supersedes) ?? []), row])
  }
  for (const row of ours) index(row)

  const change = (row: ConsentRow, values: Partial<ConsentRow> & NoStatus): void => {
    Object.assign(row, values, { updatedAt: at } satisfies Partial<ConsentRow> & NoStatus)
    changed.add(row)
  }

  /** Changes the row and makes every claim on the consent stale: a worker that works on it now writes nothing more. */
  const changeAndFence = (row: ConsentRow, values: Partial<ConsentRow> & NoStatus): void =>
    change(row, { ...values, fencingToken: row.fencingToken + 1, leaseUntil: null, queuedUntil: null })

  const record = (row: ConsentRow, type: EventType, reason: string | undefined, data: Prisma.InputJsonObject): void => {
    const event = chainEvent(row, { type, at: now, actor: 'company', reason, data })
    change(row, { eventSeq: event.seq, eventHash: event.hash })
    events.push(event)
  }

  const datesOf = (row: ImportRow): Pick<ConsentRow, 'expiresAt' | 'expiresSource' | 'consentedAt'> => ({
    expiresAt: expiryOf(row, ruleFor(row.providerId, row.country, policy)).toJSDate(),
    expiresSource: row.expiresAt === undefined ? 'assumed' : 'imported',
    consentedAt: row.consentedAt?.toJSDate() ?? null,
  })

  /**
   * The next date of a consent whose cycle has just begun. A date in the future is stored directly: a million healthy
   * consents must not all be evaluated at once.
   */
  const dateOfFreshCycle = (row: ConsentRow, reason: string): Pick<ConsentRow, 'nextActionAt' | 'nextActionReason'> => {
    const next = firstDateOf(toConsent(row), now, policy)
    return next.at > now
      ? { nextActionAt: next.at.toJSDate(), nextActionReason: next.reason }
      : { nextActionAt: at, nextActionReason: reason }
  }

  /** A stored token that does not decrypt (its key is gone) counts as different, so that an import can replace it. */
  const differs = (row: ConsentRow, token: ImportRow['refreshToken']): boolean => {
    try {
      return vault.open(row.refreshToken, tokenCell(row.id, row.tokenVersion)).reveal() !== token.reveal()
    } catch {
      return true
    }
  }

  const replaceToken = (row: ConsentRow, token: ImportRow['refreshToken']): void => {
    const version = row.tokenVersion + 1
    change(row, { refreshToken: sealToken(vault, row.id, version, token), tokenVersion: version })
  }

  const create = (row: ImportRow): ConsentRow => {
    const id = randomUUID()
    const created: ConsentRow = {
      ...newRecordDefaults,
      id,
      credentialsId: row.credentialsId,
      ...detailsRow(row),
      supersedes: row.supersedes ?? null,
      ...datesOf(row),
      refreshToken: sealToken(vault, id, 1, row.refreshToken),
      createdAt: at,
      updatedAt: at,
    }
    index(created)
    change(created, dateOfFreshCycle(created, 'imported'))
    record(created, 'consent.imported', undefined, {
      status: created.status,
      cycle: created.cycle,
      expires_at: created.expiresAt.toISOString(),
      expires_source: created.expiresSource,
      ...(row.supersedes === undefined ? {} : { supersedes: row.supersedes }),
    })
    return created
  }

  const repair = (
    row: ConsentRow,
    imported: ImportRow,
    fields: readonly DetailField[],
    tokenDiffers: boolean,
  ): void => {
    const { cycle, expiresAt: before } = row
    if (row.status === 'lapsed' || row.status === 'unsupported') moveRow('consent', row, 'active')
    changeAndFence(row, {
      ...pick(imported, fields),
      ...datesOf(imported),
      ...withoutFailure,
      cycle: cycle + 1,
      mismatches: 0,
    })
    if (tokenDiffers) replaceToken(row, imported.refreshToken)
    if (row.status === 'active') change(row, dateOfFreshCycle(row, 'repaired by import'))
    repairedIds.add(row.id)
    record(row, 'consent.repaired', 'a later date was imported', {
      cycle,
      status: row.status,
      expires_at: row.expiresAt.toISOString(),
      before: before.toISOString(),
      token_replaced: tokenDiffers,
    })
  }

  const update = (
    row: ConsentRow,
    imported: ImportRow,
    decision: Extract<ImportDecision, { kind: 'updated' }>,
    tokenDiffers: boolean,
  ): void => {
    const { fields, corrects, evaluateNow } = decision
    change(row, pick(imported, fields))
    for (const channel of policy.channels.filter((name) => fields.includes(traitsOf(name).address))) {
      const ids = readdressed.get(channel)
      if (ids === undefined) readdressed.set(channel, [row.id])
      else ids.push(row.id)
    }
    if (corrects) change(row, datesOf(imported))
    if (corrects && tokenDiffers) replaceToken(row, imported.refreshToken)
    if (evaluateNow && row.status === 'active')
      changeAndFence(row, { nextActionAt: at, nextActionReason: 'changed by import' })
    const corrected = corrects ? { expires_at: row.expiresAt.toISOString(), token_replaced: tokenDiffers } : {}
    record(row, 'consent.updated', corrects ? 'corrected by import' : undefined, {
      fields: fields.map(snakeCase),
      ...corrected,
    })
  }

  const supersede = (older: ConsentRow, newer: ConsentRow): void => {
    moveRow('consent', older, 'superseded')
    changeAndFence(older, { nextActionAt: null, nextActionReason: null, supersededById: newer.id })
    supersededIds.add(older.id)
    record(older, 'consent.superseded', 'an import says that a newer connection took its place', {
      by: newer.credentialsId,
    })
  }

  /**
   * The consent of the same user that names this connection in `supersedes`. It may have been imported before this one.
   */
  const waitingFor = ({
    credentialsId,
    userId,
  }: Pick<ConsentRow, 'credentialsId' | 'userId'>): ConsentRow | undefined =>
    successors
      .get(credentialsId)
      ?.find((successor) => successor.userId === userId && successor.supersedes === credentialsId)

  /** Whether the consent `id` is `from` itself, or has replaced `from` directly or through others. */
  const isReplacedBy = (from: ConsentRow | undefined, id: string): boolean => {
    let row = from
    while (row !== undefined && row.id !== id)
      row = row.supersededById === null ? undefined : byId.get(row.supersededById)
    return row !== undefined
  }

  /** Why a row's `supersedes` cannot be true; undefined if it may be true, or if the row has none. */
  const contradiction = (row: ImportRow, known: ConsentRow | undefined): string | undefined => {
    const older = row.supersedes === undefined ? undefined : byCredentials.get(row.supersedes)
    if (older === undefined) return undefined
    if (older.userId !== row.userId) return `supersedes: names the connection of another user (consent ${older.id})`
    const above = known?.supersededById == null ? waitingFor(row) : byId.get(known.supersededById)
    // Each consent would close the other, and the user would have none left.
    return isReplacedBy(above, older.id)
      ? `supersedes: names a connection that took the place of this one (consent ${older.id})`
      : undefined
  }

  /**
   * Closes the consents that were replaced: the row's own consent, if a consent imported before names it in
   * `supersedes`; and the consent that the row's `supersedes` names.
   */
  const applySupersedes = (known: ConsentRow, row: ImportRow): { superseded: number; warning: string | undefined } => {
    let superseded = 0
    const close = (older: ConsentRow, newer: ConsentRow): void => {
      if (isTerminal(older) || isReplacedBy(newer, older.id)) return
      supersede(older, newer)
      superseded += 1
    }
    const successor = waitingFor(known)
    if (successor !== undefined) close(known, successor)
    const stranger = successor === undefined ? successors.get(known.credentialsId)?.[0] : undefined
    const older = row.supersedes === undefined ? undefined : byCredentials.get(row.supersedes)
    if (older !== undefined) close(older, known)
    const isUnknown = row.supersedes !== undefined && older === undefined
    const warnings = [
      ...(stranger === undefined
        ? []
        : [`another user's connection (consent ${stranger.id}) says that it superseded this one: both stay`]),
      ...(isUnknown ? ['supersedes: there is no such consent yet; it is closed when it is imported'] : []),
    ]
    return { superseded, warning: warnings.length === 0 ? undefined : warnings.join('; ') }
  }

  /**
   * Stores the row's `supersedes`, because the consent that it names may be imported later. Returns whether the value
   * is new.
   */
  const storeSupersedes = (known: ConsentRow, { supersedes }: ImportRow): boolean => {
    if (supersedes === undefined || supersedes === known.supersedes) return false
    change(known, { supersedes })
    index(known)
    record(known, 'consent.updated', undefined, { fields: ['supersedes'] })
    return true
  }

  const applyToKnown = (known: ConsentRow, row: ImportRow): Omit<RowResult, 'superseded'> => {
    const tokenDiffers = differs(known, row.refreshToken)
    const consentedAt = known.consentedAt === null ? undefined : instant(known.consentedAt)
    const rule = ruleFor(row.providerId, row.country, policy)
    const decision = decideImport({
      ours: { ...toConsent(known), consentedAt },
      row,
      rule,
      channels: policy.channels,
      tokenDiffers,
      correct,
    })
    if (decision.kind === 'refused') return { kind: 'refused', detail: decision.reason }
    const isNewSupersedes = storeSupersedes(known, row)
    switch (decision.kind) {
      case 'unchanged':
        return { kind: isNewSupersedes ? 'updated' : 'unchanged', detail: decision.warning }
      case 'repaired':
        repair(known, row, decision.fields, tokenDiffers)
        return { kind: 'repaired', detail: undefined }
      case 'updated':
        update(known, row, decision, tokenDiffers)
        return { kind: 'updated', detail: decision.warning }
    }
  }

  return {
    take: (imported) => {
      const known = byCredentials.get(imported.credentialsId)
      const obstacle = contradiction(imported, known)
      // The rest of the row may be right: its consent must not be lost because of a wrong `supersedes`.
      const row = obstacle === undefined ? imported : { ...imported, supersedes: undefined }
      const taken = known === undefined ? { kind: 'created' as const, detail: undefined } : applyToKnown(known, row)
      const consent = known ?? create(row)
      if (taken.kind === 'refused') return { ...taken, superseded: 0 }
      const { superseded, warning } = applySupersedes(consent, row)
      const leftOut = obstacle === undefined ? undefined : `${obstacle}, left out: both stay`
      const details = [leftOut, taken.detail, warning].filter((detail) => detail !== undefined)
      return { kind: taken.kind, detail: details.length === 0 ? undefined : details.join('; '), superseded }
    },
    changed: () => [...changed],
    repaired: () => [...repairedIds],
    readdressed: () => readdressed,
    superseded: () => [...supersededIds],
    events: () => events,
  }
}

const pick = (row: ImportRow, fields: readonly DetailField[]): Partial<Pick<ConsentRow, DetailField>> =>
  Object.fromEntries(fields.map((field) => [field, row[field]]))
const snakeCase = (field: string): string => field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
