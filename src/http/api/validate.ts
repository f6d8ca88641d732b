// Checks the parts of a request by their zod schemas, and says everything that is wrong at once: where, and which rule
// it breaks, but never the value.
import type { FastifySchemaCompiler } from 'fastify'
import { z } from 'zod'
import { nearest } from '../../config/suggest.ts'
import { ApiProblem, type ProblemPart } from './problems.ts'

/** More are not told: a body of junk must not be answered at length. */
const MAX_PARTS = 100
/** Of an unknown field's name, which is the caller's. */
const MAX_NAME = 60

type Schema = z.core.$ZodType
type Issue = z.core.$ZodIssue
type Path = readonly PropertyKey[]

/** The schema without what makes a field optional or gives it a default. */
const inner = (schema: Schema | undefined): Schema | undefined => {
  const { def } = (schema?._zod ?? {}) as { def?: { innerType?: Schema; in?: Schema } }
  const next = def?.innerType ?? def?.in
  return next === undefined ? schema : inner(next)
}

const shapeOf = (schema: Schema | undefined): Readonly<Record<string, Schema>> => {
  const { def } = (inner(schema)?._zod ?? {}) as { def?: { shape?: Record<string, Schema> } }
  return def?.shape ?? {}
}

const elementOf = (schema: Schema | undefined): Schema | undefined =>
  (inner(schema)?._zod as { def?: { element?: Schema } } | undefined)?.def?.element

const schemaAt = (schema: Schema | undefined, path: Path): Schema | undefined =>
  path.reduce<Schema | undefined>(
    (at, step) => (typeof step === 'number' ? elementOf(at) : shapeOf(at)[String(step)]),
    schema,
  )

const valueAt = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>((at, step) => (Object(at) as Record<PropertyKey, unknown>)[step], value)

const shortened = (name: string): string => (name.length > MAX_NAME ? `${name.slice(0, MAX_NAME)}…` : name)

const escaped = (name: string): string =>
  encodeURIComponent(shortened(name).toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1'))

/** RFC 6901, section 6: a pointer in a URI fragment. */
export const pointerTo = (path: Path): string => `#${path.map((step) => `/${escaped(String(step))}`).join('')}`

const articles: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'an object',
  array: 'a list',
}

const bound = (issue: Issue, word: 'least' | 'most', limit: number | bigint): string => {
  const { origin } = issue as { origin?: string }
  if (origin === 'string') return `must have at ${word} ${limit} ${limit === 1 ? 'character' : 'characters'}`
  return origin === 'array' ? `must have at ${word} ${limit} entries` : `must be at ${word} ${limit}`
}

const sayIssue = (issue: Issue, value: unknown): string => {
  switch (issue.code) {
    case 'invalid_type':
      if (value === undefined) return 'is missing'
      return `must be ${articles[issue.expected] ?? issue.expected}`
    case 'too_small':
      return bound(issue, 'least', issue.minimum)
    case 'too_big':
      return bound(issue, 'most', issue.maximum)
    case 'invalid_value':
      return value === undefined
        ? 'is missing'
        : `must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map(String).join(', ')}`
    case 'invalid_union':
      return value === undefined ? 'is missing' : 'fits none of the forms that are allowed here'
    default:
      return issue.message
  }
}

/** An unknown field is an issue of its object, and several may be one issue. */
const partsOf = (issue: Issue, schema: Schema, data: unknown): { path: Path; detail: string }[] => {
  if (issue.code !== 'unrecognized_keys')
    return [{ path: issue.path, detail: sayIssue(issue, valueAt(data, issue.path)) }]
  const known = Object.keys(shapeOf(schemaAt(schema, issue.path)))
  return issue.keys.map((key) => {
    const meant = nearest(key, known)
    return {
      path: [...issue.path, key],
      detail: `is not known${meant === undefined ? '' : `: did you mean ${meant}?`}`,
    }
  })
}

/** A query holds only texts. What is not a number stays a text, and the schema refuses it. */
const withNumbers = (schema: Schema, query: unknown): unknown => {
  const shape = shapeOf(schema)
  return Object.fromEntries(
    Object.entries(Object(query) as Record<string, unknown>).map(([name, value]) => {
      const field = inner(shape[name])
      if (typeof value !== 'string') return [name, value]
      if (field instanceof z.core.$ZodNumber && /^\d{1,9}$/.test(value)) return [name, Number(value)]
      return [name, value]
    }),
  )
}

const says = (part: ProblemPart): string =>
  `${'pointer' in part ? (part.pointer === '#' ? 'the body' : part.pointer) : part.parameter} ${part.detail}`

/** The problem with these parts, of which the sentence names the first. */
export const invalidRequest = (parts: readonly ProblemPart[]): ApiProblem => {
  const [first] = parts
  const others = parts.length - 1
  const more = others <= 0 ? '' : `, and ${others} ${others === 1 ? 'other problem' : 'other problems'}`
  return new ApiProblem('invalid-request', `${first === undefined ? 'the request is not valid' : says(first)}${more}`, {
    errors: parts.slice(0, MAX_PARTS),
  })
}

export const validatorCompiler: FastifySchemaCompiler<Schema> =
  ({ schema, httpPart }) =>
  (data) => {
    // Without a body, Fastify has null.
    const given = httpPart === 'querystring' ? withNumbers(schema, data) : (data ?? undefined)
    const result = z.core.safeParse(schema, given)
    if (result.success) return { value: result.data }
    const parts = result.error.issues
      .flatMap((issue) => partsOf(issue, schema, given))
      .map(({ path, detail }) =>
        httpPart === 'body'
          ? { pointer: pointerTo(path), detail }
          : { parameter: shortened(String(path[0] ?? httpPart)), detail },
      )
    return { error: invalidRequest(parts) }
  }
