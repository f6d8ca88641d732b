// Re-encrypts stored values under the current key, while the program may be running.
import { setTimeout } from 'node:timers/promises'
import type { KeyRing } from '../crypto/key-ring.ts'
import { DecryptionFailed } from '../crypto/envelope.ts'
import { Prisma } from '../generated/prisma/client.ts'
import { accessCell } from './access-cache.ts'
import { authorisationCells, openCell, sealCell, type AuthorisationCell } from './authorisation-row.ts'
import { keyIdIn, keysInUse } from './cells.ts'
import type { Database, Transaction } from './database.ts'
import { FIRST_ID } from './ids.ts'
import { candidateCell, tokenCell } from './refresh-token.ts'
import { webhookSecretCell } from './webhook-secrets.ts'

export interface Rotation {
  /** How many values this run has re-encrypted under the current key. */
  readonly rotated: number
  /** How many values do not decrypt although the ring has their key; they are left as they were. */
  readonly unreadable: number
  /** How many values still need another key, the unreadable ones and those with unknown keys included. */
  readonly left: number
}

export interface RotateOptions {
  readonly keys: KeyRing
  /** Called after each page, with the number of values re-encrypted so far. */
  readonly onPage?: ((rotated: number) => void) | undefined
  readonly onUnreadable?: ((row: { table: string; id: string; cause: DecryptionFailed['cause'] }) => void) | undefined
  /** When aborted, the rotation ends after the current page; the pages before it stay re-encrypted. */
  readonly signal?: AbortSignal | undefined
  readonly pageSize?: number
}

const PAGE = 500
/**
 * The limit of passes over the tables. A locked row is skipped and left to the next pass; after a pass without a
 * result, the rotation first waits for `PAUSE_MS`.
 */
const MAX_PASSES = 20
const PAUSE_MS = 250

/**
 * Re-encrypts every value that another key encrypts, page by page; each page is one short transaction. Safe beside a
 * running system: rows are locked in the order of ids, rows that others have locked are skipped (the rotation never
 * waits for a lock, so it cannot deadlock), and a value is only replaced if it is still the one that was decrypted.
 * After an interruption, the next run finds only the values that are left.
 */
export const rotateCells = async (db: Database, options: RotateOptions): Promise<Rotation> => {
  const { keys, signal } = options
  let rotated = 0
  for (let pass = 1; ; pass += 1) {
    let inPass = 0
    let unreadable = 0
    for (const table of tables) {
      for (let after: string | undefined = FIRST_ID; after !== undefined && signal?.aborted !== true;) {
        const page: Page = await rotatePage(db, table, after, options)
        inPass += page.rotated
        unreadable += page.unreadable.length
        for (const row of pass === 1 ? page.unreadable : []) options.onUnreadable?.({ table: table.name, ...row })
        options.onPage?.(rotated + inPass)
        after = page.lastId
      }
    }
    rotated += inPass
    const others = (await keysInUse(db.sql)).filter(({ keyId }) => keyId !== keys.current.id)
    const left = others.reduce((sum, { cells }) => sum + cells, 0)
    const withKnownKey = others
      .filter(({ keyId }) => keys.all.some(({ id }) => id === keyId))
      .reduce((sum, { cells }) => sum + cells, 0)
    if (withKnownKey <= unreadable || pass === MAX_PASSES || signal?.aborted === true)
      return { rotated, unreadable, left }
    if (inPass === 0) await setTimeout(PAUSE_MS)
  }
}

interface Page {
  readonly rotated: number
  readonly unreadable: readonly { readonly id: string; readonly cause: DecryptionFailed['cause'] }[]
  /** Undefined at the end of the table. */
  readonly lastId: string | undefined
}

interface Table {
  readonly name: 'consents' | 'authorisations' | 'webhook_secrets' | 'access_tokens'
  /** Finds and locks the rows of a page, without those that another transaction has locked. */
  find(tx: Transaction, after: string, keys: KeyRing, limit: number): Promise<Row[]>
  write(tx: Transaction, rows: readonly Resealed[]): Promise<number>
  reseal(db: Database, row: Row, column: string, sealed: string): string
}

interface Row {
  readonly id: string
  /** By column, where a value's version is not always 1. */
  readonly versions: Readonly<Record<string, number>>
  /** The sealed values by column; null if there is none, or if no older key of the ring has sealed it. */
  readonly cells: Readonly<Record<string, string | null>>
}

interface Resealed {
  readonly id: string
  readonly cells: Readonly<Record<string, { readonly before: string; readonly after: string }>>
}

const rotatePage = async (
  db: Database,
  table: Table,
  after: string,
  { keys, pageSize = PAGE }: RotateOptions,
): Promise<Page> =>
  db.prisma.$transaction(async (tx) => {
    const rows = await table.find(tx, after, keys, pageSize)
    const unreadable: { id: string; cause: DecryptionFailed['cause'] }[] = []
    const resealed = rows.map((row): Resealed => {
      const cells: Record<string, { before: string; after: string }> = {}
      for (const [column, before] of Object.entries(row.cells)) {
        if (before === null) continue
        try {
          cells[column] = { before, after: table.reseal(db, row, column, before) }
        } catch (error) {
          if (!(error instanceof DecryptionFailed)) throw error
          unreadable.push({ id: row.id, cause: error.cause })
        }
      }
      return { id: row.id, cells }
    })
    const rotated = await table.write(
      tx,
      resealed.filter(({ cells }) => Object.keys(cells).length > 0),
    )
    return { rotated, unreadable, lastId: rows.at(-1)?.id }
  })

/**
 * The ring's keys other than the current one. Values of a key that is not in the ring cannot be decrypted, so they are
 * not searched for.
 */
const olderIds = (keys: KeyRing): string[] => keys.all.filter(({ id }) => id !== keys.current.id).map(({ id }) => id)

/** The token columns of a consent, each with where its values belong. */
const tokenColumns = {
  refresh_token: tokenCell,
  candidate_token: candidateCell,
} as const
type TokenColumn = keyof typeof tokenColumns

interface TokenRow {
  readonly id: string
  readonly refresh_token: string
  readonly token_version: number
  readonly candidate_token: string | null
  readonly candidate_version: number
}

const consents: Table = {
  name: 'consents',
  find: async (tx, after, keys, limit) => {
    const rows = await tx.$queryRaw<TokenRow[]>`
      SELECT id, refresh_token, token_version, candidate_token, candidate_version FROM consents
      WHERE id > ${after}::uuid AND (${keyIdIn('refresh_token')} = ANY(${olderIds(keys)}::text[])
        OR ${keyIdIn('candidate_token')} = ANY(${olderIds(keys)}::text[]))
      ORDER BY id LIMIT ${limit} FOR NO KEY UPDATE SKIP LOCKED`
    return rows.map((row) => ({
      id: row.id,
      versions: { refresh_token: row.token_version, candidate_token: row.candidate_version },
      cells: onlyOlder(keys, { refresh_token: row.refresh_token, candidate_token: row.candidate_token }),
    }))
  },
  reseal: (db, { id, versions }, column, sealed) => {
    const cell = tokenColumns[column as TokenColumn](id, versions[column] ?? 1)
    return db.vault.seal(db.vault.open(sealed, cell), cell)
  },
  write: async (tx, rows) => writeColumns(tx, 'consents', Object.keys(tokenColumns), rows),
}

const authorisations: Table = {
  name: 'authorisations',
  find: async (tx, after, keys, limit) => {
    const old = Prisma.join(
      authorisationCells.map((column) => Prisma.sql`${keyIdIn(column)} = ANY(${olderIds(keys)}::text[])`),
      ' OR ',
    )
    const rows = await tx.$queryRaw<({ id: string } & Record<AuthorisationCell, string | null>)[]>`
      SELECT id, ${Prisma.raw(authorisationCells.join(', '))} FROM authorisations
      WHERE id > ${after}::uuid AND (${old}) ORDER BY id LIMIT ${limit} FOR NO KEY UPDATE SKIP LOCKED`
    return rows.map(({ id, ...cells }) => ({ id, versions: {}, cells: onlyOlder(keys, cells) }))
  },
  reseal: (db, { id }, column, sealed) =>
    sealCell(db.vault, column as AuthorisationCell, id, openCell(db.vault, column as AuthorisationCell, id, sealed)),
  write: async (tx, rows) => writeColumns(tx, 'authorisations', authorisationCells, rows),
}

const webhookSecrets: Table = {
  name: 'webhook_secrets',
  find: async (tx, after, keys, limit) => {
    const rows = await tx.$queryRaw<{ id: string; secret: string }[]>`
      SELECT id, secret FROM webhook_secrets
      WHERE id > ${after}::uuid AND ${keyIdIn('secret')} = ANY(${olderIds(keys)}::text[])
      ORDER BY id LIMIT ${limit} FOR NO KEY UPDATE SKIP LOCKED`
    return rows.map(({ id, secret }) => ({ id, versions: {}, cells: onlyOlder(keys, { secret }) }))
  },
  reseal: (db, { id }, _column, sealed) =>
    db.vault.seal(db.vault.open(sealed, webhookSecretCell(id)), webhookSecretCell(id)),
  write: async (tx, rows) => writeColumns(tx, 'webhook_secrets', ['secret'], rows),
}

/** A refresh that replaces a token meanwhile has its own version: the value that was read is not found any more. */
const accessTokens: Table = {
  name: 'access_tokens',
  find: async (tx, after, keys, limit) => {
    const rows = await tx.$queryRaw<{ id: string; version: number; access_token: string | null }[]>`
      SELECT consent_id AS id, version, access_token FROM access_tokens
      WHERE consent_id > ${after}::uuid AND ${keyIdIn('access_token')} = ANY(${olderIds(keys)}::text[])
      ORDER BY consent_id LIMIT ${limit} FOR NO KEY UPDATE SKIP LOCKED`
    return rows.map(({ id, version, access_token }) => ({
      id,
      versions: { access_token: version },
      cells: onlyOlder(keys, { access_token }),
    }))
  },
  reseal: (db, { id, versions }, column, sealed) => {
    const cell = accessCell(id, versions[column] ?? 0)
    return db.vault.seal(db.vault.open(sealed, cell), cell)
  },
  write: async (tx, rows) => writeColumns(tx, 'access_tokens', ['access_token'], rows),
}

/** The values that an older key of the ring has sealed; null in place of the others. */
const onlyOlder = (
  keys: KeyRing,
  cells: Readonly<Record<string, string | null>>,
): Readonly<Record<string, string | null>> => {
  const isOld = (cell: string | null): boolean => cell !== null && olderIds(keys).includes(cell.split('.')[1] ?? '')
  return Object.fromEntries(Object.entries(cells).map(([column, cell]) => [column, isOld(cell) ? cell : null]))
}

const writeColumns = async (
  tx: Transaction,
  table: Table['name'],
  columns: readonly string[],
  rows: readonly Resealed[],
): Promise<number> => {
  let written = 0
  for (const column of columns) {
    const changed = rows.filter(({ cells }) => cells[column] !== undefined)
    if (changed.length === 0) continue
    const name = Prisma.raw(column)
    const key = Prisma.raw(table === 'access_tokens' ? 'consent_id' : 'id')
    written += await tx.$executeRaw`
      UPDATE ${Prisma.raw(table)} AS row SET ${name} = cell.after
      FROM unnest(${changed.map(({ id }) => id)}::uuid[],
        ${changed.map(({ cells }) => cells[column]?.before ?? null)}::text[],
        ${changed.map(({ cells }) => cells[column]?.after ?? null)}::text[]) AS cell (id, before, after)
      WHERE row.${key} = cell.id AND row.${name} = cell.before`
  }
  return written
}

const tables = [consents, authorisations, webhookSecrets, accessTokens] as const
