// Finds what identifies an error of PostgreSQL, its drivers, TLS or the network, however deep others have wrapped it.
// What an error means is decided elsewhere: trouble.ts says it in words, store/database-errors.ts in kinds.

export const fieldOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined

/** The field if it is a text, else an empty text. */
export const textOf = (value: unknown, name: string): string => {
  const found = fieldOf(value, name)
  return typeof found === 'string' ? found : ''
}

const DEEPEST = 6

/**
 * The error and its causes, innermost first, because the innermost knows best. Prisma hides its driver's error in
 * `meta` and `cause`.
 */
export const layersOf = (error: unknown, depth = 0): object[] => {
  if (typeof error !== 'object' || error === null || depth > DEEPEST) return []
  const errors = fieldOf(error, 'errors')
  const inner = [
    fieldOf(error, 'cause'),
    fieldOf(fieldOf(error, 'meta'), 'driverAdapterError'),
    ...(Array.isArray(errors) ? (errors as unknown[]) : []),
  ]
  return [...inner.flatMap((layer) => layersOf(layer, depth + 1)), error]
}

/** An SQLSTATE, a code of Prisma (`P…`) or of the system (`ECONNREFUSED`); empty if the layer has none. */
export const codeOf = (layer: unknown): string => textOf(layer, 'originalCode') || textOf(layer, 'code')

/** Every code of the error and its causes, the innermost first. */
export const codesOf = (error: unknown): string[] => layersOf(error).flatMap((layer) => codeOf(layer) || [])
