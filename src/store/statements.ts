// Statements in plain SQL on connections of the pool, without Prisma in between: the loop runs on these, because
// Prisma's own transactions cost three times the CPU (decision 0050).
import { sha256Hex } from '../crypto/hashing.ts'
import { StaleClaim } from '../errors.ts'
import { inTransaction, type SessionClient } from '../postgres/client.ts'
import { codesOf } from '../postgres/error-codes.ts'
import type { Pool } from '../postgres/pool.ts'
import { SPOILT_SESSION } from './database-errors.ts'
import { Prisma } from '../generated/prisma/client.ts'
import { type PendingWrites, pendingWrites, type SeenRow, STEP_BEGINS, STEP_REFUSED } from './pending-writes.ts'

type Text = TemplateStringsArray | Prisma.Sql

export interface SeenRows {
  note(row: SeenRow): void
  /** The rows noted were read before the step, and are perhaps not as they are now. */
  readEarlier(): void
  /** Called when the step is committed, with what has become of the records that it changed. */
  afterwards(listener: (written: Written) => void): void
}

export interface Written {
  /** The records as rows of their tables. */
  readonly records: readonly (Readonly<Record<string, unknown>> & { readonly id: string })[]
  /** The `xmin` of each. */
  readonly version: string
}

/**
 * Where statements run: each by itself, or all in one transaction. The names are Prisma's, so that a function that is
 * given a transaction of Prisma's can be called too.
 */
export interface Statements {
  /** The rows, with the names of their columns. */
  $queryRaw<Rows>(text: Text, ...values: unknown[]): Promise<Rows>
  /** The number of rows that were written. */
  $executeRaw(text: Text, ...values: unknown[]): Promise<number>
  /** In a transaction or a step of ours: takes writes that nobody has to wait for. */
  readonly pending?: PendingWrites
  /** In a step: where locks.ts notes what it has read instead of locking it. */
  readonly seen?: SeenRows
}

export interface SqlConnections {
  /** Each statement is a transaction of its own. */
  readonly sql: Statements
  /** One transaction: commits what `work` has written, or, when it rejects, nothing. */
  transaction<Result>(work: (tx: Statements) => Promise<Result>): Promise<Result>
  /**
   * The same without waiting for locks: `work` reads records as they are, and what it writes is one statement, which
   * writes nothing unless those records are still as they were read. If they are not, or if `work` does what one
   * statement cannot (a write that answers, a read after a write), it is run again as a transaction, with locks. So
   * `work` must not do anything outside the database.
   */
  step<Result>(work: (tx: Statements) => Promise<Result>): Promise<Result>
}

const sqlOf = (text: Text, values: unknown[]): Prisma.Sql =>
  'text' in text ? text : Prisma.sql(text, ...(values as Parameters<typeof Prisma.sql>[1][]))

interface Result {
  readonly rows: unknown[]
  readonly rowCount: number | null
}

type Client = Pick<SessionClient, 'query' | 'isLent'>

/**
 * Each text is planned once in a session that is ours alone, and has a name there; a pooler would lend the session to
 * others, who do not know the name. There are some hundred texts, because no value is part of one. But a batch of rows
 * has a text for each set of columns in which its rows differ: beyond this number, texts are planned each time.
 */
const MAX_NAMES = 1000
const names = new Map<string, string>()
const nameOf = (text: string): string | undefined => {
  const known = names.get(text)
  if (known !== undefined) return known
  if (names.size >= MAX_NAMES) return undefined
  const name = `${text.startsWith(STEP_BEGINS) ? 'step' : 'statement'}_${sha256Hex(text).slice(0, 32)}`
  names.set(text, name)
  return name
}

const run = async (client: Client, text: Text, values: unknown[]): Promise<Result> => {
  const statement = sqlOf(text, values)
  const plain = { text: statement.text, values: statement.values }
  const name = client.isLent() ? undefined : nameOf(plain.text)
  return client.query(name === undefined ? plain : { ...plain, name })
}

const spoilsSession = (error: unknown): boolean => codesOf(error).some((code) => SPOILT_SESSION.has(code))

const statementsOn = (
  runOne: (text: Text, values: unknown[]) => Promise<Result>,
): Pick<Statements, '$queryRaw' | '$executeRaw'> => ({
  $queryRaw: async <Rows>(text: Text, ...values: unknown[]) => (await runOne(text, values)).rows as Rows,
  $executeRaw: async (text, ...values) => (await runOne(text, values)).rowCount ?? 0,
})

/** The same statements, each after the writes that were collected before it. */
const collecting = (statements: Statements): Statements & { flush(): Promise<void> } => {
  const pending = pendingWrites()
  const flush = async (): Promise<void> => {
    const writes = pending.take()
    if (writes === undefined) return
    const [counts] = await statements.$queryRaw<Record<string, number>[]>(writes.text)
    for (let at = 0; at < writes.guarded; at += 1)
      if (counts?.[`must_${at}`] !== 1) throw new Error('illegal transition of a record: it is in another state')
  }
  return {
    $queryRaw: async <Rows>(text: Text, ...values: unknown[]) => {
      await flush()
      return statements.$queryRaw<Rows>(text, ...values)
    },
    $executeRaw: async (text, ...values) => {
      await flush()
      return statements.$executeRaw(text, ...values)
    },
    pending,
    flush,
  }
}

/** What a step is asked for that needs a transaction. */
class NeedsTransaction extends Error {}

const needsTransaction = (error: unknown): boolean =>
  error instanceof NeedsTransaction || codesOf(error).includes(STEP_REFUSED)

/** Runs `work` without locks; its writes are refused if something that it has read was changed meanwhile. */
const runStep = async <Answer>(sql: Statements, work: (tx: Statements) => Promise<Answer>): Promise<Answer> => {
  const pending = pendingWrites()
  const seen = new Map<string, SeenRow>()
  let wasReadEarlier = false
  const listeners: ((written: Written) => void)[] = []
  const tx: Statements = {
    $queryRaw: async (text, ...values) => {
      if (!pending.isEmpty()) throw new NeedsTransaction()
      return sql.$queryRaw(text, ...values)
    },
    $executeRaw: async () => {
      throw new NeedsTransaction()
    },
    pending,
    seen: {
      note: (row) => {
        const before = seen.get(row.id)
        if (before !== undefined && before.version !== row.version) throw new NeedsTransaction()
        seen.set(row.id, row)
      },
      readEarlier: () => {
        wasReadEarlier = true
      },
      afterwards: (listener) => void listeners.push(listener),
    },
  }
  const result = await work(tx).catch((error: unknown) => {
    // What was read earlier may be no longer so, and nothing has asked. An error of the database is none of that.
    throw wasReadEarlier && (error instanceof StaleClaim || codesOf(error).length === 0)
      ? new NeedsTransaction('', { cause: error })
      : error
  })
  if (pending.isEmpty()) {
    if (wasReadEarlier) throw new NeedsTransaction()
    return result
  }
  const isAskedFor = listeners.length > 0
  const [written] = await sql.$queryRaw<Written[]>(pending.takeIfUnchanged([...seen.values()], isAskedFor))
  for (const listener of listeners) if (written !== undefined) listener(written)
  return result
}

/** `ready` is awaited before a connection is taken. */
export const sqlConnections = (pool: Pool, ready: () => Promise<unknown>): SqlConnections => {
  const sql = statementsOn(async (text, values) => {
    await ready()
    const client = await pool.connect()
    let spoilt = false
    try {
      return await run(client as unknown as Client, text, values)
    } catch (error) {
      spoilt = spoilsSession(error)
      throw error
    } finally {
      client.release(spoilt || client.getTransactionStatus() !== 'I')
    }
  })
  const transaction: SqlConnections['transaction'] = async (work) => {
    await ready()
    const client = await pool.connect()
    let spoilt = false
    try {
      return await inTransaction(client, async () => {
        const tx = collecting(statementsOn(async (text, values) => run(client as unknown as Client, text, values)))
        const result = await work(tx)
        await tx.flush()
        return result
      })
    } catch (error) {
      spoilt = spoilsSession(error)
      throw error
    } finally {
      // After a broken connection, or a rollback that did not come through, the pool must not lend it again.
      client.release(spoilt || client.getTransactionStatus() !== 'I')
    }
  }
  const step: SqlConnections['step'] = async (work) => {
    try {
      return await runStep(sql, work)
    } catch (error) {
      if (!needsTransaction(error)) throw error
      return transaction(work)
    }
  }
  return { sql, transaction, step }
}
