// Access tokens that a company asks for, and the refreshes that are made for them: one at a time for each connection,
// over all processes. The marks of a refresh are in the consent's row, so that every other step of the consent, which
// compares that row, meets them (decision 0061).
import type { DateTime } from 'luxon'
import { nextAccessStep } from '../domain/access-token.ts'
import { keepsConnection, routeNames } from '../domain/routes.ts'
import { judgeRejection, type Rejection } from '../domain/token-rejection.ts'
import { tokenOrder } from '../domain/token-order.ts'
import { PermanentError, type ErrorCode } from '../errors.ts'
import { type Consent as ConsentRow, Prisma } from '../generated/prisma/client.ts'
import { accessCell } from './access-cache.ts'
import type { AccessState, AccessTokens, Reader, Refreshed } from './access-tokens-port.ts'
import { isUnsettled, unsettled } from './authorisation-row.ts'
import { allOf, later, recordIn } from './columns.ts'
import type { Database } from './database.ts'
import { appendEvent } from './events.ts'
import { lockConsent, released } from './locks.ts'
import {
  acceptCandidateToken,
  candidateOf,
  currentOf,
  dropCandidate,
  isStill,
  keepAsCandidate,
  replaceToken,
  tokenCell,
} from './refresh-token.ts'
import { instant, toConsent, withoutFailure } from './rows.ts'
import type { Statements } from './statements.ts'
import { changeRecord, find } from './tables.ts'

/** Routes by which a code changes the tokens of the connection itself. */
const KEEPING = Prisma.raw(
  `(${routeNames
    .filter(keepsConnection)
    .map((name) => `'${name}'`)
    .join(', ')})`,
)
const POLLED = Prisma.raw(`(${unsettled.map((status) => `'${status}'`).join(', ')})`)

export const accessTokens = (db: Database): AccessTokens => ({
  readAccess: async (consentId, reader, now) => readAccess(db, db.sql, consentId, reader, now),

  noteShown: async (consentId, reader, now) =>
    db.transaction(async (tx) => {
      const consent = await lockConsent(tx, consentId)
      const state = consent && (await readAccess(db, tx, consentId, reader, now))
      if (consent === undefined || state === undefined || state.isNoted) return
      await noteReader(tx, consent, { ...reader, now, isRefreshed: false })
    }),

  beginRefresh: async (consentId, reader, now, lease) =>
    db.transaction(async (tx) => {
      // First the lock, then what else is so: whoever waited for the lock sees what its holder has begun.
      const consent = await lockConsent(tx, consentId)
      const state = consent && (await readAccess(db, tx, consentId, reader, now))
      if (consent === undefined || state === undefined || nextAccessStep(state, now).do !== 'refresh') return undefined
      const tokens = tokensOf(db, consent)
      const callNo = consent.tokenCallNo + 1
      await changeRecord(tx, 'consent', consentId, { tokenCallNo: callNo, refreshingUntil: later(lease) })
      await tx.$executeRaw`
        INSERT INTO access_tokens (consent_id, doubt_since) VALUES (${consentId}::uuid, ${now.toJSDate()})
        ON CONFLICT (consent_id) DO UPDATE SET retry_at = NULL, retry_code = NULL,
          doubt_since = coalesce(access_tokens.doubt_since, excluded.doubt_since)`
      return { callNo, tokens, state }
    }),

  storeRefreshed: async (refreshed, reader) =>
    db.transaction(async (tx) => {
      const { consentId, callNo, now } = refreshed
      const before = await lockConsent(tx, consentId)
      if (before === undefined) return
      const [kept] = await tx.$queryRaw<{ call_no: number; version: number }[]>`
        SELECT call_no, version FROM access_tokens WHERE consent_id = ${consentId}::uuid`
      // Stored already: this call repeats one that was committed and not acknowledged.
      if (kept === undefined || kept.call_no === callNo) return
      await storeToken(tx, db, before, refreshed)
      const consent = (await lockConsent(tx, consentId)) ?? before
      // Where another call was begun since, the access token may have ended already: it is answered, and not kept.
      if (consent.tokenCallNo === callNo) {
        await keep(tx, db, consent, { ...refreshed, version: kept.version + 1 })
        await changeRecord(tx, 'consent', consentId, { refreshingUntil: null })
      }
      await wake(tx, consent, now)
      await noteReader(tx, consent, { ...reader, now, isRefreshed: true })
    }),

  failRefresh: async (consentId, callNo, { doubtSince, mayHaveEnded, retryAt, code }) =>
    db.transaction(async (tx) => {
      const consent = await lockConsent(tx, consentId)
      if (consent?.tokenCallNo !== callNo) return
      await changeRecord(tx, 'consent', consentId, { refreshingUntil: null })
      // A call that was certainly not processed has not ended the access token before it.
      await tx.$executeRaw`
        UPDATE access_tokens SET doubt_since = ${doubtSince?.toJSDate() ?? null}::timestamptz,
          retry_at = ${retryAt.toJSDate()}, retry_code = ${code},
          call_no = call_no + CASE WHEN call_no = ${callNo - 1}::int AND NOT ${mayHaveEnded}::bool THEN 1 ELSE 0 END
        WHERE consent_id = ${consentId}::uuid`
    }),

  rejectRefresh: async (consentId, { callNo, tokens, state }, { now, detail, blames }) =>
    db.transaction(async (tx): Promise<Rejection | 'says-nothing'> => {
      const consent = await lockConsent(tx, consentId)
      if (consent === undefined) return 'says-nothing'
      if (consent.tokenCallNo === callNo) await changeRecord(tx, 'consent', consentId, { refreshingUntil: null })
      // This refresh was answered; what became of one before it may be why this one was refused.
      await tx.$executeRaw`
        UPDATE access_tokens SET doubt_since = ${state.inDoubtSince?.toJSDate() ?? null}::timestamptz
        WHERE consent_id = ${consentId}::uuid`
      const attempts = await find(tx, 'authorisation', { consentId, status: { in: [...unsettled] } })
      const isSame = tokens.every((ref) => isStill(consent, ref)) && tokens.length === tokensOf(db, consent).length
      if (!isSame || attempts.some(isUnsettled)) {
        await rest(tx, consentId, now.plus(UNSETTLED_RESTS_MS), 'token-invalid')
        return 'says-nothing'
      }
      const judged = judgeRejection(toConsent(consent), now)
      const rejection: Rejection =
        judged.tells && !blames ? { until: now.plus(UNBLAMED_RESTS_MS), isOwn: false, tells: false } : judged
      await changeRecord(tx, 'consent', consentId, {
        lastErrorCode: 'token-rejected' satisfies ErrorCode,
        retryAfter: rejection.until.toJSDate(),
        ...(rejection.tells ? { tokenRejectedAt: now.toJSDate() } : {}),
      })
      if (rejection.tells)
        await appendEvent(tx, consent, { type: 'token.rejected', at: now, actor: 'system', reason: detail })
      return rejection
    }),

  beginSettling: async (consentId) => {
    // Locks first, and sees the row as it is then: a refresh that is being begun has committed its mark by that time.
    const [row] = await db.sql.$queryRaw<{ free: boolean }[]>`
      WITH locked AS (
        SELECT id, token_call_no, coalesce(refreshing_until > clock_timestamp(), false) AS refreshing
        FROM consents WHERE id = ${consentId}::uuid FOR NO KEY UPDATE
      ), counted AS (
        UPDATE consents SET token_call_no = consents.token_call_no + 1 FROM locked
        WHERE consents.id = locked.id AND locked.token_call_no > 0 AND NOT locked.refreshing
        RETURNING consents.id
      ), cleared AS (
        UPDATE access_tokens SET access_token = NULL, ends_at = NULL FROM counted WHERE consent_id = counted.id
      )
      SELECT NOT refreshing AS free FROM locked`
    return row?.free ?? true
  },

  keepAccessToken: async (consentId, { callNo, accessToken, endsAt }) =>
    db.transaction(async (tx) => {
      const consent = await lockConsent(tx, consentId)
      if (consent?.tokenCallNo !== callNo) return
      const [kept] = await tx.$queryRaw<{ version: number }[]>`
        SELECT version FROM access_tokens WHERE consent_id = ${consentId}::uuid`
      if (kept === undefined) return
      await keep(tx, db, consent, { callNo, accessToken, endsAt, version: kept.version + 1 })
    }),
})

/** While a code of the consent is not settled, a refusal is no verdict: asked again after this time. */
const UNSETTLED_RESTS_MS = 60_000
/** As long as the circuit of links is open, no connection is blamed; it tries once a minute. */
const UNBLAMED_RESTS_MS = 60_000

interface AccessRow {
  readonly access_token: string | null
  readonly version: number
  readonly call_no: number
  readonly token_version: number
  readonly ends_at: string | null
  readonly doubt_since: string | null
  readonly retry_at: string | null
  readonly retry_code: string | null
  readonly shown: Readonly<Record<string, string>>
}

const at = (text: string | null | undefined): DateTime | undefined =>
  text === null || text === undefined ? undefined : instant(new Date(text))

/** The hour of a clock, as a text: one event an hour names a reader of tokens that were there. */
const hourOf = (now: DateTime): string => now.toUTC().startOf('hour').toISO() ?? ''

const readAccess = async (
  db: Database,
  on: Statements,
  consentId: string,
  { by, rejected }: Reader,
  now: DateTime,
): Promise<AccessState | undefined> => {
  const [found] = await on.$queryRaw<Record<string, unknown>[]>`
    SELECT ${allOf('consent')}, to_json(access) AS access,
      coalesce(consent.refreshing_until > clock_timestamp(), false) AS refreshing,
      EXISTS (
        SELECT FROM authorisations AS attempt WHERE attempt.consent_id = consent.id AND attempt.status IN ${POLLED}
          AND (attempt.status = 'exchanging' OR attempt.lease_until > clock_timestamp()
            OR (attempt.pending_refresh_token IS NOT NULL AND attempt.route IN ${KEEPING}))
      ) AS code_first
    FROM consents AS consent LEFT JOIN access_tokens AS access ON access.consent_id = consent.id
    WHERE consent.id = ${consentId}::uuid`
  const row = found && recordIn('consent', 'consent', found)
  if (found === undefined || row === undefined) return undefined
  const access = found['access'] as AccessRow | null
  const until = at(access?.retry_at)
  const cached = access === null ? undefined : cachedOf(db, row, access)
  const isDead = cached !== undefined && cached.token.reveal() === rejected?.reveal()
  return {
    consent: toConsent(row),
    cached: isDead ? undefined : cached,
    rests: until && { until, code: access?.retry_code as ErrorCode },
    inDoubtSince: at(access?.doubt_since),
    isRefreshing: found['refreshing'] === true,
    isCodeFirst: found['code_first'] === true,
    isNoted: access?.shown[by] === hourOf(now),
  }
}

/** A value that does not decrypt is as if it were not there: the next refresh brings another one. */
const cachedOf = (db: Database, consent: ConsentRow, access: AccessRow): AccessState['cached'] => {
  const endsAt = at(access.ends_at)
  if (access.access_token === null || endsAt === undefined) return undefined
  const isLatest = access.call_no === consent.tokenCallNo && access.token_version === consent.tokenVersion
  try {
    return { token: db.vault.open(access.access_token, accessCell(consent.id, access.version)), endsAt, isLatest }
  } catch (error) {
    if (error instanceof PermanentError) return undefined
    throw error
  }
}

/** The tokens that decrypt, in the order in which to try them. Throws if none does. */
const tokensOf = (db: Database, consent: ConsentRow) => {
  const tokens = tokenOrder(toConsent(consent)).flatMap((place) => {
    const token = place === 'current' ? currentOf(db.vault, consent) : candidateOf(db.vault, consent)
    const version = place === 'current' ? consent.tokenVersion : consent.candidateVersion
    return token === undefined ? [] : [{ place, version, token }]
  })
  // Opened once more for its error, which says why it does not decrypt.
  if (tokens.length === 0) db.vault.open(consent.refreshToken, tokenCell(consent.id, consent.tokenVersion))
  return tokens
}

const storeToken = async (
  tx: Statements,
  { vault }: Database,
  consent: ConsentRow,
  { used, refused, refreshToken, now }: Refreshed,
): Promise<void> => {
  if (used.place === 'current') {
    const isStored = await replaceToken(tx, vault, consent, used.version, refreshToken, now)
    if (!isStored && refreshToken !== undefined) await keepAsCandidate(tx, vault, consent, refreshToken, now)
    // Refused just before the other one was accepted, by the same call: the provider has shown that it is dead.
    const dead = refused.find((ref) => ref.place === 'candidate' && isStill(consent, ref))
    if (dead !== undefined && isStored) await dropCandidate(tx, vault, consent, 'rejected', now)
    return
  }
  const refusedVersion = refused.find(({ place }) => place === 'current')?.version
  const accepted = { version: used.version, refusedVersion, used: used.token, token: refreshToken, now }
  const current = await acceptCandidateToken(tx, vault, consent, accepted)
  if (current === 'gone' && refreshToken !== undefined) await keepAsCandidate(tx, vault, consent, refreshToken, now)
}

const keep = async (
  tx: Statements,
  { vault }: Database,
  { id, tokenVersion }: ConsentRow,
  kept: Pick<Refreshed, 'callNo' | 'accessToken' | 'endsAt'> & { readonly version: number },
): Promise<void> => {
  const { callNo, accessToken, endsAt, version } = kept
  await tx.$executeRaw`
    UPDATE access_tokens SET access_token = ${vault.seal(accessToken, accessCell(id, version))},
      ends_at = ${endsAt.toJSDate()}, version = ${version}::int, call_no = ${callNo}::int,
      token_version = ${tokenVersion}::int, doubt_since = NULL, retry_at = NULL, retry_code = NULL
    WHERE consent_id = ${id}::uuid`
}

const rest = async (tx: Statements, consentId: string, until: DateTime, code: ErrorCode): Promise<void> => {
  await tx.$executeRaw`
    UPDATE access_tokens SET retry_at = ${until.toJSDate()}, retry_code = ${code} WHERE consent_id = ${consentId}::uuid`
}

/** A consent that waits for a token has one that works: its links need not wait until tomorrow. */
const wake = async (tx: Statements, consent: ConsentRow, now: DateTime): Promise<void> => {
  if (consent.lastErrorCode !== 'token-rejected') return
  await changeRecord(tx, 'consent', consent.id, {
    ...withoutFailure,
    ...(consent.status === 'active'
      ? {
          ...released,
          nextActionAt: now.toJSDate(),
          nextActionReason: 'the provider accepted a token',
          fencingToken: { increment: 1 },
        }
      : {}),
  })
}

/** The event of a reader, and the note that this hour has one; notes of other hours are dropped. */
const noteReader = async (
  tx: Statements,
  consent: ConsentRow,
  { by, reason, now, isRefreshed }: Reader & { readonly now: DateTime; readonly isRefreshed: boolean },
): Promise<void> => {
  const hour = hourOf(now)
  await tx.$executeRaw`
    UPDATE access_tokens SET shown = jsonb_build_object(${by}::text, ${hour}::text) || coalesce((
        SELECT jsonb_object_agg(key, value) FROM jsonb_each(shown) WHERE value = to_jsonb(${hour}::text)
      ), '{}')
    WHERE consent_id = ${consent.id}::uuid`
  await appendEvent(tx, consent, {
    type: 'access-token.shown',
    at: now,
    actor: 'company',
    reason,
    data: { by, refreshed: isRefreshed },
  })
}
