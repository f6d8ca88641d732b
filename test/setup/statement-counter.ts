// Counts on the wire what a program asks of PostgreSQL: stands between the two and reads the messages of the frontend
// (PostgreSQL's manual, "Message Formats"), whoever in the program has sent them.
import { overhear } from './overheard.ts'

export interface Asked {
  /** Without BEGIN, COMMIT and ROLLBACK. */
  readonly statements: readonly string[]
  /** Transactions that ended in a commit; a statement outside of one is one itself. */
  readonly commits: number
}

export interface StatementCounter {
  /** The address of the database, through the counter. */
  readonly url: string
  /** What was asked since the last call. */
  take(): Asked
  close(): Promise<void>
}

const QUERY = 'Q'.charCodeAt(0)
const PARSE = 'P'.charCodeAt(0)
const BIND = 'B'.charCodeAt(0)
const cString = (bytes: Buffer, from: number): string => bytes.toString('utf8', from, bytes.indexOf(0, from))

export const startStatementCounter = async (databaseUrl: string): Promise<StatementCounter> => {
  let statements: string[] = []
  let commits = 0

  const reader = () => {
    const texts = new Map<string, string>()
    let rest = Buffer.alloc(0)
    let started = false
    let inTransaction = false
    const take = (text: string): void => {
      const [word = ''] = text.trim().toUpperCase().split(/[\s;]/)
      if (word === 'BEGIN') inTransaction = true
      else if (word === 'COMMIT' || word === 'ROLLBACK') {
        inTransaction = false
        if (word === 'COMMIT') commits += 1
      } else {
        statements.push(text.replaceAll(/\s+/g, ' ').trim())
        if (!inTransaction) commits += 1
      }
    }
    return (chunk: Buffer): void => {
      rest = Buffer.concat([rest, chunk])
      for (;;) {
        const head = started ? 1 : 0
        if (rest.length < head + 4) return
        const length = head + rest.readInt32BE(head)
        if (rest.length < length) return
        const message = rest.subarray(0, length)
        rest = rest.subarray(length)
        if (started && message[0] === QUERY) take(cString(message, 5))
        if (started && message[0] === PARSE) texts.set(cString(message, 5), cString(message, message.indexOf(0, 5) + 1))
        // A statement with a name is parsed once and bound each time.
        if (started && message[0] === BIND) take(texts.get(cString(message, message.indexOf(0, 5) + 1)) ?? '')
        started = true
      }
    }
  }

  const { url, close } = await overhear(databaseUrl, reader)
  return {
    url,
    take: () => {
      const asked = { statements, commits }
      statements = []
      commits = 0
      return asked
    },
    close,
  }
}
