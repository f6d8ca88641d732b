// Reads an instant with the offset that PostgreSQL wrote after it, so that the result is right whatever the session's
// time zone. Prisma's adapter treats every offset as +00:00.

const TIMESTAMPTZ = 1184
const TIMESTAMPTZ_ARRAY = 1185
const SHAPE = /^(\d{4,6})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(\.\d+)?([+-])(\d\d)(?::(\d\d)(?::(\d\d))?)?$/

/** Returns ISO 8601 in UTC. Throws on an instant in another DateStyle, because guessing would shift every date. */
export const instantOf = (text: string): string => {
  if (text.endsWith('+00')) return `${text.slice(0, 10)}T${text.slice(11)}:00`
  if (text === 'infinity' || text === '-infinity' || text.endsWith(' BC')) return text
  const [, year, month, day, hour, minute, second, fraction = '', sign, hours, minutes = '0', seconds = '0'] =
    SHAPE.exec(text) ?? []
  if (year === undefined)
    throw new Error(
      'PostgreSQL wrote an instant in another style than ISO: something between us and it drops the setting DateStyle',
    )
  const offset = ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * (sign === '-' ? -1000 : 1000)
  const local = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second))
  return new Date(local - offset).toISOString().replace('.000Z', `${fraction}+00:00`)
}

type Parser = (text: string) => unknown
/** The interface that node-postgres accepts with a query. */
export interface TypeParsers {
  getTypeParser(oid: number, format?: string): Parser
}

const listOf =
  (parse: Parser): Parser =>
  (text) =>
    parse(text.replaceAll(/"([^"]*)"/g, (_, quoted: string) => `"${instantOf(quoted).replace('T', ' ')}"`))

/** The caller's parsers, except for instants. */
export const withInstants = (given: TypeParsers): TypeParsers => ({
  getTypeParser: (oid, format = 'text') => {
    if (format !== 'text' || (oid !== TIMESTAMPTZ && oid !== TIMESTAMPTZ_ARRAY)) return given.getTypeParser(oid, format)
    return oid === TIMESTAMPTZ ? instantOf : listOf(given.getTypeParser(oid, format))
  },
})
