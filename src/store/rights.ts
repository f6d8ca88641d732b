// Grants the application's database role exactly the rights that it needs, with the role that owns the tables. The
// application can read and add events, but only the owner can change or delete them. The application can never delete
// consents and their history.
import { escapeIdentifier, inTransaction, placeOf, withConnection } from '../postgres/client.ts'
import { FIRST_SCHEMA } from '../postgres/session.ts'
import { DatabaseTrouble, NO_SCHEMA } from '../postgres/trouble.ts'
import { Secret } from '../secret.ts'

type Right = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE'

const kept = ['SELECT', 'INSERT', 'UPDATE'] as const
const passing = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] as const

/** Each of our tables, with the rights that the program needs on it. */
export const tableRights: Readonly<Record<string, readonly Right[]>> = {
  consents: kept,
  renewals: kept,
  authorisations: kept,
  notifications: kept,
  events: ['SELECT', 'INSERT'],
  event_positions: ['SELECT', 'INSERT'],
  // A trigger fills this table, with the rights of the owner of its function.
  unsequenced_events: ['SELECT', 'DELETE'],
  message_hours: kept,
  provider_failures: passing,
  open_circuits: passing,
  sweeps: kept,
  token_fingerprints: passing,
  access_tokens: kept,
  api_keys: kept,
  idempotency_keys: passing,
  webhook_endpoints: passing,
  webhook_secrets: passing,
  webhook_backlogs: passing,
  webhook_replays: passing,
  webhook_deliveries: ['SELECT', 'INSERT', 'DELETE'],
  syncs: passing,
  sync_entries: passing,
  _prisma_migrations: ['SELECT'],
}

/**
 * An SQL condition: whether a role can change or delete events, however it got that right, and even if only in one
 * column. Both parameters are SQL expressions: the name of the role and the name of the table.
 */
const rewritesEvents = (role: string, events: string): string =>
  `(has_any_column_privilege(${role}, ${events}, 'UPDATE') OR has_table_privilege(${role}, ${events}, ` +
  `'DELETE') OR has_table_privilege(${role}, ${events}, 'TRUNCATE'))`

/** What the connected role may do with events: the one row that ABOUT_CONNECTED_ROLE selects. */
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
 * An SQL expression: the role whose rights a session of the role $1 has, if ALTER ROLE … SET role names another one (as
 * for logins that a vault makes for an hour); NULL if the session keeps its own. The setting is looked up in
 * PostgreSQL's order: of the role in this database, of the role, of the database.
 */
const ACTS_AS = `(SELECT nullif(substr(setting, 6), 'none') FROM pg_db_role_setting, unnest(setconfig) AS setting
  WHERE setting LIKE 'role=%' AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = $1))
    AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  ORDER BY setrole = 0, setdatabase = 0 LIMIT 1)`

export interface GrantOptions {
  /** An address with the role that owns the tables. */
  readonly ownerUrl: Secret | string
  /**
   * The application's address. The rights are granted to its user, or to the role that this user acts as; no connection
   * is made to the address.
   */
  readonly appUrl: Secret | string
  /** The schema of the tables, if it is not the one that the owner's session uses. */
  readonly schema?: string | undefined
  /** BullMQ's schema, if the queue is in PostgreSQL: the application needs rights there too. */
  readonly queueSchema?: string | undefined
}

export type Granted =
  | { readonly kind: 'no-such-role'; readonly role: string }
  /** The application's role owns the tables, so only the trigger protects the events. */
  | { readonly kind: 'same-role' }
  /**
   * `rewrites`: the role can change events nevertheless, as a superuser, as a member of the owner, or by a grant to
   * PUBLIC.
   */
  | { readonly kind: 'granted'; readonly role: string; readonly rewrites: boolean }

/** Sets the application's rights to what they must be, whatever they were before. */
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
      // All in one transaction, so that a running program is never without its rights.
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
 * The queue contains nothing that the tables do not know, so the application may change all of it. CREATE is needed
 * because BullMQ makes a sequence for each queue at the queue's first job.
 */
const queueStatements = (to: string, schema: string): string[] => [
  `GRANT USAGE, CREATE ON SCHEMA ${schema} TO ${to}`,
  `GRANT ${passing.join(', ')} ON ALL TABLES IN SCHEMA ${schema} TO ${to}`,
  `GRANT USAGE ON ALL SEQUENCES IN SCHEMA ${schema} TO ${to}`,
  `GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ${schema} TO ${to}`,
]
