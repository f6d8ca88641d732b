// Commands write data to standard output, and everything else (progress, warnings, errors) to standard error.
import { once } from 'node:events'

export interface Terminal {
  /** Writes data. Resolves when more may be written: a slow reader must not fill the memory. */
  write(text: string): Promise<void>
  line(text: string): Promise<void>
  /** Writes one indented JSON document, for values of limited size. */
  json(value: unknown): Promise<void>
  /** Writes one line for the operator to standard error. */
  note(text: string): void
}

export const processTerminal = (): Terminal => {
  let closed = false
  // A reader that closes the pipe early (`| head`) is not an error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    closed = true
  })
  process.stderr.on('error', () => undefined)
  const write = async (text: string): Promise<void> => {
    if (closed || process.stdout.write(text) || !process.stdout.writableNeedDrain) return
    // Aborting removes the listener for the event that did not occur. Without that, listeners would pile up, because a
    // long list waits thousands of times.
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

const PROGRESS_EVERY_MS = 5_000

/** Makes the function that reports long work: writes a note when the last one is five seconds old, else nothing. */
export const makeProgress = (terminal: Terminal): ((line: () => string) => void) => {
  let reportedAt = Date.now()
  return (line) => {
    if (Date.now() - reportedAt < PROGRESS_EVERY_MS) return
    reportedAt = Date.now()
    terminal.note(line())
  }
}
