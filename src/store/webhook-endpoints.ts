// How operators look after the endpoints of webhooks: add, list, rotate, enable, replay, remove. Each is one statement
// or one transaction.
import { randomUUID } from 'node:crypto'
import { MAX_ENDPOINTS } from '../domain/webhook-limits.ts'
import { isAway } from '../domain/webhook-retries.ts'
import { storedTypesOf } from '../domain/webhook-types.ts'
import { Prisma } from '../generated/prisma/client.ts'
import type { Database } from './database.ts'
import { sequenceEvents } from './event-sequencer.ts'
import { isId } from './ids.ts'
import { instant } from './rows.ts'
import type { DeliveryResult, Endpoint, WebhookAdministration } from './webhook-port.ts'
import { chainAt } from './webhook-cursors.ts'
import { webhookSecretCell } from './webhook-secrets.ts'

interface EndpointRow {
  readonly id: string
  readonly url: string
  readonly types: string[]
  readonly status: Endpoint['status']
  readonly disabled_reason: string | null
  readonly disabled_at: Date | null
  readonly failed_in_a_row: number
  readonly failing_since: Date | null
  readonly rests_until: Date | null
  readonly delivered_at: Date | null
  readonly created_at: Date
  readonly behind: string
  readonly failing_consents: number
  readonly secrets: number
  readonly replays: number
}

const maybe = (date: Date | null) => (date === null ? undefined : instant(date))

const toEndpoint = (row: EndpointRow): Endpoint => ({
  id: row.id,
  url: row.url,
  types: row.types,
  status: row.status,
  disabledReason: row.disabled_reason ?? undefined,
  disabledAt: maybe(row.disabled_at),
  isAway: isAway({ failedInARow: row.failed_in_a_row }),
  failingSince: maybe(row.failing_since),
  restsUntil: maybe(row.rests_until),
  deliveredAt: maybe(row.delivered_at),
  createdAt: instant(row.created_at),
  behind: Number(row.behind),
  failingConsents: row.failing_consents,
  secrets: row.secrets,
  replays: row.replays,
})

interface TryRow {
  readonly id: string
  readonly webhook_id: string
  readonly endpoint_id: string
  readonly consent_id: string
  readonly credentials_id: string | null
  readonly seq: number
  readonly type: string
  readonly at: Date
  readonly result: DeliveryResult
  readonly attempt: number
  readonly status_code: number | null
  readonly detail: string | null
  readonly took_ms: number
  readonly is_replay: boolean
}

export const webhookAdministration = (db: Database): WebhookAdministration => ({
  // Locked, so that two commands at once add no more than there may be.
  addEndpoint: async ({ url, types, secret, now }) => {
    await sequenceEvents(db)
    return db.transaction(async (tx) => {
      await tx.$executeRaw`LOCK TABLE webhook_endpoints IN SHARE ROW EXCLUSIVE MODE`
      const known = await tx.$queryRaw<{ url: string }[]>`SELECT url FROM webhook_endpoints`
      if (known.some((endpoint) => endpoint.url === url)) return { kind: 'known' }
      if (known.length >= MAX_ENDPOINTS) return { kind: 'full' }
      const [id, secretId] = [randomUUID(), randomUUID()]
      await tx.$executeRaw`
        INSERT INTO webhook_endpoints (id, url, types, cursor, cursor_chain, created_at)
        SELECT ${id}::uuid, ${url}, ${[...types]}::text[], last, ${chainAt(Prisma.raw('last'))}, ${now.toJSDate()}
        FROM (SELECT coalesce(max(position), 0) AS last FROM event_positions) AS feed`
      await tx.$executeRaw`
        INSERT INTO webhook_secrets (id, endpoint_id, secret, created_at)
        VALUES (${secretId}::uuid, ${id}::uuid, ${db.vault.seal(secret, webhookSecretCell(secretId))},
          ${now.toJSDate()})`
      return { kind: 'added', id }
    })
  },

  listEndpoints: async () => {
    const rows = await db.sql.$queryRaw<EndpointRow[]>`
      SELECT endpoint.*,
        greatest((SELECT coalesce(max(position), 0) FROM event_positions) - cursor, 0) AS behind,
        (SELECT count(*)::int FROM webhook_backlogs WHERE endpoint_id = endpoint.id AND seq IS NOT NULL)
          AS failing_consents,
        (SELECT count(*)::int FROM webhook_secrets WHERE endpoint_id = endpoint.id
          AND (expires_at IS NULL OR expires_at > clock_timestamp())) AS secrets,
        (SELECT count(*)::int FROM webhook_replays WHERE endpoint_id = endpoint.id) AS replays
      FROM webhook_endpoints AS endpoint ORDER BY created_at, id`
    return rows.map(toEndpoint)
  },

  removeEndpoint: async (id) =>
    isId(id) && (await db.sql.$executeRaw`DELETE FROM webhook_endpoints WHERE id = ${id}::uuid`) === 1,

  // A secret that ends keeps its earlier end, so that a second rotation does not prolong it. Those that have ended go.
  rotateSecret: async (id, secret, now, overlapEnds) =>
    isId(id) &&
    db.transaction(async (tx) => {
      const found = await tx.$queryRaw<{ id: string }[]>`
        SELECT id FROM webhook_endpoints WHERE id = ${id}::uuid FOR UPDATE`
      if (found.length === 0) return false
      await tx.$executeRaw`
        UPDATE webhook_secrets SET expires_at = least(expires_at, ${overlapEnds.toJSDate()})
        WHERE endpoint_id = ${id}::uuid`
      await tx.$executeRaw`
        DELETE FROM webhook_secrets WHERE endpoint_id = ${id}::uuid AND expires_at <= ${now.toJSDate()}`
      const secretId = randomUUID()
      await tx.$executeRaw`
        INSERT INTO webhook_secrets (id, endpoint_id, secret, created_at)
        VALUES (${secretId}::uuid, ${id}::uuid, ${db.vault.seal(secret, webhookSecretCell(secretId))},
          ${now.toJSDate()})`
      return true
    }),

  // In a feed with other places it begins at the end, and replays by the old ones go: a new one sends the rest.
  // Raises the fencing token: a process that still works on the endpoint as it was must not disable it again.
  enableEndpoint: async (id, now) => {
    if (!isId(id)) return undefined
    return db.transaction(async (tx) => {
      const [before] = await tx.$queryRaw<{ status: string; disabled_reason: string | null }[]>`
        SELECT status, disabled_reason FROM webhook_endpoints WHERE id = ${id}::uuid FOR UPDATE`
      if (before === undefined) return undefined
      if (before.status === 'enabled') return 'unchanged'
      await tx.$executeRaw`
        UPDATE webhook_endpoints AS endpoint SET status = 'enabled', disabled_reason = NULL, disabled_at = NULL,
          cursor = place, cursor_chain = ${chainAt(Prisma.raw('place'))}, failed_in_a_row = 0,
          failing_since = NULL, rests_until = NULL, lease_until = NULL,
          fencing_token = fencing_token + 1
        FROM (SELECT CASE WHEN ${before.disabled_reason === 'feed-changed'}
            THEN (SELECT coalesce(max(position), 0) FROM event_positions)
            ELSE (SELECT cursor FROM webhook_endpoints WHERE id = ${id}::uuid) END AS place) AS feed
        WHERE id = ${id}::uuid`
      if (before.disabled_reason === 'feed-changed')
        await tx.$executeRaw`DELETE FROM webhook_replays WHERE endpoint_id = ${id}::uuid`
      await tx.$executeRaw`
        UPDATE webhook_backlogs SET failed_tries = 0, next_try_at = ${now.toJSDate()}
        WHERE endpoint_id = ${id}::uuid AND seq IS NOT NULL`
      await tx.$executeRaw`
        UPDATE webhook_replays SET failed_tries = 0, next_try_at = ${now.toJSDate()} WHERE endpoint_id = ${id}::uuid`
      return 'enabled'
    })
  },

  // Only what the endpoint has been told of, or would have been: the rest of the feed comes by itself.
  requestReplay: async (id, { from, to, now }) => {
    if (!isId(id)) return undefined
    const [endpoint] = await db.sql.$queryRaw<{ types: string[]; cursor: string }[]>`
      SELECT types, cursor FROM webhook_endpoints WHERE id = ${id}::uuid`
    if (endpoint === undefined) return undefined
    const { types, cursor } = endpoint
    const [found] = await db.sql.$queryRaw<{ events: number; first: string | null; last: string | null }[]>`
      SELECT count(*)::int AS events, min(feed.position) AS first, max(feed.position) AS last
      FROM events AS event JOIN event_positions AS feed ON feed.consent_id = event.consent_id AND feed.seq = event.seq
      WHERE event.at >= ${from.toJSDate()} AND event.at < ${to.toJSDate()}
        AND event.type = ANY(${storedTypesOf(types)}::text[]) AND feed.position <= ${cursor}::bigint`
    if (found === undefined || found.first === null || found.last === null) return { events: 0 }
    await db.sql.$executeRaw`
      INSERT INTO webhook_replays (id, endpoint_id, from_at, to_at, cursor, last, next_try_at, requested_at)
      VALUES (${randomUUID()}::uuid, ${id}::uuid, ${from.toJSDate()}, ${to.toJSDate()}, ${found.first}::bigint - 1,
        ${found.last}::bigint, ${now.toJSDate()}, ${now.toJSDate()})`
    return { events: found.events }
  },

  cancelReplays: async (id) => {
    if (!isId(id)) return undefined
    const [found] = await db.sql.$queryRaw<{ cancelled: number }[]>`
      WITH cancelled AS (DELETE FROM webhook_replays WHERE endpoint_id = ${id}::uuid RETURNING id)
      SELECT (SELECT count(*)::int FROM cancelled) AS cancelled FROM webhook_endpoints WHERE id = ${id}::uuid`
    return found?.cancelled
  },

  listDeliveries: async ({ endpointId, failedOnly, limit }) => {
    if (endpointId !== undefined && !isId(endpointId)) return []
    const of = endpointId === undefined ? Prisma.empty : Prisma.sql`AND log.endpoint_id = ${endpointId}::uuid`
    const failed = failedOnly ? Prisma.sql`AND log.result <> 'delivered'` : Prisma.empty
    const rows = await db.sql.$queryRaw<TryRow[]>`
      SELECT log.*, consent.credentials_id
      FROM webhook_deliveries AS log LEFT JOIN consents AS consent ON consent.id = log.consent_id
      WHERE true ${of} ${failed} ORDER BY log.at DESC, log.is_replay DESC, log.seq DESC LIMIT ${limit}`
    return rows.map((row) => ({
      id: row.id,
      endpointId: row.endpoint_id,
      webhookId: row.webhook_id,
      consentId: row.consent_id,
      credentialsId: row.credentials_id ?? undefined,
      seq: row.seq,
      type: row.type,
      at: instant(row.at),
      result: row.result,
      attempt: row.attempt,
      statusCode: row.status_code ?? undefined,
      detail: row.detail ?? undefined,
      tookMs: row.took_ms,
      isReplay: row.is_replay,
    }))
  },

  // Of each endpoint the first event behind its cursor: the feed's places are in the order of commits.
  countBehind: async (before) => {
    const [counted] = await db.sql.$queryRaw<{ count: number }[]>`
      SELECT count(*)::int AS count FROM webhook_endpoints AS endpoint
      CROSS JOIN LATERAL (
        SELECT consent_id, seq FROM event_positions WHERE position > endpoint.cursor ORDER BY position LIMIT 1
      ) AS next
      JOIN events AS event ON event.consent_id = next.consent_id AND event.seq = next.seq
      WHERE endpoint.status = 'enabled' AND event.at < ${before.toJSDate()}`
    return counted?.count ?? 0
  },

  countDisabled: async () => {
    const [counted] = await db.sql.$queryRaw<{ count: number }[]>`
      SELECT count(*)::int AS count FROM webhook_endpoints WHERE status = 'disabled'`
    return counted?.count ?? 0
  },
})
