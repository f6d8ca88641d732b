// Everything that the run left behind, read once: the final tables, the simulator's ledger by code, and the events of
// exchanges and links.
import type { Entry } from '../../simulator/src/ledger.ts'
import type { Route } from '../../src/domain/routes.ts'
import { type PendingRow, TOKEN_COLUMNS, type TokenRow } from '../setup/stored-tokens.ts'
import type { Rig } from './rig.ts'
import type { Struck } from './struck.ts'
import type { Return } from './way-back.ts'

export interface ConsentRecord extends TokenRow {
  readonly credentials_id: string
  readonly status: string
  readonly cycle: number
  readonly email: string | null
  readonly expires_at: Date
  readonly next_action_at: Date | null
  readonly last_error_code: string | null
}

export interface RenewalRecord {
  readonly id: string
  readonly consent_id: string
  readonly cycle: number
  readonly status: string
  readonly closed_at: Date | null
}

export interface AuthorisationRecord extends PendingRow {
  readonly consent_id: string
  readonly renewal_id: string
  readonly route: Route
  readonly status: string
  readonly state: string
  readonly done_id: string
  readonly error_code: string | null
  readonly expires_at: Date
  readonly handed_out_at: Date | null
  readonly code_received_at: Date | null
  readonly exchange_started_at: Date | null
  readonly closed_at: Date | null
}

export interface NotificationRecord {
  readonly id: string
  readonly consent_id: string
  readonly renewal_id: string
  readonly cycle: number
  readonly rung: string
  readonly status: string
  readonly created_at: Date
  readonly sending_at: Date | null
  readonly repeated_at: Date | null
  readonly next_action_at: Date | null
}

/** A process took a record in hand. */
export interface Claim {
  /** The process's name in the database. */
  readonly who: string
  /** Real time. */
  readonly at: Date
}

export interface Records {
  readonly consents: readonly ConsentRecord[]
  readonly renewals: ReadonlyMap<string, RenewalRecord>
  /** By consent. */
  readonly renewalsOf: ReadonlyMap<string, readonly RenewalRecord[]>
  readonly authorisations: readonly AuthorisationRecord[]
  /** By renewal. */
  readonly authorisationsOf: ReadonlyMap<string, readonly AuthorisationRecord[]>
  /** By SHA-256 of the state, in hex. */
  readonly byState: ReadonlyMap<string, AuthorisationRecord>
  readonly notifications: ReadonlyMap<string, NotificationRecord>
  readonly notificationsOfRenewal: ReadonlyMap<string, readonly NotificationRecord[]>
  readonly ledger: readonly Entry[]
  /**
   * When the intent to send a code was committed, by authorisation. A code that the provider certainly did not look at
   * has several intents.
   */
  readonly intents: ReadonlyMap<string, readonly Date[]>
  /** The sends of a code, in the order of the ledger. */
  readonly sends: ReadonlyMap<number, readonly Entry[]>
  /** When the outcome of an exchange became unknown, by authorisation. */
  readonly doubts: ReadonlyMap<string, Date>
  /** When a link could not be made and the consent was delayed, by consent. */
  readonly linkFailures: ReadonlyMap<string, readonly Date[]>
  /** The ledger's entry for the code that the bank gave, by the code's number. */
  readonly codesGiven: ReadonlyMap<number, Entry>
  /** The last rotation of a connection's token, by connection. */
  readonly rotations: ReadonlyMap<string, Entry>
  /** When the company was last told that the provider takes none of the stored tokens, by consent. */
  readonly toldRejected: ReadonlyMap<string, Date>
  /** Who claimed a consent or an authorisation and when, by its id; the last claim comes last. */
  readonly claims: ReadonlyMap<string, readonly Claim[]>
}

export interface Evidence {
  readonly rig: Rig
  readonly log: readonly Struck[]
  readonly returns: readonly Return[]
}

export const readRecords = async ({ rig }: Pick<Evidence, 'rig'>): Promise<Records> => {
  const { sql, simulator } = rig
  const consents = await sql<ConsentRecord>(
    `SELECT ${TOKEN_COLUMNS}, credentials_id, status, cycle, email, expires_at, next_action_at, last_error_code
     FROM consents`,
  )
  const renewals = await sql<RenewalRecord>(`SELECT id, consent_id, cycle, status, closed_at FROM renewals`)
  const authorisations =
    await sql<AuthorisationRecord>(`SELECT id, consent_id, renewal_id, route, status, encode(state_hash, 'hex') AS
      state, done_id, error_code,
    expires_at, handed_out_at, code_received_at, exchange_started_at, closed_at, pending_refresh_token
    FROM authorisations`)
  const notifications = await sql<NotificationRecord>(
    `SELECT id, consent_id, renewal_id, cycle, rung, status, created_at, sending_at, repeated_at, next_action_at
     FROM notifications`,
  )
  const intents = await sql<{ id: string; at: Date }>(
    `SELECT data->>'authorisation_id' AS id, at FROM events WHERE type = 'authorisation.exchanging' ORDER BY at`,
  )
  const doubts = await sql<{ id: string; at: Date }>(
    `SELECT data->>'authorisation_id' AS id, min(at) AS at FROM events WHERE type = 'authorisation.in-doubt'
     GROUP BY 1`,
  )
  const failures = await sql<{ id: string; at: Date }>(
    `SELECT consent_id AS id, at FROM events WHERE type = 'link.failed' ORDER BY at`,
  )
  const told = await sql<{ id: string; at: Date }>(
    `SELECT consent_id AS id, max(at) AS at FROM events WHERE type = 'token.rejected' GROUP BY 1`,
  )
  const claims = await sql<Claim & { id: string }>(
    `SELECT row_id AS id, who, at FROM chaos_writes WHERE is_claim AND place IN ('consents', 'authorisations')
     ORDER BY no`,
  )
  const ledger = simulator.ledger.entries()
  const exchanges = ledger.filter((entry) => entry.what === 'exchange' && entry.code_no !== undefined)
  return {
    consents,
    renewals: new Map(renewals.map((row) => [row.id, row])),
    renewalsOf: Map.groupBy(renewals, (row) => row.consent_id),
    authorisations,
    authorisationsOf: Map.groupBy(authorisations, (row) => row.renewal_id),
    byState: new Map(authorisations.map((row) => [row.state, row])),
    notifications: new Map(notifications.map((row) => [row.id, row])),
    notificationsOfRenewal: Map.groupBy(notifications, (row) => row.renewal_id),
    ledger,
    intents: new Map([...Map.groupBy(intents, ({ id }) => id)].map(([id, events]) => [id, events.map(({ at }) => at)])),
    sends: Map.groupBy(exchanges, (entry) => entry.code_no ?? 0),
    doubts: new Map(doubts.map(({ id, at }) => [id, at])),
    linkFailures: new Map(
      [...Map.groupBy(failures, ({ id }) => id)].map(([id, events]) => [id, events.map(({ at }) => at)]),
    ),
    codesGiven: new Map(
      ledger.flatMap((entry) =>
        entry.what === 'code' && entry.code_no !== undefined ? [[entry.code_no, entry] as const] : [],
      ),
    ),
    rotations: new Map(
      ledger.flatMap((entry) =>
        entry.what === 'rotated' && entry.credentials_id !== undefined ? [[entry.credentials_id, entry] as const] : [],
      ),
    ),
    toldRejected: new Map(told.map(({ id, at }) => [id, at])),
    claims: Map.groupBy(claims, ({ id }) => id),
  }
}
