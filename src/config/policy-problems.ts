// Turns the issues that zod finds in a policy into problems that name the key, say what is wrong, and suggest what was
// probably meant.
import { z } from 'zod'
import type { Problem } from './problems.ts'
import { nearest } from './suggest.ts'

type Issue = z.core.$ZodIssue
type Path = readonly PropertyKey[]

/** A blank name is put in quotes, so that the problem still names a place. */
const shown = (name: string): string => (name.trim() === '' ? `'${name}'` : name)

/** The path as text: `ladder[2]`, `timing.retry.attempts`. */
export const pathText = (path: Path): string =>
  path
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${shown(String(part))}`))
    .join('')

/** Unwraps defaults, optionals and transformations to reach the schema of what the file may contain. */
const unwrapSchema = (schema: z.core.$ZodType): z.core.$ZodType => {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodPrefault) return unwrapSchema(schema.def.innerType)
  if (schema instanceof z.ZodPipe) return unwrapSchema(schema.def.in)
  // A union is always "false or something"; its last option is the something.
  if (schema instanceof z.ZodUnion) return unwrapSchema(schema.def.options.at(-1) ?? schema)
  return schema
}

const keysAt = (schema: z.core.$ZodType, path: Path): string[] => {
  const here = unwrapSchema(schema)
  const [first, ...rest] = path
  if (here instanceof z.ZodRecord) return first === undefined ? [] : keysAt(here.def.valueType, rest)
  if (!(here instanceof z.ZodObject)) return []
  if (first === undefined) return Object.keys(here.shape)
  const next = (here.shape as Record<string, z.core.$ZodType>)[String(first)]
  return next === undefined ? [] : keysAt(next, rest)
}

/** Every key a policy may have, as paths: `link.freshFor`, `providers.*.grace`. */
export const policyKeys = (schema: z.core.$ZodType): string[] => {
  const here = unwrapSchema(schema)
  const inside = (name: string, of: z.core.$ZodType): string[] => {
    const deeper = policyKeys(of).map((key) => `${name}.${key}`)
    return deeper.length > 0 ? deeper : [name]
  }
  if (here instanceof z.ZodRecord) return inside('*', here.def.valueType)
  return here instanceof z.ZodObject
    ? Object.entries(here.shape).flatMap(([name, of]) => inside(name, of as z.core.$ZodType))
    : []
}

/** Keys of earlier releases, with what to do about each. */
const removedKeys: Readonly<Record<string, string>> = {
  import:
    'is no key of the policy any more: import.supersedeOlder took two logins of one user at one bank for one. ' +
    'A row of an import says by its ' +
    'field supersedes which connection it took the place of. Remove the key; what the rule closed, reconsent ' +
    'unsupersede finds and reopens.',
}

const unknownKey = (schema: z.core.$ZodType, path: Path, key: string): Problem => {
  const what = path.length === 0 && Object.hasOwn(removedKeys, key) ? removedKeys[key] : undefined
  if (what !== undefined) return { where: key, what }
  const siblings = keysAt(schema, path)
  const sibling = nearest(key, siblings)
  const all = policyKeys(schema)
  // The key exists but in another place: `messagesPerHour` at the top level means `limits.messagesPerHour`.
  const elsewhere = nearest(
    key,
    all.map((known) => known.slice(known.lastIndexOf('.') + 1)),
  )
  const meant =
    sibling === undefined ? all.find((known) => known.endsWith(`.${elsewhere}`)) : pathText([...path, sibling])
  const advice = meant === undefined ? `Known here: ${siblings.join(', ')}.` : `Did you mean ${meant}?`
  return { where: pathText([...path, key.slice(0, 60)]), what: `is not a key of the policy. ${advice}` }
}

const typeNames: Readonly<Record<string, string>> = {
  object: 'an object: { … }',
  record: 'an object: { … }',
  array: 'a list: [ … ]',
  string: 'text',
  number: 'a whole number',
  int: 'a whole number',
  boolean: 'true or false',
}

const quoted = (values: readonly unknown[]): string =>
  values.map((value) => (typeof value === 'string' ? `'${value}'` : String(value))).join(' or ')

/** A limit in words: `must be at least 1`, `must have at most 100 characters`. */
const sizeText = (origin: string, limit: string, size: number | bigint): string => {
  const of = { string: 'character', array: 'entry' }[origin]
  if (of === undefined) return `must be ${limit} ${size}`
  return `must have ${limit} ${size} ${Number(size) === 1 ? of : of.replace(/y$/, 'ie').concat('s')}`
}

const issueProblems = (schema: z.core.$ZodType, issue: Issue, above: Path, suffix: string): Problem[] => {
  const path = [...above, ...issue.path]
  const say = (what: string): Problem[] => [{ where: pathText(path) || 'the policy', what: `${what}${suffix}` }]
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey(schema, path, key))
    case 'invalid_union':
      return (issue.errors.at(-1) ?? []).flatMap((inner) =>
        issueProblems(schema, inner, path, inner.path.length === 0 ? ', or false' : ''),
      )
    case 'invalid_type':
      return say(`must be ${typeNames[issue.expected] ?? issue.expected}`)
    case 'invalid_value':
      return say(`must be ${quoted(issue.values)}`)
    case 'too_small':
      return say(sizeText(issue.origin, 'at least', issue.minimum))
    case 'too_big':
      return say(sizeText(issue.origin, 'at most', issue.maximum))
    default:
      return say(issue.message)
  }
}

/** The problems of a policy, in the order of its keys. */
export const policyProblems = (schema: z.core.$ZodType, error: z.ZodError): Problem[] =>
  error.issues.flatMap((issue) => issueProblems(schema, issue, [], ''))
