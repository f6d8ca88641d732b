// One text with its {{placeholders}}: how values are filled in, how the text is divided into paragraphs, and which
// mistakes it may hold. Knows neither the languages nor the files.
import { z } from 'zod'

/** `button` and `link` both stand for the start link in a mail. */
const placeholders = ['company', 'bank', 'expiresOn', 'graceEndsOn', 'name', 'link', 'button', 'days', 'scope'] as const

export type Placeholder = (typeof placeholders)[number]

const placeholderPattern = /\{\{\s*([^{}]*?)\s*\}\}/g

/**
 * Replaces the placeholders by their values in one pass: a value is never read as a placeholder. Without a name, the
 * space or comma before it is removed too: `Hello {{name}},` becomes `Hello,`.
 */
export const fill = (text: string, values: Readonly<Record<string, string | undefined>>): string =>
  (values['name'] ? text : text.replace(/[\s,]*\{\{\s*name\s*\}\}/g, '')).replace(
    placeholderPattern,
    (_, name: string) => values[name] ?? '',
  )

export const placeholdersIn = (text: string): string[] =>
  [...text.matchAll(placeholderPattern)].map((match) => match[1] ?? '')

/** Whether a paragraph of a mail is its button. */
export const isButton = (paragraph: string): boolean => /^\{\{\s*button\s*\}\}$/.test(paragraph)

/** What is wrong in a line. Lines of a text count from 0, lines of a file from 1. */
export interface Problem {
  readonly line: number
  readonly what: string
}

export interface Paragraph {
  /** The line of the text on which the paragraph begins, from 0. */
  readonly line: number
  readonly text: string
}

/** Blank lines separate paragraphs; a line break inside a paragraph only shows how the editor wrapped it. */
const paragraphsOf = (lines: readonly string[]): Paragraph[] => {
  const found: { line: number; parts: string[] }[] = []
  let isOpen = false
  for (const [line, raw] of lines.entries()) {
    const part = raw.trim()
    if (part !== '' && isOpen) found.at(-1)?.parts.push(part)
    else if (part !== '') found.push({ line, parts: [part] })
    isOpen = part !== ''
  }
  return found.map(({ line, parts }) => ({ line, text: parts.join(' ') }))
}

export interface TextRules {
  /** The placeholders that the text must have. */
  readonly must?: readonly Placeholder[]
  /** Those that it may have besides. */
  readonly may?: readonly Placeholder[]
  /** What else can be wrong with the text. */
  readonly check?: (paragraphs: readonly Paragraph[]) => readonly Problem[]
}

const braced = (name: string): string => `{{${name}}}`

const problemsOfLine = (text: string, allowed: readonly string[]): string[] => {
  const known = allowed.length === 0 ? 'this text has none' : `there are ${allowed.map(braced).join(', ')}`
  const refused = placeholdersIn(text)
    .filter((name) => !allowed.includes(name))
    .map((name) =>
      (placeholders as readonly string[]).includes(name)
        ? `${braced(name)} may not be used here`
        : `unknown placeholder ${braced(name)}: ${known}`,
    )
  const stray = /[{}]/.test(text.replace(placeholderPattern, '')) ? ['a brace that belongs to no {{placeholder}}'] : []
  return [...refused, ...stray]
}

const problemsOf = (
  lines: readonly string[],
  paragraphs: readonly Paragraph[],
  { must = [], may = [], check }: TextRules,
): Problem[] => {
  if (paragraphs.length === 0) return [{ line: 0, what: 'the text is empty' }]
  const said = new Set(paragraphs.flatMap(({ text }) => placeholdersIn(text)))
  return [
    ...lines.flatMap((text, line) => problemsOfLine(text, [...must, ...may]).map((what) => ({ line, what }))),
    ...must.filter((name) => !said.has(name)).map((name) => ({ line: 0, what: `must say ${braced(name)}` })),
    ...(check?.(paragraphs) ?? []),
  ]
}

/** A text of one or more paragraphs. A problem of it is an issue with the line of the text in `params.line`. */
export const paragraphs = (rules: TextRules = {}) =>
  z.string().transform((source, context): readonly string[] => {
    const lines = source.split('\n')
    const found = paragraphsOf(lines)
    for (const { line, what } of problemsOf(lines, found, rules))
      context.addIssue({ code: 'custom', message: what, params: { line } })
    return found.map(({ text }) => text)
  })

const onlyOne = ([, second]: readonly Paragraph[]): Problem[] =>
  second === undefined ? [] : [{ line: second.line, what: 'a second paragraph: this text has only one' }]

/** A text of exactly one paragraph. */
export const sentence = (rules: Pick<TextRules, 'must' | 'may'> = {}) =>
  paragraphs({ ...rules, check: onlyOne }).transform(([text = '']) => text)
