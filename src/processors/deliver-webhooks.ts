// Delivers the feed's events to webhooks: each endpoint in a course of its own, so that none waits for another, and
// each consent in its own order. What is due stands in the database; what was sent and not recorded is sent again.
import { randomUUID } from 'node:crypto'
import { type DateTime, Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import { MAX_ENDPOINTS } from '../domain/webhook-limits.ts'
import { webhookBody, webhookId } from '../domain/webhook-message.ts'
import {
  type EndpointHealth,
  healthAfter,
  isAway,
  nextWebhookTry,
  resultOf,
  type WebhookResult,
} from '../domain/webhook-retries.ts'
import { PermanentError, StaleClaim } from '../errors.ts'
import type { Log } from '../log.ts'
import {
  type BacklogChange,
  type DeliveryResult,
  type EndpointClaim,
  type WebhookCommit,
  type WebhookDelivering,
  type WebhookItem,
  type WebhookPage,
  type WebhookTry,
} from '../store/webhook-port.ts'
import type { SendWebhook } from '../webhooks/port.ts'
import { atMost } from './at-most.ts'
import { persist } from './persist.ts'

export interface DeliverWebhooksDeps {
  readonly store: WebhookDelivering
  readonly send: SendWebhook
  readonly clock: Clock
  readonly log: Log
  readonly record: (result: DeliveryResult) => void
}

/** Events read and recorded at once. */
const PAGE = 100
/** Requests to one endpoint at once, each about another consent. */
const AT_ONCE = 8
/**
 * Since the lease was claimed or renewed, no request is begun later: each is over, and recorded, before the lease is,
 * after which another process may serve the endpoint, and would send the consent's next event beside ours.
 */
const BEGINS_FOR_MS = 20_000
const LEASE = Duration.fromObject({ seconds: 60 })
/** How long recording is tried while the database is unavailable: less than what is left of the lease. */
const RECORDS_FOR_MS = 15_000
/** How often it is asked whether there is an endpoint: all that a process without one asks of the database. */
const LOOKS_EVERY_MS = 60_000

/** How many courses ask the database at once: they share its connections with the jobs that renew consents. */
const STORE_CALLS_AT_ONCE = 4

export interface WebhookCourier {
  /** Takes up what is due; what it began goes on after it has resolved. */
  tick(): Promise<void>
  /** Resolves when nothing is under way. */
  idle(): Promise<void>
  /** Takes up nothing more, and abandons requests that are on their way: they are made again. */
  stop(): void
}

export const deliverWebhooks = (deps: DeliverWebhooksDeps): WebhookCourier => {
  const { store, clock, log } = deps
  const stopping = new AbortController()
  const running = new Map<string, Promise<void>>()
  let hasEndpoints = false
  let looksAt = 0

  const turn = atMost(STORE_CALLS_AT_ONCE)
  const inTurns: WebhookDelivering = {
    ...store,
    readPage: async (...given) => turn(async () => store.readPage(...given)),
    commitPage: async (...given) => turn(async () => store.commitPage(...given)),
  }
  const begin = (claim: EndpointClaim, leasedAt: number): void => {
    const run = serveEndpoint({ ...deps, store: inTurns }, claim, { leasedAt, signal: stopping.signal })
      .catch((error: unknown) => {
        // Its lease is not released: the endpoint is taken up again when it has run out.
        if (error instanceof StaleClaim) log.info({ endpoint_id: claim.id }, 'an endpoint of webhooks was removed')
        else log.warn({ endpoint_id: claim.id, err: error }, 'a webhook could not be served: it is taken up again')
      })
      // One that hung past its lease may have been taken up again meanwhile.
      .finally(() => running.get(claim.id) === run && running.delete(claim.id))
    running.set(claim.id, run)
  }
  return {
    tick: async () => {
      if (stopping.signal.aborted) return
      if (performance.now() >= looksAt) {
        hasEndpoints = await store.hasEndpoints()
        looksAt = performance.now() + LOOKS_EVERY_MS
      }
      if (!hasEndpoints) return
      const free = MAX_ENDPOINTS - running.size
      if (free <= 0) return
      const leasedAt = performance.now()
      const claims = await store.claimEndpoints(clock.now(), free, LEASE)
      // A stop that came meanwhile does not wait for what would be begun now.
      if (stopping.signal.aborted) await Promise.all(claims.map(async (claim) => store.releaseEndpoint(claim)))
      else for (const claim of claims) begin(claim, leasedAt)
    },
    idle: async () => void (await Promise.all(running.values())),
    stop: () => stopping.abort(),
  }
}

const unlessLost = (error: unknown): undefined => {
  if (!(error instanceof StaleClaim)) throw error
}

const lostBecause = {
  removed: 'an endpoint of webhooks was removed while it was served',
  changed: 'an endpoint of webhooks was taken over, or enabled, while it was served',
} as const

/** Serves one endpoint until nothing is due, it wants a rest, or the process stops. */
const serveEndpoint = async (
  deps: DeliverWebhooksDeps,
  claimed: EndpointClaim,
  { leasedAt: claimedAt, signal }: { leasedAt: number; signal: AbortSignal },
): Promise<void> => {
  const { store, clock, log } = deps
  let leasedAt = claimedAt
  for (let claim = claimed; ;) {
    // Nothing leaves without a signature.
    if (claim.secrets.length === 0) throw new PermanentError('decryption-failed')
    const page = await store.readPage(claim, clock.now(), PAGE)
    if (page.replay?.error !== undefined)
      log.warn(
        { endpoint_id: claim.id, replay_id: page.replay.id, err: page.replay.error },
        'a replay of webhooks could not be read: it is tried again, and what is new goes on',
      )
    const sent = await sendPage(deps, claim, page, { endsAt: leasedAt + BEGINS_FOR_MS, signal })
    const commit = commitOf(claim, page, sent, clock.now())
    const isDone = isEmpty(page) || isStopped(sent, clock.now()) || signal.aborted
    const served = claim
    // From before it is asked for: the lease begins within the statement, at a moment that only the database knows.
    leasedAt = performance.now()
    const next = await persist(
      async () => store.commitPage(served, { ...commit, release: isDone }),
      AbortSignal.timeout(RECORDS_FOR_MS),
    ).catch(unlessLost)
    if (next === undefined) {
      const why = await store.logLostTries(served, commit.tries)
      log.info({ endpoint_id: claim.id }, lostBecause[why])
      return
    }
    claim = next
    for (const { result } of commit.tries) deps.record(result)
    for (const { consentId, seq } of commit.tries.filter(({ result }) => result === 'given-up'))
      log.warn({ endpoint_id: claim.id, consent_id: consentId, seq }, 'a webhook was given up after its last try')
    const { disabled } = sent.health
    if (disabled !== undefined)
      log.warn({ endpoint_id: claim.id, about: disabled }, 'an endpoint of webhooks was disabled: see the runbook')
    if (isDone) return
  }
}

/** A page without an event may still have taken the cursor on, over what the endpoint does not want. */
const isEmpty = ({ items, untold, replay, start, end }: WebhookPage): boolean =>
  items.length === 0 && untold.length === 0 && (replay === undefined || replay.error !== undefined) && start === end

const isStopped = ({ health }: Sent, now: DateTime): boolean =>
  health.disabled !== undefined || (health.restsUntil !== undefined && health.restsUntil > now)

interface Tried {
  readonly item: WebhookItem
  /** `tried again` at this time; undefined: given up. */
  readonly result: WebhookResult
  readonly log: WebhookTry
  readonly nextTry: DateTime | undefined
}

interface Sent {
  readonly tried: readonly Tried[]
  readonly health: EndpointHealth
}

const byConsent = (items: readonly WebhookItem[]): readonly (readonly WebhookItem[])[] => [
  ...Map.groupBy(items, ({ event }) => event.consentId).values(),
]

const sendPage = async (
  deps: DeliverWebhooksDeps,
  claim: EndpointClaim,
  { items, replay }: WebhookPage,
  { endsAt, signal }: { endsAt: number; signal: AbortSignal },
): Promise<Sent> => {
  const { clock } = deps
  const wasAway = isAway(claim.health)
  const tried: Tried[] = []
  let { health } = claim
  const mayBegin = (): boolean =>
    !signal.aborted &&
    performance.now() < endsAt &&
    !isStopped({ tried, health }, clock.now()) &&
    (wasAway || !isAway(health))

  /** Whether the consent's next event may follow. */
  const tryOne = async (item: WebhookItem): Promise<boolean> => {
    const one = await sendOne(deps, claim, item, signal)
    if (one === undefined) return false
    tried.push(one)
    health = healthAfter(health, one.result, { now: one.log.at, key: claim.id, isProbe: wasAway })
    return one.result.kind === 'delivered'
  }
  const sendAll = async (some: readonly WebhookItem[]): Promise<void> => {
    const waiting = byConsent(some).values()
    const lane = async (): Promise<void> => {
      for (const chain of waiting)
        for (const item of chain) {
          if (!mayBegin()) return
          if (!(await tryOne(item))) break
        }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, lane))
  }
  await sendAll(items)
  if (replay !== undefined) await sendAll(replay.items)
  return { tried, health }
}

/** Undefined if the request was cut off because the process stops. */
const sendOne = async (
  { send, clock }: DeliverWebhooksDeps,
  claim: EndpointClaim,
  item: WebhookItem,
  signal: AbortSignal,
): Promise<Tried | undefined> => {
  const { event, gaps, failedTries, dueAt, isProbe, source } = item
  const { consentId, seq, type } = event
  const id = webhookId(event)
  const body = webhookBody(event, gaps)
  const reply = await send({ url: claim.url, id, body, secrets: claim.secrets, sentAt: clock.now().toJSDate() }, signal)
  if (reply.failure === 'stopped') return undefined
  const now = clock.now()
  const result = resultOf(reply.status, reply.retryAfterMs)
  const failed = failedTries + (isProbe ? 0 : 1)
  const nextTry =
    result.kind === 'delivered'
      ? undefined
      : result.kind === 'gone' || isProbe
        ? (dueAt ?? now)
        : nextWebhookTry(failed, {
            now,
            key: `${claim.id} ${id}`,
            retryAfterMs: result.retryAfterMs,
            isReplay: source === 'replay',
          })
  return {
    item,
    result,
    nextTry,
    log: {
      id: randomUUID(),
      webhookId: id,
      consentId,
      seq,
      type,
      at: now,
      result: result.kind === 'delivered' ? 'delivered' : nextTry === undefined ? 'given-up' : 'failed',
      attempt: failedTries + 1,
      statusCode: reply.status,
      detail: reply.failure,
      tookMs: reply.tookMs,
      isReplay: source === 'replay',
    },
  }
}

const commitOf = (
  claim: EndpointClaim,
  { items, untold, end, replay }: WebhookPage,
  { tried, health }: Sent,
  now: DateTime,
): Omit<WebhookCommit, 'release'> => {
  const fromFeed = items.filter(({ source }) => source === 'feed')
  const delivered = tried.some(({ result }) => result.kind === 'delivered')
  return {
    now,
    lease: LEASE,
    cursor: cursorAfter(fromFeed, tried, end),
    health,
    delivered,
    isBack: delivered && isAway(claim.health) && !isAway(health),
    backlogs: [
      ...untold.map((event) => ({ ...event, again: undefined })),
      ...byConsent(tried.map(({ item }) => item).filter(({ source }) => source !== 'replay')).flatMap(
        (chain) => backlogOf(chain, tried) ?? [],
      ),
    ],
    tries: tried.map(({ log }) => log),
    replay: replay && replayAfter(replay, tried, now),
  }
}

/** Before the first event that was not tried: whatever comes after it in the feed may be sent once more. */
const cursorAfter = (fromFeed: readonly WebhookItem[], tried: readonly Tried[], end: bigint): bigint => {
  const dealtWith = new Set(tried.map(({ item }) => item))
  const stopped = new Set(
    tried.filter(({ result }) => result.kind !== 'delivered').map(({ item }) => item.event.consentId),
  )
  // What follows a failed event of the same consent waits behind it.
  const left = fromFeed.find((item) => !dealtWith.has(item) && !stopped.has(item.event.consentId))
  return left === undefined ? end : left.position - 1n
}

/** What becomes of a consent whose events were tried; undefined where all is well and was before. */
const backlogOf = (chain: readonly WebhookItem[], tried: readonly Tried[]): BacklogChange | undefined => {
  let change: BacklogChange | undefined
  for (const one of chain.map((item) => tried.find((other) => other.item === item))) {
    if (one === undefined) break
    const { item, result, nextTry } = one
    const { consentId, seq } = item.event
    const untold = change === undefined ? item.gaps.map((gap) => gap.seq) : change.gaps
    if (result.kind === 'delivered') {
      if (item.source === 'backlog' || item.gaps.length > 0) change = { consentId, seq, gaps: [], again: undefined }
    } else if (nextTry === undefined) change = { consentId, seq, gaps: [...untold, seq], again: undefined }
    // A probe counts for none: the event's own time comes as it would have.
    else
      change = {
        consentId,
        seq,
        gaps: untold,
        again: { failedTries: item.failedTries + (item.isProbe ? 0 : 1), at: nextTry },
      }
  }
  return change
}

/** When a replay that could not be read is read again: a statement that takes too long must not come every round. */
const READS_AGAIN = Duration.fromObject({ minutes: 5 })

/** A replay goes on at the first event that was not taken; after its last try it passes that one over. */
const replayAfter = (
  replay: NonNullable<WebhookPage['replay']>,
  tried: readonly Tried[],
  now: DateTime,
): NonNullable<WebhookCommit['replay']> => {
  if (replay.error !== undefined)
    return {
      id: replay.id,
      delivered: [],
      cursor: replay.end,
      failedTries: replay.failedTries,
      at: now.plus(READS_AGAIN),
    }
  const resultOfItem = new Map(tried.map((one) => [one.item, one]))
  const isTaken = (item: WebhookItem): boolean => {
    const one = resultOfItem.get(item)
    return one !== undefined && (one.result.kind === 'delivered' || one.nextTry === undefined)
  }
  const delivered = replay.items
    .filter((item) => resultOfItem.get(item)?.result.kind === 'delivered')
    .map(({ event: { consentId, seq } }) => ({ consentId, seq }))
  const head = replay.items.find((item) => !isTaken(item))
  const common = { id: replay.id, delivered }
  if (head === undefined) return { ...common, cursor: replay.end, failedTries: 0, at: now }
  const at = resultOfItem.get(head)?.nextTry
  const before = head === replay.items[0] ? replay.failedTries : 0
  const failedTries = at === undefined || head.isProbe ? before : before + 1
  return { ...common, cursor: head.position - 1n, failedTries, at: at ?? now }
}
