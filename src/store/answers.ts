// Answers of the API that are kept for a day, so that a repeated request is answered as the first was and does nothing.
import { sha256 } from '../crypto/hashing.ts'
import { ANSWERS_LAST } from '../domain/answers-last.ts'
import type { Answered, RepeatableAnswer, RepeatableRequest } from './answers-port.ts'
import type { Database } from './database.ts'
import type { Dispatching } from './port.ts'
import type { Statements } from './statements.ts'

/** NUL stands between the parts: none of them can hold it. */
const idOf = ({ callerId, method, path, idempotencyKey }: RepeatableRequest): Buffer<ArrayBuffer> =>
  sha256([callerId, method, path, idempotencyKey].join('\0'))

interface Kept {
  readonly request: Uint8Array
  readonly status: number
  readonly answer: string
  readonly headers: string | null
}

const answerOf = ({ status, answer, headers }: Kept): RepeatableAnswer => ({
  status,
  body: JSON.parse(answer),
  ...(headers === null ? {} : { headers: JSON.parse(headers) as Record<string, string> }),
})

/**
 * Answers a request once. Its answer is stored in the transaction of the write, so both are there or neither; `write`
 * must do all that it does by the statements that it is given. When it rejects, nothing is stored.
 *
 * Of two requests at once the second must not wait for the first, whose client may have given up on it: a lock of the
 * transaction, which is only tried, tells that the first one is at work. It is taken before the stored answer is looked
 * for, so nobody looks between another's write and its commit.
 */
export const answerOnce = async <Answer extends RepeatableAnswer>(
  db: Database,
  repeatable: RepeatableRequest,
  write: (tx: Statements) => Promise<Answer>,
): Promise<Answered<Answer>> =>
  db.transaction(async (tx): Promise<Answered<Answer>> => {
    const id = idOf(repeatable)
    const request = sha256(repeatable.body)
    const { now } = repeatable
    const [lock] = await tx.$queryRaw<{ mine: boolean }[]>`
      SELECT pg_try_advisory_xact_lock(${id.readBigInt64BE(0)}::bigint) AS mine`
    if (lock?.mine !== true) return { kind: 'in-progress' }
    const [kept] = await tx.$queryRaw<Kept[]>`
      SELECT request, status, answer, headers FROM idempotency_keys
      WHERE id = ${id} AND created_at > ${now.minus(ANSWERS_LAST).toJSDate()}`
    if (kept !== undefined) {
      if (!request.equals(kept.request)) return { kind: 'other-request' }
      return { kind: 'repeated', answer: answerOf(kept) }
    }
    const answer = await write(tx)
    const headers = answer.headers === undefined ? null : JSON.stringify(answer.headers)
    // One that is there is older than a day, and the sweep has not come yet.
    await tx.$executeRaw`
      INSERT INTO idempotency_keys (id, request, status, answer, created_at, headers)
      VALUES (${id}, ${request}, ${answer.status}::int, ${JSON.stringify(answer.body)}, ${now.toJSDate()},
        ${headers}::text)
      ON CONFLICT (id) DO UPDATE SET request = excluded.request, status = excluded.status, answer = excluded.answer,
        created_at = excluded.created_at, headers = excluded.headers`
    return { kind: 'answered', answer }
  })

/** The same database, on which every transaction and every step is part of this transaction. */
export const within = (db: Database, tx: Statements): Database => ({
  ...db,
  sql: tx,
  transaction: async (work) => work(tx),
  step: async (work) => work(tx),
})

export const answerPurge = ({ sql }: Database): Pick<Dispatching, 'purgeAnswers'> => ({
  purgeAnswers: async (before, limit) =>
    sql.$executeRaw`
      DELETE FROM idempotency_keys WHERE id IN (
        SELECT id FROM idempotency_keys WHERE created_at <= ${before.toJSDate()} ORDER BY created_at LIMIT ${limit}::int
        FOR UPDATE SKIP LOCKED
      )`,
})
