// Checks what the API is sent about a consent, by the readers that check a row of a file (check-row.ts). A program has
// sent it and reads the answer, so nothing is left out with a warning: whatever is wrong is a problem.
import type { DateTime } from 'luxon'
import { nearest } from '../config/suggest.ts'
import type { ContactChanges, ContactDetail } from '../domain/contact-change.ts'
import type { ImportRow } from '../store/administration-port.ts'
import {
  channelList,
  type Field,
  isListOfTexts,
  mostOf,
  NAMES_ITSELF,
  neededFor,
  type NeededValues,
  type Optionals,
  optionalFor,
  type Read,
  rowOf,
  type RowRules,
  type ValuesOf,
} from './check-row.ts'
import { unmarked } from './damage.ts'
import {
  type CheckedBody,
  type ContactField,
  contactFieldNames,
  type FieldProblem,
  type ImportField,
  importFieldNames,
  importFields,
} from './fields.ts'

type Given = Readonly<Record<string, unknown>>

const EXACT: readonly ImportField[] = ['credentials_id', 'refresh_token', 'provider_id', 'user_id', 'supersedes']

/** What is wrong only with what a program sends: a file has been through spreadsheets, and has nothing but texts. */
const inexact = (field: ImportField, given: unknown): string | undefined => {
  if (importFields[field].form === 'texts')
    return isListOfTexts(given) && given.length <= mostOf(field)
      ? undefined
      : `must be a list of at most ${mostOf(field)} texts`
  if (typeof given !== 'string') return undefined
  if (given.trim() === '') return 'is empty'
  // An id with such marks would be another id in the company's system than here.
  return EXACT.includes(field) && unmarked(given) !== given
    ? 'has spaces around it, or marks by which a spreadsheet keeps text'
    : undefined
}

const readExactly = (field: ImportField, read: Field<unknown>, given: unknown): Read<unknown> => {
  const problem = given === undefined ? undefined : inexact(field, given)
  return problem === undefined ? read(given) : { problem }
}

/** A field that is null is as one that is not there; nothing is looked for in the prototype. */
const valueIn = (given: Given, field: ImportField): unknown =>
  Object.hasOwn(given, field) ? (given[field] ?? undefined) : undefined

/** To compare names costs time, and a body may have very many that mean nothing. */
const MAX_UNKNOWN = 20

/** Each name that is not known, with the one that was probably meant. */
const unknownIn = (given: Given, known: readonly string[]): FieldProblem[] => {
  const unknown = Object.keys(given).filter((name) => !known.includes(name))
  const told = unknown.slice(0, MAX_UNKNOWN).map((field) => {
    const meant = nearest(field, known)
    return { field, detail: `is not known${meant === undefined ? '' : `: did you mean ${meant}?`}` }
  })
  const others = unknown.length - told.length
  return others === 0 ? told : [...told, { field: undefined, detail: `has ${others} more fields that are not known` }]
}

/** Makes the check of a whole row. `now`: when the request came. */
export const makeBodyCheck = (rules: RowRules): ((given: Given) => CheckedBody<ImportRow>) => {
  const readers: Readonly<Record<ImportField, Field<unknown>>> = { ...neededFor(rules), ...optionalFor(rules.now) }

  return (given) => {
    const values: Record<string, unknown> = {}
    const problems: FieldProblem[] = []
    for (const field of importFieldNames) {
      const value = valueIn(given, field)
      if (value === undefined && importFields[field].need !== 'required') continue
      const read = readExactly(field, readers[field], value)
      if (read.problem === undefined) values[field] = read.value
      else problems.push({ field, detail: read.problem })
    }
    if (valueIn(given, 'expires_at') === undefined && valueIn(given, 'consented_at') === undefined)
      problems.push({ field: undefined, detail: 'needs expires_at or consented_at' })
    if (values['supersedes'] !== undefined && values['supersedes'] === values['credentials_id'])
      problems.push({ field: 'supersedes', detail: NAMES_ITSELF })
    problems.push(...unknownIn(given, importFieldNames))
    return problems.length > 0 ? { problems } : { value: rowOf(values as NeededValues, values as ValuesOf<Optionals>) }
  }
}

const detailOf: Readonly<Record<ContactField, ContactDetail>> = {
  email: 'email',
  phone: 'phone',
  name: 'name',
  locale: 'locale',
  time_zone: 'timeZone',
  channels: 'channels',
}

/** Makes the check of changes: a field that is not there stays as it is, null clears it. */
export const makeChangesCheck = (now: DateTime): ((given: Given) => CheckedBody<ContactChanges>) => {
  const readers = { ...optionalFor(now), channels: channelList }

  return (given) => {
    const changes: Record<string, unknown> = {}
    const problems: FieldProblem[] = []
    for (const field of contactFieldNames) {
      if (!Object.hasOwn(given, field) || given[field] === undefined) continue
      const read = given[field] === null ? { value: null } : readExactly(field, readers[field], given[field])
      if (read.problem === undefined) changes[detailOf[field]] = read.value
      else problems.push({ field, detail: read.problem })
    }
    problems.push(...unknownIn(given, contactFieldNames))
    return problems.length > 0 ? { problems } : { value: changes as ContactChanges }
  }
}
