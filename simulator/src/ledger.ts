// The ledger by which tests judge Reconsent: every request the simulator served and every effect it had, append-only.
// It holds no token and no code.
import type { Clock } from './clock.ts'
import type { FaultKind } from './fault-kinds.ts'

/** The request entries: one per request, named after its endpoint. */
export const endpoints = [
  'reauthuri',
  'full-link',
  'bank',
  'decision',
  'exchange',
  'refresh',
  'me',
  'delete',
  'providers',
  'mail',
] as const
/** The effect entries: one per effect that outlives the request. */
export const effects = ['seeded', 'code', 'renewed', 'connected', 'rotated', 'revoked'] as const

export type Endpoint = (typeof endpoints)[number]
export type What = Endpoint | (typeof effects)[number]

export interface EntryDraft {
  readonly what: What
  /** `ok`, `not-processed` (a fault answered instead), a decision at the bank, or the error code that was answered. */
  readonly outcome: string
  readonly credentials_id?: string | undefined
  /** The reason, where the outcome alone does not give it: `reused`, `redirect_uri`, `past_grace` … */
  readonly detail?: string | undefined
  /** Running numbers that stand for a link or a code, so that the ledger can follow it without showing it. */
  readonly link_no?: number | undefined
  readonly code_no?: number | undefined
  readonly message_id?: string | undefined
  readonly to?: readonly string[] | undefined
  readonly fault?: FaultKind | undefined
  /** By how many milliseconds a fault delayed the end of the answer. */
  readonly late_ms?: number | undefined
}

export interface Entry extends EntryDraft {
  readonly seq: number
  /** By the simulator's clock, in ISO 8601, UTC. */
  readonly at: string
}

export interface EntryFilter {
  readonly what?: What | undefined
  readonly outcome?: string | undefined
  readonly credentials_id?: string | undefined
  /** A recipient of a mail. */
  readonly to?: string | undefined
  /** Only entries with a greater `seq`. */
  readonly after?: number | undefined
  readonly limit?: number | undefined
}

export interface Ledger {
  record(draft: EntryDraft): Entry
  entries(filter?: EntryFilter): readonly Entry[]
  count(filter?: EntryFilter): number
}

const matches = (entry: Entry, filter: EntryFilter): boolean =>
  (filter.what === undefined || entry.what === filter.what) &&
  (filter.outcome === undefined || entry.outcome === filter.outcome) &&
  (filter.credentials_id === undefined || entry.credentials_id === filter.credentials_id) &&
  (filter.to === undefined || (entry.to?.includes(filter.to.toLowerCase()) ?? false))

export const makeLedger = ({ clock }: { clock: Clock }): Ledger => {
  const book: Entry[] = []
  const entries = (filter: EntryFilter = {}): readonly Entry[] => {
    const found: Entry[] = []
    const limit = filter.limit ?? Number.POSITIVE_INFINITY
    // `seq` is the entry's position in the book plus one, so `after` is the index at which to start.
    for (let index = filter.after ?? 0; index < book.length && found.length < limit; index++) {
      const entry = book[index]
      if (entry !== undefined && matches(entry, filter)) found.push(entry)
    }
    return found
  }
  return {
    record: (draft) => {
      const entry: Entry = Object.freeze({ seq: book.length + 1, at: clock.now().toISO(), ...draft })
      book.push(entry)
      return entry
    },
    entries,
    count: (filter) => entries(filter).length,
  }
}
