// Prisma's adapter writes an instant without its offset, so that PostgreSQL takes it for the session's own time zone.
// Here it leaves with a Z. The other half, reading, is in postgres/instants.ts.
import type { PrismaPg } from '@prisma/adapter-pg'

type Adapter = Awaited<ReturnType<PrismaPg['connect']>>
type Query = Parameters<Adapter['queryRaw']>[0]
type Queryable = Pick<Adapter, 'queryRaw' | 'executeRaw'>

const NOT_AN_INSTANT = new Set(['DATE', 'TIME', 'TIMETZ'])

const withOffset = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withOffset)
  return value instanceof Date || typeof value === 'string' ? new Date(value).toISOString() : value
}

/** The adapter passes on a text that is called a text. */
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

/** The same factory; `schemaOf` is asked at each connect where our tables are. */
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
