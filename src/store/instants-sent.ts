// Prisma's adapter sends an instant without its offset, so that PostgreSQL reads it in the session's time zone. This
// file makes the adapter send every instant in UTC, with a Z. Reading them is the task of postgres/instants.ts.
import type { PrismaPg } from '@prisma/adapter-pg'

type Adapter = Awaited<ReturnType<PrismaPg['connect']>>
type Query = Parameters<Adapter['queryRaw']>[0]
type Queryable = Pick<Adapter, 'queryRaw' | 'executeRaw'>

const NOT_AN_INSTANT = new Set(['DATE', 'TIME', 'TIMETZ'])

const withOffset = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withOffset)
  return value instanceof Date || typeof value === 'string' ? new Date(value).toISOString() : value
}

/** Declares each instant as a text, because the adapter sends a text unchanged. */
const sent = (query: Query): Query => {
  if (!query.argTypes.some(({ scalarType }) => scalarType === 'datetime')) return query
  const isInstant = query.argTypes.map(
    ({ scalarType, dbType }) => scalarType === 'datetime' && !NOT_AN_INSTANT.has(dbType ?? ''),
  )
  return {
    ...query,
    args: query.args.map((arg, at) => (isInstant[at] === true ? withOffset(arg) : arg)),
    argTypes: query.argTypes.map((type, at) => (isInstant[at] === true ? { ...type, scalarType: 'string' } : type)),
  }
}

const sending = <Q extends Queryable>(queryable: Q): Q => {
  const queryRaw = queryable.queryRaw.bind(queryable)
  const executeRaw = queryable.executeRaw.bind(queryable)
  return Object.assign(queryable, {
    queryRaw: async (query: Query) => queryRaw(sent(query)),
    executeRaw: async (query: Query) => executeRaw(sent(query)),
  })
}

/**
 * The given factory, changed to send instants with their offset. `schemaOf` is called at each connect and returns the
 * schema of our tables.
 */
export const withOffsets = (factory: PrismaPg, schemaOf: () => Promise<string>): PrismaPg => {
  const connect = factory.connect.bind(factory)
  return Object.assign(factory, {
    connect: async () => {
      const schemaName = await schemaOf()
      const adapter = await connect()
      const startTransaction = adapter.startTransaction.bind(adapter)
      return Object.assign(sending(adapter), {
        startTransaction: async (...given: Parameters<Adapter['startTransaction']>) =>
          sending(await startTransaction(...given)),
        getConnectionInfo: () => ({ supportsRelationJoins: true, schemaName }),
      })
    },
  })
}
