// The two sides that take callbacks: a bare handler, and Reconsent with the role `web` alone. How their databases are
// filled, and what is in them afterwards.
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { DateTime } from 'luxon'
import { newDoneId, newVerifier } from '../src/crypto/hashing.ts'
import { makeVault } from '../src/crypto/vault.ts'
import { Secret } from '../src/secret.ts'
import { authorisationRow, openCell } from '../src/store/authorisation-row.ts'
import type { SideDatabase } from './database.ts'
import { inPieces, makeConsents } from './population.ts'
import type { Side } from './sides.ts'
import type { Order } from './sides/order.ts'
import { configFor } from './sides/reconsent-config.ts'
import { fillReconsent } from './sides/reconsent-database.ts'

/** What a bank sends back: each once. */
export interface Callback {
  readonly state: string
  readonly code: string
}

export interface StoredCallback {
  /** SHA-256 of the state, in hexadecimal digits. */
  readonly hash: string
  readonly code: string
}

export interface CallbackSide extends Pick<Side, 'name' | 'entry' | 'args' | 'usesRedis'> {
  /** Makes the tables, and whatever there must be before a user comes back with one of the states. */
  fill(database: SideDatabase, order: Order, callbacks: readonly Callback[]): Promise<void>
  /** A callback that was stored twice is there twice. */
  stored(database: SideDatabase, order: Order): Promise<readonly StoredCallback[]>
}

const entry = (file: string): string => fileURLToPath(new URL(`sides/${file}`, import.meta.url))

const bare: CallbackSide = {
  name: 'bare',
  entry: entry('bare-callback.ts'),
  args: [],
  usesRedis: false,
  fill: async (database) => {
    await database.query('CREATE TABLE callbacks (state_hash bytea PRIMARY KEY, code text NOT NULL, at timestamptz)')
  },
  stored: async (database) =>
    database.query<{ hash: string; code: string }>(`SELECT encode(state_hash, 'hex') AS hash, code FROM callbacks`),
}

const vaultOf = async (order: Order) => makeVault({ keys: (await configFor(order)).keys })

const reconsent: CallbackSide = {
  name: 'reconsent',
  entry: entry('reconsent.ts'),
  args: ['web'],
  usesRedis: true,
  /** For each state a consent whose user has left for the bank: made by the import, its cycle and attempt in bulk. */
  fill: async (database, order, callbacks) => {
    await fillReconsent(order, makeConsents(callbacks.length))
    await database.query(
      `INSERT INTO renewals (id, consent_id, cycle, route, opened_by, reason, opened_at, previous_expires_at)
       SELECT gen_random_uuid(), id, cycle, 'reauth', 'system', 'bench', now(), expires_at FROM consents`,
    )
    const renewals = await database.query<{ id: string; consent_id: string }>('SELECT id, consent_id FROM renewals')
    const vault = await vaultOf(order)
    const now = DateTime.utc()
    const rows = callbacks.map(({ state }, index) =>
      authorisationRow(vault, {
        id: randomUUID(),
        consentId: renewals[index]?.consent_id ?? '',
        renewalId: renewals[index]?.id ?? '',
        route: 'reauth',
        state: new Secret(state),
        verifier: newVerifier(),
        link: new Secret(`${order.providerUrl}/reauth?state=${state}`),
        doneId: newDoneId(),
        redirectUri: order.redirectUri,
        issuedAt: now,
        expiresAt: now.plus({ hours: 1 }),
        tokenUse: undefined,
      }),
    )
    for (const piece of inPieces(rows, 500))
      await database.query(
        `INSERT INTO authorisations (id, consent_id, renewal_id, state_hash, done_id, verifier, link, route,
           redirect_uri, issued_at, handed_out_at, expires_at, next_action_at)
         SELECT id, consent_id, renewal_id, state_hash, done_id, verifier, link, 'reauth', $1, $2, $2, $3, $3
         FROM unnest($4::uuid[], $5::uuid[], $6::uuid[], $7::bytea[], $8::text[], $9::text[], $10::text[])
           AS t (id, consent_id, renewal_id, state_hash, done_id, verifier, link)`,
        [
          order.redirectUri,
          now.toISO(),
          now.plus({ hours: 1 }).toISO(),
          piece.map(({ id }) => id),
          piece.map(({ consentId }) => consentId),
          piece.map(({ renewalId }) => renewalId),
          piece.map(({ stateHash }) => Buffer.from(stateHash ?? [])),
          piece.map(({ doneId }) => doneId),
          piece.map(({ verifier }) => verifier),
          piece.map(({ link }) => link),
        ],
      )
  },
  /** With the event that tells of it; the code as it opens. */
  stored: async (database, order) => {
    const vault = await vaultOf(order)
    const rows = await database.query<{ id: string; hash: string; code: string }>(
      `SELECT id, encode(state_hash, 'hex') AS hash, code
       FROM authorisations JOIN events ON events.consent_id = authorisations.consent_id
         AND type = 'authorisation.code-received' AND data->>'authorisation_id' = id::text
       WHERE status = 'code_received'`,
    )
    return rows.map(({ id, hash, code }) => ({ hash, code: openCell(vault, 'code', id, code).reveal() }))
  },
}

export const callbackSides: readonly CallbackSide[] = [bare, reconsent]
