// What webhooks have to deliver, and what became of it. An endpoint keeps its place in the feed; a consent has a row of
// its own (webhook_backlogs) only while an event of it was not taken. So an endpoint that takes everything costs a page
// of the feed and one commit for a hundred events, and the loop that renews consents writes nothing for webhooks.
import { DecryptionFailed } from '../crypto/envelope.ts'
import type { Vault } from '../crypto/vault.ts'
import { StaleClaim } from '../errors.ts'
import { storedTypesOf, webhookTypeOf } from '../domain/webhook-types.ts'
import { type EndpointHealth, FAILURES_UNTIL_AWAY, isAway, probesFeed } from '../domain/webhook-retries.ts'
import { Prisma } from '../generated/prisma/client.ts'
import { later } from './columns.ts'
import type { Database } from './database.ts'
import type { Dispatching } from './port.ts'
import type { Secret } from '../secret.ts'
import { instant } from './rows.ts'
import type { Statements } from './statements.ts'
import type {
  BacklogChange,
  EndpointClaim,
  WebhookCommit,
  WebhookDelivering,
  WebhookItem,
  WebhookPage,
  WebhookTry,
} from './webhook-port.ts'
import { chainAt } from './webhook-cursors.ts'
import { webhookSecretCell } from './webhook-secrets.ts'

type SecretRows = readonly { readonly id: string; readonly secret: string }[] | null

interface ClaimedRow {
  readonly id: string
  readonly url: string
  readonly types: string[]
  readonly failed_in_a_row: number
  readonly failing_since: Date | null
  readonly fencing_token: number
  readonly secrets: SecretRows
}

interface GapRow {
  readonly seq: number
  readonly hash: string
  readonly type: string
  readonly data: Record<string, unknown>
}

interface EventRow {
  readonly consent_id: string
  readonly credentials_id: string
  readonly user_id: string
  readonly seq: number
  readonly hash: string
  readonly type: string
  readonly at: Date
  readonly data: Record<string, unknown>
  readonly position: string
  readonly gap_events: GapRow[] | null
}

interface BacklogRow extends EventRow {
  readonly failed_tries: number
  readonly next_try_at: Date
}

/** Places of the feed that one page looks through: of an endpoint that wants few types, most are nothing to it. */
const SCANNED = 5_000

/** What an event is made from, and the events of `gaps`. Aliases: event, consent, feed. */
const eventColumns = (gaps: Prisma.Sql): Prisma.Sql => Prisma.sql`
  event.consent_id, consent.credentials_id, consent.user_id, event.seq, event.hash, event.type, event.at, event.data,
  feed.position,
  (SELECT json_agg(json_build_object('seq', gap.seq, 'hash', gap.hash, 'type', gap.type,
    'data', gap.data) ORDER BY gap.seq)
    FROM events AS gap WHERE gap.consent_id = event.consent_id AND gap.seq = ANY(${gaps})) AS gap_events`

const FEED = Prisma.raw(`event_positions AS feed
  JOIN events AS event ON event.consent_id = feed.consent_id AND event.seq = feed.seq
  JOIN consents AS consent ON consent.id = feed.consent_id`)

const toItem = (
  row: EventRow,
  given: Pick<WebhookItem, 'source'> & Partial<Pick<WebhookItem, 'failedTries' | 'dueAt' | 'isProbe'>>,
): WebhookItem | undefined => {
  const type = webhookTypeOf(row.type, row.data)
  if (type === undefined) return undefined
  const { consent_id: consentId, credentials_id: credentialsId, user_id: userId, seq, hash } = row
  const gaps = (row.gap_events ?? []).flatMap((gap) => {
    const gapType = webhookTypeOf(gap.type, gap.data)
    return gapType === undefined ? [] : [{ seq: gap.seq, hash: gap.hash, type: gapType }]
  })
  return {
    event: { consentId, credentialsId, userId, seq, hash, type, at: instant(row.at) },
    position: BigInt(row.position),
    gaps,
    failedTries: 0,
    dueAt: undefined,
    isProbe: false,
    ...given,
  }
}

/** Undefined for one that does not decrypt: it must not keep the other endpoints from what they are owed. */
const readable = (vault: Vault, secret: string, id: string): Secret | undefined => {
  try {
    return vault.open(secret, webhookSecretCell(id))
  } catch (error) {
    if (error instanceof DecryptionFailed) return undefined
    throw error
  }
}

const secretsOf = (vault: Vault, rows: SecretRows): readonly Secret[] =>
  (rows ?? []).flatMap(({ id, secret }) => readable(vault, secret, id) ?? [])

/** Those of `endpoint` that sign, the newest first. */
const signing = (at: Date): Prisma.Sql => Prisma.sql`
  (SELECT json_agg(json_build_object('id', known.id, 'secret', known.secret) ORDER BY known.created_at DESC)
    FROM webhook_secrets AS known
    WHERE known.endpoint_id = endpoint.id AND (expires_at IS NULL OR expires_at > ${at})) AS secrets`

const isItem = (item: WebhookItem | undefined): item is WebhookItem => item !== undefined

export const webhookDelivering = ({ sql, transaction, vault }: Database): WebhookDelivering => ({
  hasEndpoints: async () => {
    const [found] = await sql.$queryRaw<{ any: boolean }[]>`
      SELECT EXISTS (SELECT FROM webhook_endpoints WHERE status = 'enabled') AS any`
    return found?.any === true
  },

  // The lease keeps two processes from one endpoint, so that a consent's events stay in order; SKIP LOCKED keeps those
  // that ask at the same moment from waiting for one another.
  claimEndpoints: async (now, limit, lease) => {
    const at = now.toJSDate()
    // Places that were given out anew, as after a restore of a dump, are not those that the cursors have passed: what
    // the endpoint has got of them nobody knows, and it must not go on as if it had got everything.
    await sql.$executeRaw`
      UPDATE webhook_endpoints AS endpoint SET status = 'disabled', disabled_reason = 'feed-changed',
        disabled_at = ${at}, lease_until = NULL, fencing_token = fencing_token + 1
      WHERE status = 'enabled' AND cursor_chain IS DISTINCT FROM ${chainAt(Prisma.sql`endpoint.cursor`)}`
    const rows = await sql.$queryRaw<ClaimedRow[]>`
      WITH due AS MATERIALIZED (
        SELECT id FROM webhook_endpoints AS endpoint
        WHERE status = 'enabled' AND (lease_until IS NULL OR lease_until <= clock_timestamp())
          AND (rests_until IS NULL OR rests_until <= ${at})
          AND (cursor < (SELECT coalesce(max(position), 0) FROM event_positions)
            OR (failed_in_a_row >= ${FAILURES_UNTIL_AWAY}
              AND EXISTS (SELECT FROM webhook_backlogs WHERE endpoint_id = endpoint.id AND seq IS NOT NULL))
            OR EXISTS (SELECT FROM webhook_backlogs WHERE endpoint_id = endpoint.id
              AND (next_try_at <= ${at} OR is_early))
            OR EXISTS (SELECT FROM webhook_replays WHERE endpoint_id = endpoint.id AND next_try_at <= ${at}))
        LIMIT ${limit} FOR UPDATE SKIP LOCKED
      )
      UPDATE webhook_endpoints AS endpoint SET fencing_token = fencing_token + 1, lease_until = ${later(lease)}
      FROM due WHERE endpoint.id = due.id
      RETURNING endpoint.id, url, types, failed_in_a_row, failing_since, fencing_token, ${signing(at)}`
    return rows.map((row): EndpointClaim => {
      const health: EndpointHealth = {
        failedInARow: row.failed_in_a_row,
        failingSince: row.failing_since === null ? undefined : instant(row.failing_since),
        // Over, or it would not have been claimed.
        restsUntil: undefined,
        askedUntil: undefined,
        disabled: undefined,
      }
      const secrets = secretsOf(vault, row.secrets)
      return { id: row.id, url: row.url, types: row.types, secrets, health, fencingToken: row.fencing_token }
    })
  },

  // A try that the page's commit has logged already, although its answer was lost, is not logged twice.
  logLostTries: async (claim, tries) => {
    if (tries.length > 0) await logTries(sql, claim, tries)
    const found = await sql.$queryRaw<unknown[]>`SELECT FROM webhook_endpoints WHERE id = ${claim.id}::uuid`
    return found.length > 0 ? 'changed' : 'removed'
  },

  releaseEndpoint: async ({ id, fencingToken }) => {
    await sql.$executeRaw`
      UPDATE webhook_endpoints SET lease_until = NULL WHERE id = ${id}::uuid AND fencing_token = ${fencingToken}`
  },

  readPage: async (claim, now, limit) => {
    if (isAway(claim.health)) return readProbe(sql, claim, now)
    const waiting = await readBacklog(sql, claim, now, { limit })
    const fresh = await readFeed(sql, claim, limit)
    const replay = await readReplay(sql, claim, now, { limit, isProbe: false })
    return { ...fresh, items: inTurn(fresh.items, waiting.items), untold: waiting.untold, replay }
  },

  commitPage: async (claim, page) =>
    transaction(async (tx) => {
      const secrets = secretsOf(vault, await moveEndpoint(tx, claim, page))
      if (page.tries.length > 0) await logTries(tx, claim, page.tries)
      for (const change of page.backlogs) await changeBacklog(tx, claim, page, change)
      // Tried at once, and again at its own time: an endpoint that comes and goes must not use up the ten tries.
      if (page.isBack)
        await tx.$executeRaw`
          UPDATE webhook_backlogs SET is_early = true
          WHERE endpoint_id = ${claim.id}::uuid AND next_try_at > ${page.now.toJSDate()}`
      if (page.replay !== undefined) await moveReplay(tx, claim, page.replay)
      return { ...claim, secrets, health: page.health, fencingToken: claim.fencingToken + 1 }
    }),
})

// Without FOR UPDATE: the application's role may delete from the log, and not change it.
export const webhookTryPurge = ({ sql }: Database): Pick<Dispatching, 'purgeWebhookTries'> => ({
  purgeWebhookTries: async (before, limit) => sql.$executeRaw`
    DELETE FROM webhook_deliveries WHERE id = ANY(ARRAY(
      SELECT id FROM webhook_deliveries WHERE at < ${before.toJSDate()} ORDER BY at LIMIT ${limit}::int))`,
})

/**
 * One of each, as long as there are both: what failed before must not use up the time of what is new, nor its ten
 * failures in a row.
 */
const inTurn = (fresh: readonly WebhookItem[], waiting: readonly WebhookItem[]): readonly WebhookItem[] =>
  Array.from({ length: Math.max(fresh.length, waiting.length) }, (_, index) => [fresh[index], waiting[index]])
    .flat()
    .filter(isItem)

/**
 * Of an endpoint that is away, one event: in turn the feed's next and one of those that it did not take, each time
 * another. A receiver that rejects some events for ever, and takes all others, is found to be back by that. A probe
 * of the feed that fails makes a row, so that the next one tries another event.
 */
const readProbe = async (sql: Statements, claim: EndpointClaim, now: WebhookCommit['now']): Promise<WebhookPage> => {
  const fresh = await readFeed(sql, claim, 1)
  // The cursor stands at the feed's next event, and passes only what is nothing to the endpoint.
  const end = fresh.items.length > 0 ? fresh.start : fresh.end
  const asProbe = fresh.items.map((item) => ({ ...item, isProbe: true }))
  if (asProbe.length > 0 && probesFeed(claim.health)) return { ...fresh, items: asProbe, untold: [], replay: undefined }
  const waiting = await readBacklog(sql, claim, now, { limit: 1, probe: claim.health.failedInARow })
  if (waiting.items.length > 0 || waiting.untold.length > 0)
    return { ...waiting, start: fresh.start, end, replay: undefined }
  const replay = asProbe.length > 0 ? undefined : await readReplay(sql, claim, now, { limit: 1, isProbe: true })
  return { ...fresh, items: asProbe, untold: [], replay }
}

/** What is due; or, for the probe of this number, one of all that wait: every row has its turn. */
const readBacklog = async (
  sql: Statements,
  { id, types }: EndpointClaim,
  now: WebhookCommit['now'],
  { limit, probe }: { limit: number; probe?: number },
): Promise<Pick<WebhookPage, 'items' | 'untold'>> => {
  const due =
    probe === undefined
      ? Prisma.sql`(backlog.next_try_at <= ${now.toJSDate()} OR backlog.is_early)`
      : Prisma.sql`backlog.seq IS NOT NULL`
  const turn =
    probe === undefined
      ? Prisma.empty
      : Prisma.sql`OFFSET (SELECT ${Math.floor(probe / 2)}::int % greatest(count(*), 1) FROM webhook_backlogs
          WHERE endpoint_id = ${id}::uuid AND seq IS NOT NULL)`
  const rows = await sql.$queryRaw<BacklogRow[]>`
    SELECT ${eventColumns(Prisma.raw('backlog.gaps'))}, backlog.failed_tries,
      backlog.next_try_at
    FROM webhook_backlogs AS backlog
    JOIN ${FEED} ON event.consent_id = backlog.consent_id AND event.seq = backlog.seq
    WHERE backlog.endpoint_id = ${id}::uuid AND ${due}
    ORDER BY backlog.next_try_at, backlog.consent_id LIMIT ${limit} ${turn}`
  const wanted = new Set(storedTypesOf(types))
  const read = rows.map((row) => {
    const dueAt = instant(row.next_try_at)
    const isProbe = probe !== undefined || dueAt > now
    const item = wanted.has(row.type)
      ? toItem(row, { source: 'backlog', failedTries: row.failed_tries, dueAt, isProbe })
      : undefined
    return { row, item }
  })
  const untold = read.flatMap(({ row, item }) =>
    item === undefined
      ? [{ consentId: row.consent_id, seq: row.seq, gaps: (row.gap_events ?? []).map(({ seq }) => seq) }]
      : [],
  )
  return { items: read.map(({ item }) => item).filter(isItem), untold }
}

/** Consents of which an event waits are left out: the cursor passes what comes after it, and the backlog finds it. */
const readFeed = async (
  sql: Statements,
  { id, types }: EndpointClaim,
  limit: number,
): Promise<{ items: WebhookItem[]; start: bigint; end: bigint }> => {
  const rows = await sql.$queryRaw<(EventRow & { start: string; until: string })[]>`
    WITH scanned AS (
      SELECT cursor AS start, least(cursor + ${SCANNED}, greatest(cursor, (SELECT max(position) FROM event_positions)))
        AS until
      FROM webhook_endpoints WHERE id = ${id}::uuid
    )
    SELECT scanned.start, scanned.until, page.*
    FROM scanned LEFT JOIN LATERAL (
      SELECT ${eventColumns(Prisma.raw('backlog.gaps'))}
      FROM ${FEED}
      LEFT JOIN webhook_backlogs AS backlog ON backlog.endpoint_id = ${id}::uuid
        AND backlog.consent_id = feed.consent_id
      WHERE feed.position > scanned.start AND feed.position <= scanned.until
        AND event.type = ANY(${storedTypesOf(types)}::text[]) AND backlog.seq IS NULL
      ORDER BY feed.position LIMIT ${limit}
    ) AS page ON true
    ORDER BY page.position`
  const [first] = rows
  if (first === undefined) throw new StaleClaim()
  const found = rows.filter(({ position }) => position !== null)
  const end = found.length === limit ? found.at(-1)?.position : first.until
  return {
    items: tellingOnce(found.map((row) => toItem(row, { source: 'feed' })).filter(isItem)),
    start: BigInt(first.start),
    end: BigInt(end ?? first.until),
  }
}

/** The first event of a consent that is delivered tells of its gaps, and no other. */
const tellingOnce = (items: readonly WebhookItem[]): WebhookItem[] => {
  const told = new Set<string>()
  return items.map((item) => {
    const { consentId } = item.event
    if (told.has(consentId)) return { ...item, gaps: [] }
    told.add(consentId)
    return item
  })
}

interface ReplayRow {
  readonly id: string
  readonly from_at: Date
  readonly to_at: Date
  readonly cursor: string
  readonly last: string
  readonly failed_tries: number
}

/** One replay at a time, the oldest first. What waits for its own next try comes by itself, in its own order. */
const readReplay = async (
  sql: Statements,
  { id, types }: EndpointClaim,
  now: WebhookCommit['now'],
  { limit, isProbe }: { limit: number; isProbe: boolean },
): Promise<WebhookPage['replay']> => {
  const [replay] = await sql.$queryRaw<ReplayRow[]>`
    SELECT * FROM (
      SELECT id, from_at, to_at, cursor, last, failed_tries, next_try_at FROM webhook_replays
      WHERE endpoint_id = ${id}::uuid ORDER BY requested_at, id LIMIT 1
    ) AS oldest WHERE next_try_at <= ${now.toJSDate()}`
  if (replay === undefined) return undefined
  // After a failure its event alone: what comes behind it would be sent again at each try.
  const size = replay.failed_tries > 0 ? 1 : limit
  const { failed_tries: failedTries } = replay
  const [cursor, last] = [BigInt(replay.cursor), BigInt(replay.last)]
  // As of the feed: a replay of few events in a long time must not take longer than a statement may.
  const until = cursor + BigInt(SCANNED) < last ? cursor + BigInt(SCANNED) : last
  const read = sql.$queryRaw<EventRow[]>`
    SELECT ${eventColumns(Prisma.sql`'{}'::int[]`)} FROM ${FEED}
    WHERE feed.position > ${cursor} AND feed.position <= ${until}
      AND event.at >= ${replay.from_at} AND event.at < ${replay.to_at}
      AND event.type = ANY(${storedTypesOf(types)}::text[])
      AND NOT EXISTS (SELECT FROM webhook_backlogs AS backlog WHERE backlog.endpoint_id = ${id}::uuid
        AND backlog.consent_id = event.consent_id AND backlog.seq <= event.seq)
    ORDER BY feed.position LIMIT ${size}`
  try {
    const rows = await read
    const items = rows.map((row) => toItem(row, { source: 'replay', isProbe })).filter(isItem)
    const end = rows.length === size ? BigInt(rows.at(-1)?.position ?? until) : until
    return {
      id: replay.id,
      failedTries,
      items: items.map((item, index) => (index === 0 ? { ...item, failedTries } : item)),
      end,
    }
  } catch (error) {
    // What is new must not wait for a replay that fails.
    return { id: replay.id, failedTries, items: [], end: cursor, error }
  }
}

// Whoever took the endpoint over, or removed it, has changed the fencing token: then nothing of the page is kept. So
// has the commit itself, whose answer may have been lost: the same page is not recorded twice. Answers with the secrets
// as they are now: a rotation must reach a course that has work for hours.
const moveEndpoint = async (
  tx: Statements,
  claim: EndpointClaim,
  { now, lease, cursor, health, delivered, release }: WebhookCommit,
): Promise<SecretRows> => {
  const { failedInARow, failingSince, restsUntil, disabled } = health
  const at = now.toJSDate()
  const [moved] = await tx.$queryRaw<{ secrets: SecretRows }[]>`
    UPDATE webhook_endpoints AS endpoint SET cursor = ${cursor},
      cursor_chain = ${chainAt(Prisma.sql`${cursor}::bigint`)}, fencing_token = fencing_token + 1,
      failed_in_a_row = ${failedInARow},
      failing_since = ${failingSince?.toJSDate() ?? null}::timestamptz,
      rests_until = ${restsUntil?.toJSDate() ?? null}::timestamptz,
      delivered_at = CASE WHEN ${delivered} THEN ${at} ELSE delivered_at END,
      status = ${disabled === undefined ? 'enabled' : 'disabled'}, disabled_reason = ${disabled ?? null},
      disabled_at = ${disabled === undefined ? null : at}::timestamptz,
      lease_until = ${release ? Prisma.sql`NULL` : later(lease)}
    WHERE id = ${claim.id}::uuid AND fencing_token = ${claim.fencingToken} AND status = 'enabled'
    RETURNING ${signing(at)}`
  if (moved === undefined) throw new StaleClaim()
  return moved.secrets
}

const logTries = async (tx: Statements, { id }: EndpointClaim, tries: readonly WebhookTry[]): Promise<void> => {
  const column = <Value>(read: (one: WebhookTry) => Value): Value[] => tries.map(read)
  await tx.$executeRaw`
    INSERT INTO webhook_deliveries (endpoint_id, id, webhook_id, consent_id, seq, type, at, result, attempt,
      status_code, detail, took_ms, is_replay)
    SELECT ${id}::uuid, *
    FROM unnest(${column((one) => one.id)}::uuid[], ${column(({ webhookId }) => webhookId)}::text[],
      ${column(({ consentId }) => consentId)}::uuid[], ${column(({ seq }) => seq)}::int[],
      ${column(({ type }) => type)}::text[], ${column(({ at }) => at.toJSDate())}::timestamptz[],
      ${column(({ result }) => result)}::text[], ${column(({ attempt }) => attempt)}::int[],
      ${column(({ statusCode }) => statusCode ?? null)}::int[], ${column(({ detail }) => detail ?? null)}::text[],
      ${column(({ tookMs }) => tookMs)}::int[], ${column(({ isReplay }) => isReplay)}::boolean[])
    ON CONFLICT DO NOTHING`
}

/**
 * The consent's row: when its event is tried again; or its next event that the cursor has passed; or only what the
 * endpoint was not told of; or none.
 */
const changeBacklog = async (
  tx: Statements,
  { id, types }: EndpointClaim,
  { now, cursor }: WebhookCommit,
  { consentId, seq, gaps, again }: BacklogChange,
): Promise<void> => {
  const next = again === undefined ? await nextWaiting(tx, { types, consentId, after: seq, cursor }) : seq
  if (next === undefined && gaps.length === 0) {
    await tx.$executeRaw`
      DELETE FROM webhook_backlogs WHERE endpoint_id = ${id}::uuid AND consent_id = ${consentId}::uuid`
    return
  }
  const at = next === undefined ? null : (again?.at ?? now).toJSDate()
  await tx.$executeRaw`
    INSERT INTO webhook_backlogs (endpoint_id, consent_id, seq, failed_tries, next_try_at, gaps)
    VALUES (${id}::uuid, ${consentId}::uuid, ${next ?? null}::int, ${again?.failedTries ?? 0}, ${at}::timestamptz,
      ${[...gaps]}::int[])
    ON CONFLICT (endpoint_id, consent_id) DO UPDATE SET seq = excluded.seq, failed_tries = excluded.failed_tries,
      next_try_at = excluded.next_try_at, gaps = excluded.gaps, is_early = false`
}

const nextWaiting = async (
  tx: Statements,
  given: { types: readonly string[]; consentId: string; after: number; cursor: bigint },
): Promise<number | undefined> => {
  const [found] = await tx.$queryRaw<{ next: number | null }[]>`
    SELECT min(event.seq) AS next
    FROM events AS event JOIN event_positions AS feed ON feed.consent_id = event.consent_id AND feed.seq = event.seq
    WHERE event.consent_id = ${given.consentId}::uuid AND event.seq > ${given.after}
      AND event.type = ANY(${storedTypesOf(given.types)}::text[]) AND feed.position <= ${given.cursor}`
  return found?.next ?? undefined
}

const moveReplay = async (
  tx: Statements,
  claim: EndpointClaim,
  { id, cursor, failedTries, at, delivered }: NonNullable<WebhookCommit['replay']>,
): Promise<void> => {
  const [still] = await tx.$queryRaw<unknown[]>`SELECT FROM webhook_replays WHERE id = ${id}::uuid FOR UPDATE`
  // Cancelled meanwhile.
  if (still === undefined) return
  if (delivered.length > 0) await closeGaps(tx, claim, delivered)
  await tx.$executeRaw`
    UPDATE webhook_replays SET cursor = ${cursor}, failed_tries = ${failedTries}, next_try_at = ${at.toJSDate()}
    WHERE id = ${id}::uuid`
  await tx.$executeRaw`DELETE FROM webhook_replays WHERE id = ${id}::uuid AND cursor >= last`
}

/** What a replay has delivered is a gap no more: the consent's next event must not name it. */
const closeGaps = async (
  tx: Statements,
  { id }: EndpointClaim,
  delivered: NonNullable<WebhookCommit['replay']>['delivered'],
): Promise<void> => {
  const [consents, seqs] = [delivered.map(({ consentId }) => consentId), delivered.map(({ seq }) => seq)]
  const closed = await tx.$executeRaw`
    UPDATE webhook_backlogs AS backlog SET gaps = ARRAY(
      SELECT gap FROM unnest(backlog.gaps) AS gap WHERE NOT EXISTS (
        SELECT FROM unnest(${consents}::uuid[], ${seqs}::int[]) AS told(consent_id, seq)
        WHERE told.consent_id = backlog.consent_id AND told.seq = gap) ORDER BY gap)
    WHERE endpoint_id = ${id}::uuid AND consent_id = ANY(${consents}::uuid[]) AND gaps <> '{}'`
  if (closed > 0)
    await tx.$executeRaw`
      DELETE FROM webhook_backlogs WHERE endpoint_id = ${id}::uuid AND seq IS NULL AND gaps = '{}'`
}
