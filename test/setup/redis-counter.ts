// Counts on the wire what a program asks of Redis: stands between the two and reads the commands (Redis' documentation,
// "Redis serialization protocol specification"), whichever connection of the program has sent them.
import { createHash } from 'node:crypto'
import { overhear } from './overheard.ts'

export interface RedisCounter {
  /** The address of the server, through the counter. */
  readonly url: string
  /** What was sent since the last call, and how often: names of commands, and of each script its SHA-1. */
  take(): ReadonlyMap<string, number>
  close(): Promise<void>
}

/** A client sends a script whole for the first time, and then its hash alone. */
const sha1 = (script: string): string => createHash('sha1').update(script).digest('hex')

/** The first command in `bytes`, and where it ends; undefined while it is not complete. */
const firstCommand = (bytes: Buffer): { readonly words: readonly Buffer[]; readonly end: number } | undefined => {
  const endOfLine = (from: number): number => bytes.indexOf('\r\n', from)
  let at = endOfLine(0)
  if (at === -1) return undefined
  const words: Buffer[] = []
  const count = Number(bytes.toString('latin1', 1, at))
  at += 2
  for (let word = 0; word < count; word += 1) {
    const lineEnd = endOfLine(at)
    if (lineEnd === -1) return undefined
    const from = lineEnd + 2
    const to = from + Number(bytes.toString('latin1', at + 1, lineEnd))
    if (bytes.length < to + 2) return undefined
    words.push(bytes.subarray(from, to))
    at = to + 2
  }
  return { words, end: at }
}

export const startRedisCounter = async (redisUrl: string): Promise<RedisCounter> => {
  let counts = new Map<string, number>()

  const reader = () => {
    let rest = Buffer.alloc(0)
    return (chunk: Buffer): void => {
      rest = Buffer.concat([rest, chunk])
      for (let found = firstCommand(rest); found !== undefined; found = firstCommand(rest)) {
        const [name = '', script = ''] = found.words.map(String)
        const word = name.toLowerCase()
        const key = word === 'evalsha' ? script : word === 'eval' ? sha1(script) : word
        counts.set(key, (counts.get(key) ?? 0) + 1)
        rest = rest.subarray(found.end)
      }
    }
  }
  const { url, close } = await overhear(redisUrl, reader)
  return {
    url,
    take: () => {
      const taken = counts
      counts = new Map()
      return taken
    },
    close,
  }
}
