// What the application's database role may do, and nothing beyond: granted by the role that owns the tables. Events can
// be read and added, by nobody but the owner changed or removed; consents and their history are never deleted at all.
import { escapeIdentifier, inTransaction, placeOf, withConnection } from '../postgres/client.ts'
import { FIRST_SCHEMA } from '../postgres/session.ts'
import { DatabaseTrouble, NO_SCHEMA } from '../postgres/trouble.ts'
import { Secret } from '../secret.ts'

type Right = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE'

const kept = ['SELECT', 'INSERT', 'UPDATE'] as const
const passing = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] as const

/** Every table of ours, and the rights that the program needs on it. */
export const tableRights: Readonly<Record<string, readonly Right[]>> = {
  consents: kept,
  renewals: kept,
  authorisations: kept,
  notifications: kept,
  events: ['SELECT', 'INSERT'],
  event_positions: ['SELECT', 'INSERT'],
  // Filled by a trigger, with its owner's rights.
  unsequenced_events: ['SELECT', 'DELETE'],
  message_hours: kept,
  provider_strikes: passing,
  provider_holds: passing,
  sweeps: kept,
  _prisma_migrations: ['SELECT'],
}

/**
 * Whether a role can rewrite events, however it came by that; on one column alone, too. Both are expressions of SQL:
 * its name, the table's.
 */
const rewritesEvents = (role: string, events: string): string =>
  `(has_any_column_privilege(${role}, ${events}, 'UPDATE') OR has_table_privilege(${role}, ${events}, ` +
  `'DELETE') OR has_table_privilege(${role}, ${events}, 'TRUNCATE'))`

/** What the connected role is to the events: one row. */
export interface AboutRole {
  readonly role: string
  readonly owns: boolean
  readonly rewrites: boolean
}
export const ABOUT_CONNECTED_ROLE = `SELECT current_user::text AS role, pg_get_userbyid(relowner) = current_user AS
  owns, ${rewritesEvents('current_user', `'events'`)} AS rewrites
  FROM pg_class WHERE oid = 'events'::regclass`

/** The role that an address connects as. */
export const roleOf = (url: Secret | string): string => placeOf(asSecret(url)).address.user

/**
 * Whose rights a session of the role $1 has, where that is another's by ALTER ROLE … SET role (as for logins that a
 * vault makes for an hour); NULL where it is its own. PostgreSQL's order: of the role in this database, of the role, of
 * the database.
 */
const ACTS_AS = `(SELECT nullif(substr(setting, 6), 'none') FROM pg_db_role_setting, unnest(setconfig) AS setting
  WHERE setting LIKE 'role=%' AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = $1))
    AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  ORDER BY setrole = 0, setdatabase = 0 LIMIT 1)`

export interface GrantOptions {
  /** With the role that owns the tables. */
  readonly ownerUrl: Secret | string
  /** What the application connects with: its user, or who that acts as, is granted to. Not connected to. */
  readonly appUrl: Secret | string
  /** Where the tables are, if not where the owner's own session looks. */
  readonly schema?: string | undefined
  /** Schemas beside ours that the application works in: BullMQ's, where the queue lives in PostgreSQL. */
  readonly queueSchema?: string | undefined
}

export type Granted =
  | { readonly kind: 'no-such-role'; readonly role: string }
  /** One role for all: it owns the tables, the trigger alone guards the events. */
  | { readonly kind: 'same-role' }
  /**
   * `rewrites`: it can change events all the same, as a superuser, as a member of the owner, or by a grant to
   * everybody.
   */
  | { readonly kind: 'granted'; readonly role: string; readonly rewrites: boolean }

/** Makes the application's rights what they must be, whatever they were. */
export const grantRights = async ({ ownerUrl, appUrl, queueSchema, ...given }: GrantOptions): Promise<Granted> => {
  const login = roleOf(appUrl)
  return withConnection(
    asSecret(ownerUrl),
    { applicationName: 'reconsent migrate', schema: given.schema },
    async (client) => {
      const { rows } = await client.query<{ owner: string; schema: string | null; known: boolean; acts_as: string }>(
        `SELECT current_user::text AS owner, ${FIRST_SCHEMA} AS schema, EXISTS (SELECT FROM pg_roles WHERE rolname =
          $1) AS known,
         coalesce(${ACTS_AS}, $1) AS acts_as`,
        [login],
      )
      const { owner = '', schema, known = false, acts_as: role = login } = rows[0] ?? {}
      if (!known) return { kind: 'no-such-role', role: login }
      if (role === owner) return { kind: 'same-role' }
      if (schema === null || schema === undefined) throw new DatabaseTrouble(NO_SCHEMA)
      // One transaction: no moment without rights for a program that is running.
      await inTransaction(client, async () => client.query(statements(role, schema, queueSchema).join('; ')))
      const rewrites = await client.query<{ can: boolean }>(`SELECT ${rewritesEvents('$1::name', '$2::text')} AS can`, [
        role,
        `${escapeIdentifier(schema)}.events`,
      ])
      return { kind: 'granted', role, rewrites: rewrites.rows[0]?.can ?? false }
    },
  )
}

const asSecret = (url: Secret | string): Secret => (typeof url === 'string' ? new Secret(url) : url)

const statements = (role: string, schema: string, queueSchema: string | undefined): string[] => {
  const to = escapeIdentifier(role)
  const inside = escapeIdentifier(schema)
  const ours = Object.entries(tableRights).flatMap(([table, rights]) => {
    const name = `${inside}.${escapeIdentifier(table)}`
    return [`REVOKE ALL ON ${name} FROM ${to}`, `GRANT ${rights.join(', ')} ON ${name} TO ${to}`]
  })
  const sequence = `GRANT USAGE ON SEQUENCE ${inside}.events_position_seq TO ${to}`
  return [
    `GRANT USAGE ON SCHEMA ${inside} TO ${to}`,
    ...ours,
    sequence,
    ...(queueSchema === undefined ? [] : queueStatements(to, escapeIdentifier(queueSchema))),
  ]
}

/**
 * The queue holds hints, not facts: all of it may be changed. CREATE because BullMQ makes a sequence for each queue at
 * its first job.
 */
const queueStatements = (to: string, schema: string): string[] => [
  `GRANT USAGE, CREATE ON SCHEMA ${schema} TO ${to}`,
  `GRANT ${passing.join(', ')} ON ALL TABLES IN SCHEMA ${schema} TO ${to}`,
  `GRANT USAGE ON ALL SEQUENCES IN SCHEMA ${schema} TO ${to}`,
  `GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ${schema} TO ${to}`,
]
