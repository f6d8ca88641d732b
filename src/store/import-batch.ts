// Applies the rows of one import batch to its consents, in memory. The domain decides what each row means. A later row
// sees what an earlier row of the batch has changed. Nothing is written to the database here.
import { randomUUID } from 'node:crypto'
import type { DateTime } from 'luxon'
import type { Vault } from '../crypto/vault.ts'
import { type ChannelName, traitsOf } from '../domain/channels.ts'
import { type ImportDecision, decideImport, expiryOf } from '../domain/import-decision.ts'
import { decideToken, ownedBy, type TokenDecision } from '../domain/import-token.ts'
import type { Consent, DetailField } from '../domain/model.ts'
import { firstDateOf } from '../domain/apply-step.ts'
import type { Policy } from '../domain/policy.ts'
import { ruleFor } from '../domain/rules.ts'
import { isTerminal } from '../domain/lifecycle.ts'
import type { ErrorCode } from '../errors.ts'
import type { Consent as ConsentRow, Prisma } from '../generated/prisma/client.ts'
import type { ImportRow, RowResult } from './administration-port.ts'
import type { NoStatus } from './columns.ts'
import { chainEvent, type ChainedEvent, type EventType } from './events.ts'
import { moveRow } from './moves.ts'
import { candidateColumns, sealToken } from './refresh-token.ts'
import type { TokenState } from './token-fingerprints.ts'
import type { TokenLedger } from './token-ledger.ts'
import { detailsRow, instant, newRecordDefaults, toConsent, withoutCandidate, withoutFailure } from './rows.ts'

const WAITS_FOR_TOKEN = 'token-rejected' satisfies ErrorCode

export interface BatchInput {
  readonly vault: Vault
  readonly policy: Policy
  readonly now: DateTime
  /** The operator gave `--correct`. */
  readonly correct: boolean
  /** The key of the API that brings the rows; undefined for a file. */
  readonly by?: string | undefined
  /** The consents that we have, read under their locks; changed in place. */
  readonly ours: readonly ConsentRow[]
  readonly ledger: TokenLedger
}

export interface Batch {
  /** `fingerprint`: that of the row's token. `prepared`: the consent to create if the row's connection is new. */
  take(row: ImportRow, fingerprint: string, prepared?: NewConsent): RowResult
  /** The new consents, as whole rows. */
  created(): ConsentRow[]
  /** The changed consents that were there before, as whole rows. */
  changed(): ConsentRow[]
  repaired(): string[]
  superseded(): string[]
  /** The consents whose user has another address now, by the channels that use the address. */
  readdressed(): ReadonlyMap<ChannelName, readonly string[]>
  events(): readonly ChainedEvent[]
}

export const startBatch = ({ vault, policy, now, correct, by, ours, ledger }: BatchInput): Batch => {
  const byCredentials = new Map<string, ConsentRow>()
  /** The consents that name a replaced connection in `supersedes`, by the `credentials_id` of that connection. */
  const successors = new Map<string, ConsentRow[]>()
  const byId = new Map<string, ConsentRow>()
  const created = new Set<ConsentRow>()
  const changed = new Set<ConsentRow>()
  const repairedIds = new Set<string>()
  const readdressed = new Map<ChannelName, string[]>()
  const supersededIds = new Set<string>()
  const events: ChainedEvent[] = []
  const at = now.toJSDate()
  const newId = idsOfBatch()

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
    const event = chainEvent(row, { type, at: now, actor: 'company', reason, data: { ...named(by), ...data } })
    change(row, { eventSeq: event.seq, eventHash: event.hash })
    events.push(event)
  }

  const datesOf = (row: ImportRow) => importedDates(row, policy)
  const dateOfFreshCycle = (row: ConsentRow, reason: string) => firstDate(row, { now, policy, reason })

  const mark = (row: ConsentRow, fingerprint: string, state: TokenState): void =>
    ledger.record({ consentId: row.id, fingerprint, state }, row.credentialsId)

  const judgeToken = (consent: Consent, { tokenIssuedAt }: ImportRow, fingerprint: string): TokenDecision =>
    decideToken({
      standing: ledger.standingOf(consent.id, fingerprint),
      owner: ledger.ownerOf(fingerprint, consent.id),
      isReadable: ledger.isReadable(consent.id),
      candidate: consent.candidate,
      issuedAt: tokenIssuedAt,
    })

  /** Takes the row's token as it was decided; returns whether anything has changed. */
  const takeToken = (row: ConsentRow, imported: ImportRow, fingerprint: string, decision: TokenDecision): boolean => {
    const { refreshToken: token, tokenIssuedAt } = imported
    const issuedAt = tokenIssuedAt?.toJSDate() ?? null
    switch (decision.kind) {
      case 'refused':
        return false
      case 'kept':
        return issuedAt !== null && dateToken(row, fingerprint, issuedAt)
      case 'replaces': {
        const version = row.tokenVersion + 1
        const sealed = { refreshToken: sealToken(vault, row.id, version, token), tokenVersion: version }
        change(row, { ...sealed, tokenIssuedAt: issuedAt, tokenAcceptedAt: null, tokenRejectedAt: null })
        if (ledger.find(row.id, 'candidate') === fingerprint) change(row, withoutCandidate)
        mark(row, fingerprint, 'current')
        record(row, 'token.replaced', 'the stored token does not decrypt', { token_version: version })
        return true
      }
      case 'candidate': {
        const before = ledger.find(row.id, 'candidate')
        if (before !== undefined) mark(row, before, 'replaced')
        const waitsForToken = row.lastErrorCode === WAITS_FOR_TOKEN || row.tokenRejectedAt !== null
        // What was said of the older tokens says nothing of this one.
        change(row, {
          ...candidateColumns(vault, row, { token, arrivedAt: at, issuedAt }),
          tokenRejectedAt: null,
        })
        mark(row, fingerprint, 'candidate')
        record(row, 'token.imported', 'it is tried beside the one that we have', {})
        // A worker that has just been refused with the older tokens would put the consent off for a day.
        if (row.status === 'active' && waitsForToken)
          changeAndFence(row, { nextActionAt: at, nextActionReason: 'a token was imported', retryAfter: null })
        return true
      }
    }
  }

  /** The company says for a token that we have when it was issued. */
  const dateToken = (row: ConsentRow, fingerprint: string, issuedAt: Date): boolean => {
    const standing = ledger.standingOf(row.id, fingerprint)
    const column = standing === 'current' ? 'tokenIssuedAt' : 'candidateIssuedAt'
    if ((standing !== 'current' && standing !== 'candidate') || row[column] !== null) return false
    change(row, { [column]: issuedAt })
    record(row, 'consent.updated', undefined, { fields: ['token_issued_at'] })
    return true
  }

  const create = ({ row, event }: NewConsent, fingerprint: string): ConsentRow => {
    index(row)
    created.add(row)
    mark(row, fingerprint, 'current')
    events.push(event)
    return row
  }

  const repair = (
    row: ConsentRow,
    imported: ImportRow,
    fields: readonly DetailField[],
    tokenReplaced: boolean,
  ): void => {
    const { cycle, expiresAt: before } = row
    if (row.status === 'lapsed' || row.status === 'unsupported') moveRow('consent', row, 'active')
    changeAndFence(row, {
      ...pick(imported, fields),
      ...datesOf(imported),
      ...withoutFailure,
      tokenRejectedAt: null,
      cycle: cycle + 1,
      mismatches: 0,
    })
    if (row.status === 'active') change(row, dateOfFreshCycle(row, 'repaired by import'))
    repairedIds.add(row.id)
    record(row, 'consent.repaired', 'a later date was imported', {
      cycle,
      status: row.status,
      expires_at: row.expiresAt.toISOString(),
      before: before.toISOString(),
      token_replaced: tokenReplaced,
    })
  }

  const update = (
    row: ConsentRow,
    imported: ImportRow,
    decision: Extract<ImportDecision, { kind: 'updated' }>,
    tokenReplaced: boolean,
  ): void => {
    const { fields, corrects, evaluateNow } = decision
    change(row, pick(imported, fields))
    for (const channel of policy.channels.filter((name) => fields.includes(traitsOf(name).address))) {
      const ids = readdressed.get(channel)
      if (ids === undefined) readdressed.set(channel, [row.id])
      else ids.push(row.id)
    }
    if (corrects) change(row, datesOf(imported))
    if (evaluateNow && row.status === 'active')
      changeAndFence(row, { nextActionAt: at, nextActionReason: 'changed by import' })
    const corrected = corrects ? { expires_at: row.expiresAt.toISOString(), token_replaced: tokenReplaced } : {}
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

  const applyToKnown = (known: ConsentRow, row: ImportRow, fingerprint: string): Omit<RowResult, 'superseded'> => {
    const consent = toConsent(known)
    const token = judgeToken(consent, row, fingerprint)
    if (token.kind === 'refused') return { kind: 'refused', detail: token.reason }
    const consentedAt = known.consentedAt === null ? undefined : instant(known.consentedAt)
    const rule = ruleFor(row.providerId, row.country, policy)
    const decision = decideImport({
      ours: { ...consent, consentedAt },
      row,
      rule,
      channels: policy.channels,
      correct,
    })
    if (decision.kind === 'refused') return { kind: 'refused', detail: decision.reason }
    const isNewSupersedes = storeSupersedes(known, row)
    const detail = token.kind === 'kept' && !isTerminal(known) ? token.warning : undefined
    const replaces = token.kind === 'replaces'
    if (decision.kind === 'repaired') repair(known, row, decision.fields, replaces)
    if (decision.kind === 'updated') update(known, row, decision, replaces)
    // A consent that is closed for good is not asked about any more, whatever its token.
    const isNewToken = !isTerminal(known) && takeToken(known, row, fingerprint, token)
    if (decision.kind !== 'unchanged') return { kind: decision.kind, detail }
    return { kind: isNewSupersedes || isNewToken ? 'updated' : 'unchanged', detail }
  }

  return {
    take: (imported, fingerprint, prepared) => {
      const known = byCredentials.get(imported.credentialsId)
      const owner = known === undefined ? ledger.ownerOf(fingerprint, undefined) : undefined
      if (owner !== undefined) return { kind: 'refused', detail: ownedBy(owner), superseded: 0 }
      const obstacle = contradiction(imported, known)
      // The rest of the row may be right: its consent must not be lost because of a wrong `supersedes`.
      const row = obstacle === undefined ? imported : { ...imported, supersedes: undefined }
      const taken =
        known === undefined ? { kind: 'created' as const, detail: undefined } : applyToKnown(known, row, fingerprint)
      const made = row === imported ? prepared : undefined
      const consent = known ?? create(made ?? newConsent(row, { vault, policy, now, newId, by }), fingerprint)
      if (taken.kind === 'refused') return { ...taken, superseded: 0 }
      const { superseded, warning } = applySupersedes(consent, row)
      const leftOut = obstacle === undefined ? undefined : `${obstacle}, left out: both stay`
      const details = [leftOut, taken.detail, warning].filter((detail) => detail !== undefined)
      return { kind: taken.kind, detail: details.length === 0 ? undefined : details.join('; '), superseded }
    },
    created: () => [...created],
    changed: () => [...changed].filter((row) => !created.has(row)),
    repaired: () => [...repairedIds],
    readdressed: () => readdressed,
    superseded: () => [...supersededIds],
    events: () => events,
  }
}

/**
 * Whose key of the API made a change, as an event says it. But for `consent.superseded`, whose `by` is the connection
 * that took its place: there the event of that connection names the key.
 */
const named = (by: string | undefined): { readonly by?: string } => (by === undefined ? {} : { by })

/** A consent that is not stored yet, with its first event. */
export interface NewConsent {
  readonly row: ConsentRow
  readonly event: ChainedEvent
}

/**
 * Makes ids for the new consents of one batch: random, with a beginning that they share. The batch then writes a few
 * places of each index on the id, and not a thousand; batches lie anywhere, as ids that are random throughout do.
 */
export const idsOfBatch = (): (() => string) => {
  const beginning = randomUUID().slice(0, 'xxxxxxxx-xxxx'.length)
  return () => `${beginning}${randomUUID().slice(beginning.length)}`
}

export interface Making extends Pick<BatchInput, 'vault' | 'policy' | 'now' | 'by'> {
  readonly newId: () => string
}

/** Makes the consent of a row whose connection is new. Depends on nothing that is stored. */
export const newConsent = (imported: ImportRow, { vault, policy, now, newId, by }: Making): NewConsent => {
  const id = newId()
  const at = now.toJSDate()
  const row: ConsentRow = {
    ...newRecordDefaults,
    id,
    credentialsId: imported.credentialsId,
    ...detailsRow(imported),
    supersedes: imported.supersedes ?? null,
    ...importedDates(imported, policy),
    refreshToken: sealToken(vault, id, 1, imported.refreshToken),
    tokenIssuedAt: imported.tokenIssuedAt?.toJSDate() ?? null,
    createdAt: at,
    updatedAt: at,
  }
  const event = chainEvent(row, {
    type: 'consent.imported',
    at: now,
    actor: 'company',
    data: {
      status: row.status,
      cycle: row.cycle,
      expires_at: row.expiresAt.toISOString(),
      expires_source: row.expiresSource,
      ...(imported.supersedes === undefined ? {} : { supersedes: imported.supersedes }),
      ...named(by),
    },
  })
  Object.assign(row, {
    ...firstDate(row, { now, policy, reason: 'imported' }),
    eventSeq: event.seq,
    eventHash: event.hash,
  } satisfies Partial<ConsentRow> & NoStatus)
  return { row, event }
}

const importedDates = (
  row: ImportRow,
  policy: Policy,
): Pick<ConsentRow, 'expiresAt' | 'expiresSource' | 'consentedAt'> => ({
  expiresAt: expiryOf(row, ruleFor(row.providerId, row.country, policy)).toJSDate(),
  expiresSource: row.expiresAt === undefined ? 'assumed' : 'imported',
  consentedAt: row.consentedAt?.toJSDate() ?? null,
})

/**
 * The next date of a consent whose cycle has just begun. A date in the future is stored directly: a million healthy
 * consents must not all be evaluated at once.
 */
const firstDate = (
  row: ConsentRow,
  { now, policy, reason }: { now: DateTime; policy: Policy; reason: string },
): Pick<ConsentRow, 'nextActionAt' | 'nextActionReason'> => {
  const next = firstDateOf(toConsent(row), now, policy)
  return next.at > now
    ? { nextActionAt: next.at.toJSDate(), nextActionReason: next.reason }
    : { nextActionAt: now.toJSDate(), nextActionReason: reason }
}

const pick = (row: ImportRow, fields: readonly DetailField[]): Partial<Pick<ConsentRow, DetailField>> => {
  const columns = detailsRow(row)
  return Object.fromEntries(fields.map((field) => [field, columns[field]]))
}
const snakeCase = (field: string): string => field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
