// The columns of a consent's row, and whole rows as an import moves them: read as JSON, written as one array for each
// column. Both are a few large texts for the driver, which would convert a million rows value by value.
import type { Consent as ConsentRow } from '../generated/prisma/client.ts'
import { Prisma } from '../generated/prisma/client.ts'

type TypeOf<Value> = Value extends Date
  ? 'timestamptz'
  : Value extends number
    ? 'int'
    : Value extends readonly string[]
      ? 'text[]'
      : 'text' | 'uuid'

/** PostgreSQL's type of each column. */
const types: { readonly [Field in keyof ConsentRow]: TypeOf<NonNullable<ConsentRow[Field]>> } = {
  id: 'uuid',
  credentialsId: 'text',
  userId: 'text',
  providerId: 'text',
  providerName: 'text',
  country: 'text',
  redirectUri: 'text',
  scopes: 'text[]',
  email: 'text',
  phone: 'text',
  name: 'text',
  locale: 'text',
  timeZone: 'text',
  channels: 'text',
  status: 'text',
  cycle: 'int',
  consentedAt: 'timestamptz',
  expiresAt: 'timestamptz',
  expiresSource: 'text',
  refreshToken: 'text',
  tokenVersion: 'int',
  tokenIssuedAt: 'timestamptz',
  tokenAcceptedAt: 'timestamptz',
  tokenRejectedAt: 'timestamptz',
  candidateToken: 'text',
  candidateVersion: 'int',
  candidateArrivedAt: 'timestamptz',
  candidateIssuedAt: 'timestamptz',
  tokenCallNo: 'int',
  refreshingUntil: 'timestamptz',
  nextActionAt: 'timestamptz',
  nextActionReason: 'text',
  queuedUntil: 'timestamptz',
  dispatchNo: 'int',
  fencingToken: 'int',
  leaseUntil: 'timestamptz',
  failedAttempts: 'int',
  outages: 'int',
  lastErrorCode: 'text',
  retryAfter: 'timestamptz',
  mismatches: 'int',
  supersededById: 'uuid',
  supersedes: 'text',
  eventSeq: 'int',
  eventHash: 'text',
  createdAt: 'timestamptz',
  updatedAt: 'timestamptz',
}

export interface Column {
  readonly field: keyof ConsentRow
  readonly name: string
  readonly type: string
}

export const consentColumns: readonly Column[] = (Object.keys(types) as (keyof ConsentRow)[]).map((field) => ({
  field,
  name: field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
  type: types[field],
}))

/** SQL for a row as JSON: the values alone, in the order of the columns. */
export const jsonOfConsent = Prisma.raw(`json_build_array(${consentColumns.map(({ name }) => name).join(', ')})`)

export const consentFromJson = (values: readonly unknown[]): ConsentRow => {
  const row: Record<string, unknown> = {}
  for (const [place, { field, type }] of consentColumns.entries()) {
    const value = values[place]
    row[field] = type === 'timestamptz' && typeof value === 'string' ? new Date(value) : value
  }
  return row as ConsentRow
}

export type ArrayElement = string | number | Date | readonly string[] | null

/**
 * Values as the text of a PostgreSQL array of one dimension. An element that is a list is written as the text of an
 * array in turn.
 */
export const arrayText = (values: readonly ArrayElement[]): string => {
  // Most columns are of texts that need no escape, which one look at all of them together tells.
  if (values.length > 0 && values.every((value) => typeof value === 'string')) {
    const joined = values.join('')
    if (!joined.includes('"') && !joined.includes('\\')) return `{"${values.join('","')}"}`
  }
  return `{${values.map(elementText).join(',')}}`
}

/** One value as the text that PostgreSQL reads it from. */
export const textOf = (value: ArrayElement): string | null => {
  if (value === null || typeof value === 'string') return value
  if (typeof value === 'number') return String(value)
  return value instanceof Date ? value.toISOString() : arrayText(value)
}

const elementText = (value: ArrayElement): string => {
  const text = textOf(value)
  if (text === null) return 'NULL'
  if (typeof value === 'number') return text
  return `"${/["\\]/.test(text) ? text.replaceAll(/["\\]/g, String.raw`\$&`) : text}"`
}
