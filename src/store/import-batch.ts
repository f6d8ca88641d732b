// The consents of one batch as its rows change them, in memory: what each row means is the domain's decision, here it is applied.
// A later row of the batch sees what an earlier one did. Nothing is written here.
import type { DateTime } from 'luxon'
import type { Vault } from '../crypto/vault.ts'
import { type ContactField, type ImportDecision, decideImport, expiryOf } from '../domain/import-decision.ts'
import { checkConsentTransition } from '../domain/lifecycle.ts'
import type { ConsentStatus } from '../domain/model.ts'
import { nextAction } from '../domain/next-action.ts'
import type { Policy } from '../domain/policy.ts'
import { ruleFor } from '../domain/rules.ts'
import { isClosedForGood } from '../domain/takes-codes.ts'
import type { Consent as ConsentRow, Prisma } from '../generated/prisma/client.ts'
import type { ImportRow, RowResult } from './administration-port.ts'
import { chainEvent, type ChainedEvent, type EventType } from './events.ts'
import { sealToken, tokenContext } from './refresh-token.ts'
import { newId } from './renewals.ts'
import { instant, toConsent } from './rows.ts'

export interface BatchInput {
  readonly vault: Vault
  readonly policy: Policy
  readonly now: DateTime
  /** `--correct`. */
  readonly correct: boolean
  /** Read under their locks; changed in place. */
  readonly ours: readonly ConsentRow[]
}

export interface Batch {
  take(row: ImportRow): RowResult
  /** New and changed rows, whole. */
  changed(): ConsentRow[]
  repaired(): string[]
  superseded(): string[]
  /** Consents whose user has another address now. */
  readdressed(): string[]
  events(): readonly ChainedEvent[]
}

export const startBatch = ({ vault, policy, now, correct, ours }: BatchInput): Batch => {
  const byCredentials = new Map<string, ConsentRow>()
  const byBank = new Map<string, ConsentRow[]>()
  const changed = new Set<ConsentRow>()
  const repairedIds = new Set<string>()
  const readdressedIds = new Set<string>()
  const supersededIds = new Set<string>()
  const events: ChainedEvent[] = []
  const at = now.toJSDate()

  const hold = (row: ConsentRow): void => {
    byCredentials.set(row.credentialsId, row)
    const key = bankKey(row)
    byBank.set(key, [...(byBank.get(key) ?? []), row])
  }
  for (const row of ours) hold(row)

  const change = (row: ConsentRow, values: Partial<ConsentRow>): void => {
    Object.assign(row, values, { updatedAt: at })
    changed.add(row)
  }

  /** Whoever works on this consent right now writes nothing more. */
  const fence = (row: ConsentRow, values: Partial<ConsentRow>): void =>
    change(row, { ...values, epoch: row.epoch + 1, leaseUntil: null, queuedUntil: null })

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

  /** Straight to its next real date where that is ahead: a million healthy consents must not all be looked at at once. */
  const dateOfFreshCycle = (row: ConsentRow, reason: string): Pick<ConsentRow, 'nextActionAt' | 'nextActionReason'> => {
    const next = nextAction({ consent: toConsent(row), renewal: undefined, authorisations: [], notifications: [] }, now, policy)
    return next.action === 'wait'
      ? { nextActionAt: next.at.toJSDate(), nextActionReason: next.reason }
      : { nextActionAt: at, nextActionReason: reason }
  }

  /** An unreadable token (its key is gone) is one that differs: a later row may mend it. */
  const differs = (row: ConsentRow, token: ImportRow['refreshToken']): boolean => {
    try {
      return vault.open(row.refreshToken, tokenContext(row.id, row.tokenVersion)).reveal() !== token.reveal()
    } catch {
      return true
    }
  }

  const replaceToken = (row: ConsentRow, token: ImportRow['refreshToken']): void => {
    const version = row.tokenVersion + 1
    change(row, { refreshToken: sealToken(vault, row.id, version, token), tokenVersion: version })
  }

  const create = (row: ImportRow): ConsentRow => {
    const id = newId()
    const created: ConsentRow = {
      ...neverWorkedOn,
      id,
      credentialsId: row.credentialsId,
      userId: row.userId,
      providerId: row.providerId,
      providerName: row.providerName ?? null,
      country: row.country,
      redirectUri: row.redirectUri,
      scopes: [...(row.scopes ?? [])],
      email: row.email ?? null,
      phone: row.phone ?? null,
      name: row.name ?? null,
      locale: row.locale ?? null,
      timeZone: row.timeZone ?? null,
      ...datesOf(row),
      refreshToken: sealToken(vault, id, 1, row.refreshToken),
      createdAt: at,
      updatedAt: at,
    }
    hold(created)
    change(created, dateOfFreshCycle(created, 'imported'))
    record(created, 'consent.imported', undefined, {
      status: created.status, cycle: created.cycle, expires_at: created.expiresAt.toISOString(), expires_source: created.expiresSource,
    })
    return created
  }

  const repair = (row: ConsentRow, imported: ImportRow, fields: readonly ContactField[], tokenDiffers: boolean): void => {
    const { cycle, expiresAt: before } = row
    if (row.status === 'lapsed' || row.status === 'unsupported') moveTo(row, 'active')
    fence(row, { ...pick(imported, fields), ...datesOf(imported), ...withoutFailure, cycle: cycle + 1, mismatches: 0 })
    if (tokenDiffers) replaceToken(row, imported.refreshToken)
    if (row.status === 'active') change(row, dateOfFreshCycle(row, 'repaired by import'))
    repairedIds.add(row.id)
    record(row, 'consent.repaired', 'a later date was imported', {
      cycle, status: row.status, expires_at: row.expiresAt.toISOString(), before: before.toISOString(), token_replaced: tokenDiffers,
    })
  }

  const update = (row: ConsentRow, imported: ImportRow, decision: Extract<ImportDecision, { kind: 'updated' }>, tokenDiffers: boolean): void => {
    const { fields, corrects, dateNow } = decision
    change(row, pick(imported, fields))
    if (fields.includes('email')) readdressedIds.add(row.id)
    if (corrects) change(row, datesOf(imported))
    if (corrects && tokenDiffers) replaceToken(row, imported.refreshToken)
    if (dateNow && row.status === 'active') fence(row, { nextActionAt: at, nextActionReason: 'changed by import' })
    const corrected = corrects ? { expires_at: row.expiresAt.toISOString(), token_replaced: tokenDiffers } : {}
    record(row, 'consent.updated', corrects ? 'corrected by import' : undefined, { fields: fields.map(snakeCase), ...corrected })
  }

  /** Of two open consents of one user at one bank the newer one counts; equal dates say nothing. Answers how many were closed. */
  const supersedeOlder = (arrived: ConsentRow): number => {
    if (!policy.import.supersedeOlder) return 0
    const others = (byBank.get(bankKey(arrived)) ?? []).filter((one) => one !== arrived && !isClosedForGood(one))
    const newer = others.filter((one) => one.expiresAt > arrived.expiresAt).toSorted((a, b) => b.expiresAt.getTime() - a.expiresAt.getTime())[0]
    if (newer !== undefined) {
      supersede(arrived, newer)
      return 1
    }
    const older = others.filter((one) => one.expiresAt < arrived.expiresAt)
    for (const one of older) supersede(one, arrived)
    return older.length
  }

  const supersede = (older: ConsentRow, newer: ConsentRow): void => {
    moveTo(older, 'superseded')
    fence(older, { nextActionAt: null, nextActionReason: null, supersededById: newer.id })
    supersededIds.add(older.id)
    record(older, 'consent.superseded', 'a newer consent of the same user at the same bank was imported', { by: newer.credentialsId })
  }

  return {
    take: (row) => {
      const held = byCredentials.get(row.credentialsId)
      if (held === undefined) return { kind: 'created', detail: undefined, superseded: supersedeOlder(create(row)) }
      const tokenDiffers = differs(held, row.refreshToken)
      const consentedAt = held.consentedAt === null ? undefined : instant(held.consentedAt)
      const rule = ruleFor(row.providerId, row.country, policy)
      const decision = decideImport({ ours: { ...toConsent(held), consentedAt }, row, rule, tokenDiffers, correct })
      switch (decision.kind) {
        case 'refused':
          return { kind: 'refused', detail: decision.reason, superseded: 0 }
        case 'unchanged':
          return { kind: 'unchanged', detail: decision.warning, superseded: 0 }
        case 'repaired':
          repair(held, row, decision.fields, tokenDiffers)
          return { kind: 'repaired', detail: undefined, superseded: supersedeOlder(held) }
        case 'updated':
          update(held, row, decision, tokenDiffers)
          return { kind: 'updated', detail: decision.warning, superseded: 0 }
      }
    },
    changed: () => [...changed],
    repaired: () => [...repairedIds],
    readdressed: () => [...readdressedIds],
    superseded: () => [...supersededIds],
    events: () => events,
  }
}

const withoutFailure = { failedAttempts: 0, outages: 0, lastErrorCode: null, retryAfter: null }

const neverWorkedOn = {
  status: 'active',
  cycle: 1,
  tokenVersion: 1,
  nextActionAt: null,
  nextActionReason: null,
  queuedUntil: null,
  dispatchNo: 0,
  epoch: 0,
  leaseUntil: null,
  mismatches: 0,
  supersededById: null,
  eventSeq: 0,
  eventHash: null,
  ...withoutFailure,
}

const moveTo = (row: ConsentRow, to: ConsentStatus): void => {
  checkConsentTransition(row.status as ConsentStatus, to)
  row.status = to
}

const pick = (row: ImportRow, fields: readonly ContactField[]): Partial<ConsentRow> => Object.fromEntries(fields.map((field) => [field, row[field]]))
const bankKey = (row: Pick<ConsentRow, 'userId' | 'providerId'>): string => JSON.stringify([row.userId, row.providerId])
const snakeCase = (field: string): string => field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
