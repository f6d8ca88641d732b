// A process that starts an embedded PostgreSQL, reports that, and then ends in the way that its first argument names.
// It never stops the server.
import { startEmbeddedPostgres } from '../../simulator/embedded/postgres.ts'

const ends: Readonly<Record<string, () => void>> = {
  'waits for a signal': () => undefined,
  throws: () => {
    throw new Error('planted')
  },
  rejects: () => void Promise.reject(new Error('planted')),
  'calls process.exit(7)': () => process.exit(7),
}

await startEmbeddedPostgres()
console.log('started')
process.stdin.once('data', () => setTimeout(ends[process.argv[2] ?? ''] ?? (() => undefined))).resume()
