// Turns the issues that zod finds in a policy into problems that name the key, say what is wrong, and suggest what was
// probably meant.
import type { z } from 'zod'
import { policyKeys } from './policy-keys.ts'
import type { Problem } from './problems.ts'
import { nearest } from './suggest.ts'

type Path = readonly PropertyKey[]

/** A blank name is put in quotes, so that the problem still names a place. */
const shown = (name: string): string => (name.trim() === '' ? `'${name}'` : name)

/** The path as text: `ladder[2]`, `timing.retry.attempts`. */
const pathText = (path: Path): string =>
  path
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${shown(String(part))}`))
    .join('')

/** The names of the keys that an object at this path may have. */
const namesAt = (path: Path): readonly string[] => {
  const below = policyKeys.filter((known) =>
    path.every((part, at) => known.path[at] === part || known.path[at] === '*'),
  )
  return [...new Set(below.map((known) => known.path[path.length] ?? ''))]
}

/** Keys of earlier releases, with what to do about each. */
const removedKeys: Readonly<Record<string, string>> = {
  import:
    'is not a key of the policy any more: import.supersedeOlder took two logins of one user at one bank for the ' +
    'same. A row of an import now names the connection that it replaces in its field supersedes. Remove the key; ' +
    'reconsent unsupersede reopens what the rule closed by mistake.',
}

const unknownKey = (path: Path, key: string): Problem => {
  const what = path.length === 0 && Object.hasOwn(removedKeys, key) ? removedKeys[key] : undefined
  if (what !== undefined) return { where: key, what }
  const siblings = namesAt(path)
  const sibling = nearest(key, siblings)
  // The key exists but in another place: `messagesPerHour` at the top level means `limits.messagesPerHour`.
  const elsewhere = nearest(
    key,
    policyKeys.map((known) => known.path.at(-1) ?? ''),
  )
  const meant =
    sibling === undefined ? policyKeys.find((known) => known.path.at(-1) === elsewhere)?.path : [...path, sibling]
  const advice = meant === undefined ? `Known here: ${siblings.join(', ')}.` : `Did you mean ${pathText(meant)}?`
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

/** The words of issues for which the schema has none of its own. */
export const issueWords: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${typeNames[issue.expected] ?? issue.expected}`
    case 'invalid_value':
      return `must be ${quoted(issue.values)}`
    case 'too_small':
      return sizeText(issue.origin, 'at least', issue.minimum)
    case 'too_big':
      return sizeText(issue.origin, 'at most', issue.maximum)
    default:
      return undefined
  }
}

/** The problems of an issue whose path begins below `above`; each text ends with `suffix`. `file` names the policy. */
export const issueProblems = (
  issue: z.core.$ZodIssue,
  file: string,
  above: Path = [],
  suffix = '',
): readonly Problem[] => {
  const path = [...above, ...issue.path]
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(path, key))
  // A union is always "false, or something", and the problem is the something's.
  if (issue.code === 'invalid_union')
    return (issue.errors.at(-1) ?? []).flatMap((inner) =>
      issueProblems(inner, file, path, inner.path.length === 0 ? ', or false' : ''),
    )
  return [{ where: path.length === 0 ? file : pathText(path), what: `${issue.message}${suffix}` }]
}
