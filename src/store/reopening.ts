// Reopens consents that the old rule of the import had closed, one page in each transaction. Each gets its former
// status and cycle back. The messages of that cycle are on record, so no user is notified again about a rung that was
// sent. A reopened consent is not found again.
import type { DateTime } from 'luxon'
import { nextAction } from '../domain/next-action.ts'
import type { Policy } from '../domain/policy.ts'
import { closedByOldRule, type RecordedEvent, type WronglyClosed } from '../domain/reopening.ts'
import { replayedTypes } from '../domain/replay.ts'
import { spreadWithin } from '../domain/spread.ts'
import {
  type Consent as ConsentRow,
  type Notification as NotificationRow,
  Prisma,
  type Renewal as RenewalRow,
} from '../generated/prisma/client.ts'
import type { Reopened, ReopenFilter, Reopening, ReopenPage, Request } from './administration-port.ts'
import type { Database, Transaction } from './database.ts'
import type { NoStatus } from './columns.ts'
import { chainEvent, type ChainedEvent } from './events.ts'
import { writeConsents, writeEvents } from './import-writes.ts'
import { released } from './locks.ts'
import { moveAll, moveRow } from './moves.ts'
import { toConsent, toEvent, withoutFailure } from './rows.ts'
import { type CycleRow, oldestFirst, toView } from './cycles.ts'
import { FIRST_ID } from './ids.ts'

const PAGE = 500
/** Includes the wait for the locks of an import. */
const PAGE_TIMEOUT_MS = 120_000

export const reopening = (db: Database, policy: Policy): Reopening => ({
  reopenPage: async (filter, { afterId = FIRST_ID, dryRun, ...request }) =>
    db.prisma.$transaction(
      async (tx) => {
        const ids = await superseded(tx, filter, afterId, dryRun)
        const found = await wronglyClosed(tx, ids, filter)
        const { named, successors } = await successorsOf(tx, found)
        const wrong = found.filter(({ row }) => !named.has(row.id))
        const plans = await planned(tx, wrong, request, policy)
        if (!dryRun) await write(tx, plans)
        const reopened = plans.map(({ row, closing, supersededById }): Reopened => ({
          consent: toConsent(row),
          closedAt: closing.at,
          supersededBy: successors.get(supersededById ?? '') ?? '',
        }))
        return {
          reopened,
          kept: found.length - wrong.length,
          lastId: ids.length < PAGE ? undefined : ids.at(-1),
        } satisfies ReopenPage
      },
      { timeout: PAGE_TIMEOUT_MS, maxWait: PAGE_TIMEOUT_MS },
    ),
})

/**
 * Finds a page of superseded consents and, except in a dry run, locks them in the order of ids. An import locks in the
 * same order, so the two never deadlock.
 */
const superseded = async (
  tx: Transaction,
  { userId, providerId }: ReopenFilter,
  afterId: string,
  dryRun: boolean,
): Promise<string[]> => {
  const only = [
    ...(userId === undefined ? [] : [Prisma.sql`AND user_id = ${userId}`]),
    ...(providerId === undefined ? [] : [Prisma.sql`AND provider_id = ${providerId}`]),
  ]
  const rows = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM consents WHERE status = 'superseded' AND id > ${afterId}::uuid
      ${only.length === 0 ? Prisma.empty : Prisma.join(only, ' ')}
    ORDER BY id LIMIT ${PAGE} ${dryRun ? Prisma.empty : Prisma.sql`FOR UPDATE`}`
  return rows.map(({ id }) => id)
}

interface Found {
  readonly row: ConsentRow
  readonly closing: WronglyClosed
}

const wronglyClosed = async (tx: Transaction, ids: readonly string[], { since }: ReopenFilter): Promise<Found[]> => {
  const rows = await tx.consent.findMany({ where: { id: { in: [...ids] } }, orderBy: { id: 'asc' } })
  const events = await tx.event.findMany({
    where: { consentId: { in: [...ids] }, type: { in: [...replayedTypes] } },
    orderBy: [{ consentId: 'asc' }, { seq: 'asc' }],
  })
  const eventsOf = Map.groupBy(events.map(toEvent), ({ consentId }): string => consentId)
  return rows.flatMap((row) => {
    const closing = closedByOldRule((eventsOf.get(row.id) ?? []) satisfies readonly RecordedEvent[])
    return closing === undefined || (since !== undefined && closing.at < since) ? [] : [{ row, closing }]
  })
}

/**
 * `named`: the ids of the consents that a connection of the same user names in `supersedes`, so that they stay closed.
 * `successors`: the `credentials_id` of each successor, by its id.
 */
const successorsOf = async (
  tx: Transaction,
  found: readonly Found[],
): Promise<{ named: ReadonlySet<string>; successors: ReadonlyMap<string, string> }> => {
  const rows = await tx.$queryRaw<{ id: string }[]>`
    SELECT older.id FROM consents AS older JOIN consents AS newer ON newer.supersedes = older.credentials_id AND
      newer.user_id = older.user_id
    WHERE older.id = ANY(${found.map(({ row }) => row.id)}::uuid[])`
  const newer = await tx.consent.findMany({
    where: { id: { in: found.flatMap(({ row }) => row.supersededById ?? []) } },
    select: { id: true, credentialsId: true },
  })
  return {
    named: new Set(rows.map(({ id }) => id)),
    successors: new Map(newer.map(({ id, credentialsId }) => [id, credentialsId])),
  }
}

interface Plan extends Found {
  readonly supersededById: string | null
  /** The renewal that was cancelled with the consent. */
  readonly renewal: RenewalRow | undefined
  /** The message that was still waiting to be sent when the consent was closed. */
  readonly message: NotificationRow | undefined
  readonly event: ChainedEvent
}

const planned = async (tx: Transaction, wrong: readonly Found[], request: Request, policy: Policy): Promise<Plan[]> => {
  const renewals: CycleRow[] = await tx.renewal.findMany({
    where: { consentId: { in: wrong.map(({ row }) => row.id) } },
    include: oldestFirst,
  })
  const current = new Map(renewals.map((renewal) => [`${renewal.consentId} ${renewal.cycle}`, renewal]))
  return wrong.map((found) => planOne(found, current.get(`${found.row.id} ${found.row.cycle}`), request, policy))
}

/** What is changed of a row in memory; its status is changed by moveRow alone. */
type Change<Row> = Partial<Row> & NoStatus

/** Changes the consent, its renewal and its message in memory. */
const planOne = (
  { row, closing }: Found,
  cycle: CycleRow | undefined,
  { now, reason, by }: Request,
  policy: Policy,
): Plan => {
  const { supersededById } = row
  const { status } = closing.before
  moveRow('consent', row, status)
  Object.assign(row, {
    supersededById: null,
    fencingToken: row.fencingToken + 1,
    ...released,
    updatedAt: now.toJSDate(),
  } satisfies Change<ConsentRow>)
  // The renewal of a lapsed or unsupported consent had ended before the consent was superseded.
  const renewal = cycle?.status === 'cancelled' && withOpenCycle.includes(status) ? cycle : undefined
  if (renewal !== undefined) {
    moveRow('renewal', renewal, 'open')
    Object.assign(renewal, { closedAt: null } satisfies Change<RenewalRow>)
  }
  // What is due is spread over time: if a hundred thousand consents are reopened, their users must not all be notified
  // in one minute.
  const soon = now.plus({ milliseconds: policy.spread === false ? 0 : spreadWithin(row.id, policy.spread.toMillis()) })
  // Only the last message can have been waiting to be sent, because a new message cancels the one before it.
  const last = status === 'active' ? renewal?.notifications.at(-1) : undefined
  const message = last?.status === 'cancelled' ? last : undefined
  if (message !== undefined) {
    moveRow('notification', message, 'pending')
    Object.assign(message, { nextActionAt: soon.toJSDate() } satisfies Change<NotificationRow>)
  }
  if (status === 'active')
    Object.assign(row, {
      ...withoutFailure,
      ...dateOf(row, cycle, { now, soon, policy }),
    } satisfies Change<ConsentRow>)
  const event = chainEvent(row, {
    type: 'consent.reopened',
    at: now,
    actor: 'operator',
    reason,
    data: { status, cycle: row.cycle, ...(by === undefined ? {} : { by }) },
  })
  Object.assign(row, { eventSeq: event.seq, eventHash: event.hash } satisfies Change<ConsentRow>)
  return { row, closing, supersededById, renewal, message, event }
}

/** The statuses in which a consent's cycle is open. */
const withOpenCycle: readonly string[] = ['active', 'paused', 'quarantined']

interface When {
  readonly now: DateTime
  readonly soon: DateTime
  readonly policy: Policy
}

const dateOf = (
  row: ConsentRow,
  cycle: CycleRow | undefined,
  { now, soon, policy }: When,
): Pick<ConsentRow, 'nextActionAt' | 'nextActionReason'> => {
  const next = nextAction(toView(row, cycle), now, policy)
  return next.action === 'wait'
    ? { nextActionAt: next.at.toJSDate(), nextActionReason: next.reason }
    : { nextActionAt: soon.toJSDate(), nextActionReason: `reopened: ${next.reason}` }
}

// Writes in the order in which locks are taken: consent, renewal, notification.
const write = async (tx: Transaction, plans: readonly Plan[]): Promise<void> => {
  await writeConsents(
    tx,
    plans.map(({ row }) => row),
  )
  const renewals = plans.flatMap(({ renewal }) => renewal ?? [])
  if (renewals.length > 0) {
    await moveAll(tx, 'renewal', 'open', {
      from: ['cancelled'],
      where: { id: { in: renewals.map(({ id }) => id) } },
      data: { closedAt: null },
    })
  }
  for (const { message } of plans) {
    if (message === undefined) continue
    await moveAll(tx, 'notification', 'pending', {
      from: ['cancelled'],
      where: { id: message.id },
      data: {
        nextActionAt: message.nextActionAt,
        errorCode: null,
        ...released,
        fencingToken: { increment: 1 },
      },
    })
  }
  await writeEvents(
    tx,
    plans.map(({ event }) => event),
  )
}
