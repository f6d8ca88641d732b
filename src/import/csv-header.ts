// Reads the header of a CSV file, however a spreadsheet wrote it: which column is which field, and which delimiter
// separates the columns.
import { nearest } from '../config/suggest.ts'
import { parseRecord } from './csv-record.ts'
import { importFieldNames, importFields } from './fields.ts'
import { ImportFileError } from './file-error.ts'

export const delimiters = [',', ';', '\t', '|'] as const

export interface Header {
  readonly delimiter: string
  /** Without nameless columns at the end. */
  readonly names: readonly string[]
}

/**
 * The separator that a first line `sep=;` names. Excel reads such a line, and some programs write it for Excel, with a
 * tab also as `\t`.
 */
export const separatorOf = (text: string): string | undefined => {
  const said = /^"?sep *= *(\\t|tab|[^\w\s"]|\t)"?[,;|\s]*$/i.exec(text)?.[1]
  return said === undefined || said.length === 1 ? said : '\t'
}

/** Throws ImportFileError when the text is not the header of an import. */
export const readHeader = (text: string, separator: string | undefined): Header => {
  const [found] = (separator === undefined ? delimiters : [separator])
    .flatMap((delimiter) => {
      const cells = parseRecord(text, delimiter)
      return cells === undefined ? [] : [{ delimiter, names: withoutEmptyEnd(cells.map(plain)) }]
    })
    .toSorted((a, b) => knownIn(b.names) - knownIn(a.names) || b.names.length - a.names.length)
  if (found === undefined)
    throw new ImportFileError('the first line is not a CSV header: a quotation mark is not closed')
  const missing = missingColumns(found.names)
  if (missing !== undefined) {
    const parted = separator === undefined ? '' : ' (parted as its line sep= says; if they are not, remove that line)'
    throw new ImportFileError(`the first line must name the columns: ${missing}${parted}`)
  }
  const twice = importFieldNames.find((field) => found.names.indexOf(field) !== found.names.lastIndexOf(field))
  if (twice !== undefined) throw new ImportFileError(`the header names the column ${twice} twice`)
  return {
    ...found,
    names: found.names.map((name, index) => (name === '' ? `column ${index + 1} without a name` : name)),
  }
}

/** Normalises a column's name: `User ID` becomes `user_id`. Invisible characters do not make a different name. */
const plain = (name: string): string =>
  name
    .replaceAll(/[\p{Cc}\p{Cf}]/gu, ' ')
    .trim()
    .toLowerCase()
    .replaceAll(/[\s-]+/g, '_')

const withoutEmptyEnd = (names: readonly string[]): string[] =>
  names.slice(0, names.findLastIndex((name) => name !== '') + 1)
const knownIn = (names: readonly string[]): number => importFieldNames.filter((field) => names.includes(field)).length

/** Whether a line can only be a header. */
export const isHeader = (text: string): boolean => {
  const known = delimiters.map((delimiter) => knownIn((parseRecord(text, delimiter) ?? []).map(plain)))
  return Math.max(...known) >= 2
}

/**
 * The columns that a header lacks. Of the columns that it has, only near misses are repeated: if the file has no
 * header, the names are the values of the first row.
 */
const missingColumns = (names: readonly string[]): string | undefined => {
  const missing = Object.entries(importFields)
    .filter(([name, { need }]) => need === 'required' && !names.includes(name))
    .map(([name]) => name)
  if (!names.includes('expires_at') && !names.includes('consented_at')) missing.push('expires_at or consented_at')
  if (missing.length === 0) return undefined
  const unknown = names.filter((name) => name.length < 40 && !(importFieldNames as readonly string[]).includes(name))
  const said = missing.map((name) => {
    const meant = nearest(name, unknown)
    return meant === undefined ? name : `${name} (was it misspelt as ${meant}?)`
  })
  return `missing ${said.join(', ')}`
}
