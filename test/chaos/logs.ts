// Reads the logs of the run's processes, and counts lines from a moment on without reading the past again.
import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export const logsIn = async (folder: string): Promise<string[]> =>
  (await readdir(folder)).filter((name) => name.endsWith('.log'))

export async function* linesOf(file: string, from = 0): AsyncGenerator<string> {
  yield* createInterface({ input: createReadStream(file, { start: from }) })
}

/** Returns a function that counts the matching lines that all logs have got since now. */
export const countFromNow = async (folder: string, matches: RegExp): Promise<() => Promise<number>> => {
  const from = new Map<string, number>()
  for (const name of await logsIn(folder)) from.set(name, (await stat(join(folder, name))).size)
  return async () => {
    let count = 0
    for (const name of await logsIn(folder))
      for await (const line of linesOf(join(folder, name), from.get(name) ?? 0)) if (matches.test(line)) count += 1
    return count
  }
}
