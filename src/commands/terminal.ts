// Where commands write: data to standard output, everything else (progress, warnings, errors) to standard error.
import { once } from 'node:events'

export interface Terminal {
  /** Data. Resolves when it may go on: a slow reader must not fill the memory. */
  write(text: string): Promise<void>
  line(text: string): Promise<void>
  /** One JSON document, indented for people where it is short. */
  json(value: unknown): Promise<void>
  /** One line for the person at the terminal. */
  note(text: string): void
}

export const processTerminal = (): Terminal => {
  let closed = false
  // A reader that has seen enough (`| head`) is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    closed = true
  })
  process.stderr.on('error', () => undefined)
  const write = async (text: string): Promise<void> => {
    if (closed || process.stdout.write(text) || !process.stdout.writableNeedDrain) return
    // Takes the listener of the one that did not come away again: a long list waits thousands of times.
    const waiting = new AbortController()
    const { signal } = waiting
    await Promise.race([once(process.stdout, 'drain', { signal }), once(process.stdout, 'close', { signal })]).catch(
      () => undefined,
    )
    waiting.abort()
  }
  return {
    write,
    line: async (text) => write(`${text}\n`),
    json: async (value) => write(`${JSON.stringify(value, null, 2)}\n`),
    note: (text) => void process.stderr.write(`${text}\n`),
  }
}
