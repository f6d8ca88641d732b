// Computes when a consent and its attempts and messages are next due. Such dates are never proven: either the policy
// gives them from the repaired instants, or the row becomes due at once and the next sweep schedules it. Pure.
import type { DateTime } from 'luxon'
import { isShift, shiftedBy } from '../domain/shifted-instant.ts'
import type { ConsentView } from '../domain/model.ts'
import { nextAction } from '../domain/next-action.ts'
import type { Policy } from '../domain/policy.ts'
import { graceEndOf, ruleFor } from '../domain/rules.ts'
import { toAuthorisation, toConsent, toNotification, toRenewal } from '../store/rows.ts'
import type { Aftermath, Change, Plan } from './plan.ts'
import { instantOf, numberOf, type Row, type StoredConsent, textOf } from './read-consents.ts'

export interface RescheduleOptions {
  readonly now: DateTime
  readonly policy: Policy
  readonly zones: readonly (readonly string[])[]
}

/**
 * Leases and `queued_until` last minutes. An import that read and wrote back such a value may have moved it by hours.
 */
const MAX_LEASE_MS = 3_600_000

/** The plan, extended by the changes that follow from it. */
export const reschedule = (stored: StoredConsent, plan: Plan, { now, policy, zones }: RescheduleOptions): Plan => {
  const { consent } = stored
  const more: Change[] = []
  const change = (table: Change['table'], row: Row, column: string, to: number | undefined, by: Change['by']): void => {
    const from = instantOf(row, column)
    if (from !== to) more.push({ table, id: textOf(row, 'id'), column, stored: from, meant: to, by })
  }
  const isTouched = (table: Change['table'], row: Row): boolean =>
    plan.changes.some((planned) => planned.table === table && planned.id === textOf(row, 'id'))
  const nowMs = now.toMillis()
  const atOnce = (table: Change['table'], row: Row): void => {
    const due = instantOf(row, 'next_action_at')
    if (due !== undefined && due > nowMs) change(table, row, 'next_action_at', nowMs, 'the policy, anew')
  }

  for (const row of stored.authorisations) {
    if (!isTouched('authorisations', row) || instantOf(row, 'next_action_at') === undefined) continue
    const expires =
      plan.changes.find(
        ({ table, id, column }) => table === 'authorisations' && id === row['id'] && column === 'expires_at',
      )?.meant ?? instantOf(row, 'expires_at')
    if (row['status'] === 'issued')
      change('authorisations', row, 'next_action_at', expires, 'the event that goes with it')
    else atOnce('authorisations', row)
  }
  for (const row of stored.notifications) if (isTouched('notifications', row)) atOnce('notifications', row)

  const isChanged = plan.changes.length > 0
  if (isChanged) {
    for (const column of ['lease_until', 'queued_until']) {
      if ((instantOf(consent, column) ?? 0) > nowMs + MAX_LEASE_MS)
        change('consents', consent, column, undefined, 'no lease is that long')
    }
    const failed = stored.events.findLast((event) => event['type'] === 'link.failed')
    const wasFailedElsewhere =
      failed !== undefined &&
      plan.changes.some(({ table, seq }) => table === 'events' && seq === numberOf(failed, 'seq'))
    if (wasFailedElsewhere && instantOf(consent, 'retry_after') !== undefined)
      change('consents', consent, 'retry_after', undefined, 'the policy, anew')
  }
  const view = viewOf(stored, [...plan.changes, ...more])
  const aftermath = lapsedEarly(plan, view, stored, policy)
  if (consent['status'] !== 'active' || (!isChanged && zones.length === 0))
    return { ...plan, changes: [...plan.changes, ...more], aftermath: [...plan.aftermath, ...aftermath] }

  const next = nextAction(view, now, policy)
  const due = instantOf(consent, 'next_action_at') ?? 0
  const meant = next.action === 'wait' ? next.at.toMillis() : nowMs
  // Although nothing else in the consent changed, its date may have been set under another zone: setting only that date
  // records no event.
  const isShifted =
    isShift({ meant, stored: due }) && zones.some((names) => names.some((zone) => shiftedBy(zone, meant) === due))
  // A consent that is already due needs no change: the next sweep picks it up and schedules it.
  if (due > nowMs && (isChanged || isShifted)) change('consents', consent, 'next_action_at', meant, 'the policy, anew')
  return {
    ...plan,
    changes: [...plan.changes, ...more],
    aftermath: [...plan.aftermath, ...aftermath],
    nextReason: next.reason,
  }
}

const lapsedEarly = (plan: Plan, { consent }: ConsentView, { events }: StoredConsent, policy: Policy): Aftermath[] => {
  const lapsed = events.findLast((event) => event['type'] === 'consent.lapsed')
  if (consent.status !== 'lapsed' || lapsed === undefined || plan.changes.length === 0) return []
  const at =
    plan.changes.find(({ table, seq }) => table === 'events' && seq === numberOf(lapsed, 'seq'))?.meant ??
    instantOf(lapsed, 'at') ??
    0
  const ends = graceEndOf(consent.expiresAt, ruleFor(consent.providerId, consent.country, policy))
  if (at >= ends.toMillis()) return []
  const detail = `lapsed on ${new Date(at).toISOString()}, its grace ended on ${ends.toISO() ?? ''}`
  return [{ kind: 'lapsed-early', consentId: plan.consentId, credentialsId: plan.credentialsId, detail }]
}

const INSTANT = /_at$|_until$|retry_after/
const camel = (column: string): string => column.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** The row with its changes applied, in the form that the store's own queries return. */
const rowOf = (table: Change['table'], row: Row, changes: readonly Change[]): unknown => {
  const mine = changes.filter((change) => change.table === table && change.id === row['id'])
  return Object.fromEntries(
    Object.entries(row).map(([column, value]) => {
      if (!INSTANT.test(column)) return [camel(column), value]
      const changed = mine.find((change) => change.column === column)
      const at = changed === undefined ? instantOf(row, column) : changed.meant
      return [camel(column), at === undefined ? null : new Date(at)]
    }),
  )
}

const viewOf = (stored: StoredConsent, changes: readonly Change[]): ConsentView => {
  const renewal = stored.renewals.find((row) => row['cycle'] === stored.consent['cycle'])
  const ofIt = (rows: readonly Row[]): Row[] =>
    rows.filter((row) => renewal !== undefined && row['renewal_id'] === renewal['id'])
  const authorisations = ofIt(stored.authorisations).map((row) =>
    toAuthorisation(rowOf('authorisations', row, changes) as Parameters<typeof toAuthorisation>[0]),
  )
  const notifications = ofIt(stored.notifications).map((row) =>
    toNotification(rowOf('notifications', row, changes) as Parameters<typeof toNotification>[0]),
  )
  return {
    consent: toConsent(rowOf('consents', stored.consent, changes) as Parameters<typeof toConsent>[0]),
    renewal:
      renewal === undefined
        ? undefined
        : toRenewal(rowOf('renewals', renewal, changes) as Parameters<typeof toRenewal>[0]),
    authorisations: authorisations.toSorted((a, b) => a.issuedAt.toMillis() - b.issuedAt.toMillis()),
    notifications: notifications.toSorted((a, b) => a.createdAt.toMillis() - b.createdAt.toMillis()),
  }
}
