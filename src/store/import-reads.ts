// What an import reads: the consents and tokens that a batch may be about, either as they are at one moment or under
// locks. Whole batches are read as JSON, since the client would convert each value of each row on its own.
//
// Keys are looked up one by one (LATERAL, with OFFSET 0 as a fence) where a column is not unique: until the first
// ANALYZE of a table that is being filled, PostgreSQL takes a thousand keys of such a column for most of the table, and
// would read all of it for each batch.
import { sha256 } from '../crypto/hashing.ts'
import type { Consent as ConsentRow } from '../generated/prisma/client.ts'
import { arrayText, consentFromJson, jsonOfConsent } from './consent-columns.ts'
import type { Client } from './database.ts'
import type { Statements } from './statements.ts'
import type { KnownToken, TokenState } from './token-fingerprints.ts'

type Reader = Pick<Statements, '$queryRaw'>

export interface BatchKeys {
  readonly credentialsIds: readonly string[]
  /** The `credentials_id`s that the rows name in `supersedes`. */
  readonly superseded: readonly string[]
  /** Of the rows' tokens, in hexadecimal. */
  readonly fingerprints: readonly string[]
}

export interface Known {
  readonly ours: readonly ConsentRow[]
  /** Every consent that has or had a token of the rows, and every token on record for these consents. */
  readonly tokens: readonly KnownToken[]
}

/**
 * The key of the advisory lock of imports: a batch that could contradict another one has it alone, all others share it.
 * Any number that no other lock of the program has.
 */
const IMPORT_LOCK = 7_203_011

/** The two-part key of the advisory locks of single rows begins with this number. */
const ROW_LOCK = 7_203_012

/**
 * How a batch keeps apart from others: `alone`; beside all that are not alone, since it brings neither a `supersedes`
 * nor a new token (`shared`); or beside all that are not alone and have none of its keys, for a few rows without
 * `supersedes` (`by-key`).
 */
export type Apartness = 'alone' | 'shared' | 'by-key'

/** Reads the consents of the rows, and those that name them in `supersedes`, as they are at one moment. No locks. */
export const readForImport = async (prisma: Client, keys: BatchKeys): Promise<Known> =>
  prisma.$transaction(
    async (tx) => {
      const found = await tx.$queryRaw<Json[]>`
        SELECT json_agg(${jsonOfConsent})::text AS json FROM consents
        WHERE credentials_id = ANY(${arrayText(keys.credentialsIds)}::text[])`
      const rows = consentsIn(found)
      const successors = await findSuccessors(tx, keys.credentialsIds)
      const isRead = new Set(rows.map(({ id }) => id))
      const others = successors.map(({ id }) => id).filter((id) => !isRead.has(id))
      const ours =
        others.length === 0 ? rows : [...rows, ...(await tx.consent.findMany({ where: { id: { in: others } } }))]
      return { ours, tokens: await readTokens(tx, keys.fingerprints, ours) }
    },
    { isolationLevel: 'RepeatableRead' },
  )

/**
 * Locks every consent that the batch may read or change, always in the order of ids so that two imports never deadlock,
 * and reads it: the connections of the rows, the connections that these name in `supersedes` or that name these, and
 * whatever replaced any of them.
 *
 * A batch with a `supersedes` or with a new token runs alone. Otherwise another import could create the named consent,
 * or bring the same token for another connection, at the same moment; neither import would see what the other brings.
 * For a new token it is enough that nobody brings the same one: a few rows lock the keys that they have.
 */
export const lockForImport = async (tx: Statements, keys: BatchKeys, apart: Apartness): Promise<Known> => {
  if (keys.superseded.length > 0 || apart === 'alone')
    await tx.$executeRaw`SELECT pg_advisory_xact_lock(${IMPORT_LOCK}::bigint)`
  else {
    await tx.$executeRaw`SELECT pg_advisory_xact_lock_shared(${IMPORT_LOCK}::bigint)`
    if (apart === 'by-key') await lockKeys(tx, keys)
  }
  const ids = await findAffected(tx, keys)
  const ours =
    ids.length === 0
      ? []
      : consentsIn(
          await tx.$queryRaw<Json[]>`
            SELECT json_agg(row)::text AS json FROM (
              SELECT ${jsonOfConsent} AS row FROM consents WHERE id = ANY(${arrayText(ids)}::uuid[])
              ORDER BY id FOR UPDATE
            ) AS locked`,
        )
  return { ours, tokens: await readTokens(tx, keys.fingerprints, ours) }
}

/** In the order of their numbers, so that two never wait for one another. Two keys may have one number. */
const lockKeys = async (tx: Statements, { credentialsIds, fingerprints }: BatchKeys): Promise<void> => {
  const keys = [...credentialsIds.map((id) => `credentials ${id}`), ...fingerprints.map((print) => `token ${print}`)]
  const numbers = [...new Set(keys.map((key) => sha256(key).readInt32BE(0)))].toSorted((a, b) => a - b)
  for (const number of numbers) await tx.$executeRaw`SELECT pg_advisory_xact_lock(${ROW_LOCK}::int, ${number}::int)`
}

interface Link {
  readonly id: string
  readonly superseded_by_id: string | null
}

const findAffected = async (tx: Statements, { credentialsIds, superseded }: BatchKeys): Promise<string[]> => {
  const named = arrayText([...new Set([...credentialsIds, ...superseded])])
  const affected = new Set<string>()
  let found = [
    ...(await tx.$queryRaw<Link[]>`
      SELECT id, superseded_by_id FROM consents WHERE credentials_id = ANY(${named}::text[])`),
    ...(await findSuccessors(tx, credentialsIds)),
  ]
  for (;;) {
    for (const { id } of found) affected.add(id)
    const above = found.flatMap((link) => link.superseded_by_id ?? []).filter((id) => !affected.has(id))
    if (above.length === 0) return [...affected]
    found = await tx.$queryRaw<Link[]>`
      SELECT id, superseded_by_id FROM consents WHERE id = ANY(${arrayText(above)}::uuid[])`
  }
}

/**
 * The consents that name one of these connections in `supersedes`. Most companies have none at all: the index tells by
 * its first entry, since PostgreSQL keeps the ORDER BY here (in an EXISTS it would drop it, and read the table).
 */
const findSuccessors = async (reader: Reader, credentialsIds: readonly string[]): Promise<Link[]> =>
  reader.$queryRaw<Link[]>`
    SELECT newer.id, newer.superseded_by_id
    FROM (
      SELECT unnest(${arrayText(credentialsIds)}::text[]) AS key
      WHERE (SELECT supersedes FROM consents WHERE supersedes IS NOT NULL ORDER BY supersedes LIMIT 1) IS NOT NULL
    ) AS wanted
    CROSS JOIN LATERAL (SELECT id, superseded_by_id FROM consents WHERE supersedes = key OFFSET 0) AS newer`

type TokenJson = readonly [consentId: string, fingerprint: string, state: TokenState, credentialsId: string]

const readTokens = async (
  reader: Reader,
  fingerprints: readonly string[],
  ours: readonly ConsentRow[],
): Promise<KnownToken[]> => {
  const found = tokensIn(
    await reader.$queryRaw<Json[]>`
      SELECT json_agg(json_build_array(consent_id, encode(fingerprint, 'hex'), state,
        (SELECT credentials_id FROM consents WHERE id = consent_id)))::text AS json
      FROM unnest(${arrayText([...new Set(fingerprints)])}::text[]) AS wanted (hex)
        CROSS JOIN LATERAL (
          SELECT * FROM token_fingerprints WHERE fingerprint = decode(hex, 'hex') OFFSET 0
        ) AS known`,
  )
  // Nearly every row of a nightly file has the current token of its consent.
  const hasCurrent = new Set(found.filter(({ state }) => state === 'current').map(({ consentId }) => consentId))
  const rest = ours.filter(({ id, candidateToken }) => candidateToken !== null || !hasCurrent.has(id))
  if (rest.length === 0) return found
  const own = tokensIn(
    await reader.$queryRaw<Json[]>`
      SELECT json_agg(json_build_array(consent_id, encode(fingerprint, 'hex'), state,
        (SELECT credentials_id FROM consents WHERE id = consent_id)))::text AS json
      FROM unnest(${arrayText(rest.map(({ id }) => id))}::uuid[]) AS wanted (id)
        CROSS JOIN LATERAL (SELECT * FROM token_fingerprints WHERE consent_id = wanted.id OFFSET 0) AS known`,
  )
  return [...found, ...own]
}

interface Json {
  readonly json: string | null
}

const tokensIn = ([answer]: readonly Json[]): KnownToken[] =>
  (JSON.parse(answer?.json ?? '[]') as TokenJson[]).map(([consentId, fingerprint, state, credentialsId]) => ({
    consentId,
    fingerprint,
    state,
    credentialsId,
  }))
const consentsIn = ([answer]: readonly Json[]): ConsentRow[] =>
  (JSON.parse(answer?.json ?? '[]') as unknown[][]).map(consentFromJson)
