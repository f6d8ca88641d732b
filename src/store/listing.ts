// Reads many rows: pages of consents, one consent's whole history, counts, the feed. Pages are read by keyset, so that
// memory use is constant and no page costs more than the one before. Changes no consent.
import { addressFields, type ChannelName, channelNames } from '../domain/channels.ts'
import { consentTransitions } from '../domain/lifecycle.ts'
import type { ConsentStatus, ConsentView } from '../domain/model.ts'
import { Prisma } from '../generated/prisma/client.ts'
import { type RecordKind, recordKinds } from '../records.ts'
import type { ConsentHistory, Listing, StatusCounts } from './administration-port.ts'
import type { Database } from './database.ts'
import { listEvents } from './events.ts'
import { listFeed } from './feed.ts'
import type { CircuitName, ConsentEvent, ConsentFilter } from './port.ts'
import { recordTables } from './record-tables.ts'
import { instant, toAuthorisation, toConsent, toNotification, toRenewal } from './rows.ts'
import { oldestFirst, toView } from './cycles.ts'

const LARGEST_PAGE = 1000
const pageSize = (limit: number | undefined): number => Math.min(Math.max(limit ?? LARGEST_PAGE, 1), LARGEST_PAGE)

/** `channels`: those in use, all unless said; they decide whose user has no address. */
export const listing = (db: Database, channels: readonly ChannelName[] = channelNames()): Listing => ({
  pageConsents: async (filter, { afterId, limit } = {}) => {
    const rows = await db.prisma.consent.findMany({
      where: { ...whereOf(filter, channels), ...(afterId === undefined ? {} : { id: { gt: afterId } }) },
      orderBy: { id: 'asc' },
      take: pageSize(limit),
    })
    return rows.map(toConsent)
  },

  pageDue: async (now, { after, limit } = {}) => {
    const beyond =
      after === undefined
        ? Prisma.empty
        : Prisma.sql`AND (next_action_at, id) > (${after.at.toJSDate()}, ${after.id}::uuid)`
    const ids = await db.prisma.$queryRaw<{ id: string }[]>`
      SELECT id FROM consents WHERE ${recordTables.consent.open} AND next_action_at <= ${now.toJSDate()} ${beyond}
      ORDER BY next_action_at, id LIMIT ${pageSize(limit)}`
    return viewsOf(
      db,
      ids.map(({ id }) => id),
    )
  },

  getHistory: async (id, lastEvents) => getHistory(db, id, lastEvents),
  statusCounts: async (now) => statusCounts(db, now.toJSDate(), channels),
  listFeed: async (after, limit) => listFeed(db, after, pageSize(limit)),
})

const NEVER_MESSAGED = ''
const isMessaged: Prisma.ConsentWhereInput = { OR: [{ channels: null }, { channels: { not: NEVER_MESSAGED } }] }
/**
 * No channel reaches a user who is to be messaged: there is no address, or only one that our server does not accept.
 * The domain gave this reason when it last evaluated the consent (next-action.ts).
 */
const saidSo: Prisma.ConsentWhereInput = { nextActionReason: { startsWith: 'no-channel' } }
const withoutChannel = (channels: readonly ChannelName[]): Prisma.ConsentWhereInput => ({
  AND: [isMessaged, { OR: [{ AND: addressFields(channels).map((field) => ({ [field]: null })) }, saidSo] }],
})
const withChannel = (channels: readonly ChannelName[]): Prisma.ConsentWhereInput => ({
  AND: [
    isMessaged,
    { OR: addressFields(channels).map((field) => ({ [field]: { not: null } })) },
    { OR: [{ nextActionReason: null }, { NOT: saidSo }] },
  ],
})

const whereOf = (filter: ConsentFilter, channels: readonly ChannelName[]): Prisma.ConsentWhereInput => {
  const { status, userId, providerId, expiresBefore } = filter
  // One condition for each field of the filter: a field without one would list every consent.
  const conditions: Record<keyof ConsentFilter, Prisma.ConsentWhereInput> = {
    status: status === undefined ? {} : { status },
    userId: userId === undefined ? {} : { userId },
    providerId: providerId === undefined ? {} : { providerId },
    expiresBefore: expiresBefore === undefined ? {} : { expiresAt: { lt: expiresBefore.toJSDate() } },
    withoutChannel:
      filter.withoutChannel === undefined
        ? {}
        : filter.withoutChannel
          ? withoutChannel(channels)
          : withChannel(channels),
  }
  return { AND: Object.values(conditions) }
}

/** The same as `getView` for a page of consents, in the order of `ids`. */
const viewsOf = async ({ prisma }: Database, ids: readonly string[]): Promise<ConsentView[]> => {
  const running = await prisma.$queryRaw<{ id: string }[]>`
    SELECT renewal.id FROM renewals AS renewal JOIN consents AS consent ON consent.id = renewal.consent_id AND
      consent.cycle = renewal.cycle
    WHERE consent.id = ANY(${[...ids]}::uuid[])`
  const [consents, renewals] = await Promise.all([
    prisma.consent.findMany({ where: { id: { in: [...ids] } } }),
    prisma.renewal.findMany({
      where: { id: { in: running.map(({ id }) => id) } },
      include: oldestFirst,
    }),
  ])
  const consentById = new Map(consents.map((row) => [row.id, row]))
  const renewalOf = new Map(renewals.map((row) => [row.consentId, row]))
  return ids.flatMap((id) => {
    const consent = consentById.get(id)
    return consent === undefined ? [] : toView(consent, renewalOf.get(id))
  })
}

const allEvents = async (db: Database, id: string): Promise<ConsentEvent[]> => {
  const events: ConsentEvent[] = []
  for (;;) {
    const page = await listEvents(db, id, events.at(-1)?.seq ?? 0, LARGEST_PAGE)
    events.push(...page)
    if (page.length < LARGEST_PAGE) return events
  }
}

const getHistory = async (
  db: Database,
  id: string,
  lastEvents: number | undefined,
): Promise<ConsentHistory | undefined> => {
  const row = await db.prisma.consent.findUnique({
    where: { id },
    include: {
      renewals: { orderBy: { cycle: 'asc' } },
      authorisations: { orderBy: { issuedAt: 'asc' } },
      notifications: { orderBy: [{ cycle: 'asc' }, { createdAt: 'asc' }] },
    },
  })
  if (row === null) return undefined
  const events =
    lastEvents === undefined
      ? await allEvents(db, id)
      : await listEvents(db, id, Math.max(0, row.eventSeq - lastEvents), lastEvents)
  return {
    consent: toConsent(row),
    renewals: row.renewals.map(toRenewal),
    authorisations: row.authorisations.map(toAuthorisation),
    notifications: row.notifications.map(toNotification),
    events,
  }
}

/**
 * Each count uses an index, but the count of consents by status reads a whole index: good for a scrape every minute,
 * not every second.
 */
const statusCounts = async (
  { prisma }: Database,
  now: Date,
  channels: readonly ChannelName[],
): Promise<StatusCounts> => {
  const oldestDueOf = (kind: RecordKind): Prisma.Sql => {
    const { name, open } = recordTables[kind]
    return Prisma.sql`SELECT ${Prisma.raw(`'${kind}'`)} AS kind, min(next_action_at) AS at FROM ${name}
      WHERE ${open} AND next_action_at <= ${now}`
  }
  const [byStatus, unreached, uncertainNotifications, authorisationsInDoubt, overdue, circuits, feed] =
    await Promise.all([
      prisma.consent.groupBy({ by: ['status'], _count: true }),
      prisma.consent.count({ where: { status: 'active', ...withoutChannel(channels) } }),
      prisma.notification.count({ where: { status: 'uncertain' } }),
      prisma.authorisation.count({ where: { status: 'in_doubt' } }),
      prisma.$queryRaw<
        { kind: RecordKind; at: Date | null }[]
      >`${Prisma.join(recordKinds.map(oldestDueOf), ' UNION ALL ')}`,
      prisma.openCircuit.findMany({ orderBy: { since: 'asc' } }),
      prisma.$queryRaw<{ lag: number }[]>`
      SELECT coalesce(extract(epoch FROM clock_timestamp() - min(added_at)), 0)::float8 AS lag FROM unsequenced_events`,
    ])
  const statuses = Object.keys(consentTransitions) as ConsentStatus[]
  const countOf = (status: ConsentStatus): number => byStatus.find((group) => group.status === status)?._count ?? 0
  const overdueAt = (kind: RecordKind) => {
    const at = overdue.find((row) => row.kind === kind)?.at
    return at == null ? undefined : instant(at)
  }
  return {
    consents: Object.fromEntries(statuses.map((status) => [status, countOf(status)])) as StatusCounts['consents'],
    withoutChannel: unreached,
    uncertainNotifications,
    authorisationsInDoubt,
    feedLagSeconds: Math.max(0, feed[0]?.lag ?? 0),
    oldestOverdue: {
      consent: overdueAt('consent'),
      authorisation: overdueAt('authorisation'),
      notification: overdueAt('notification'),
    },
    openCircuits: circuits.map((row) => ({
      code: row.name as CircuitName,
      since: instant(row.since),
      trialAt: instant(row.trialAt),
    })),
  }
}
