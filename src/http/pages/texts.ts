// The words of the pages, by language, and the check of each language's file. Makes no HTML.
import type { Locale } from '../../domain/locale.ts'
import de from './texts/de.json' with { type: 'json' }
import en from './texts/en.json' with { type: 'json' }
import es from './texts/es.json' with { type: 'json' }
import fr from './texts/fr.json' with { type: 'json' }
import it from './texts/it.json' with { type: 'json' }
import pl from './texts/pl.json' with { type: 'json' }

/** English is the pattern: the other files have the same keys. */
export type PageTexts = typeof en

export const pageTexts: Readonly<Record<Locale, PageTexts>> = { en, fr, de, es, it, pl }

export const messageKinds = [
  'unknown-link',
  'already-renewed',
  'closed',
  'on-hold',
  'being-checked',
  'refused-at-bank',
  'not-completed',
  'other-account',
  'renewed',
  'busy',
  'link-refused',
  'no-answer',
  'retry-callback',
  'not-found',
  'bad-request',
  'too-many',
  'internal',
] as const satisfies readonly (keyof PageTexts['messages'])[]

export type MessageKind = (typeof messageKinds)[number]

const placeholderPattern = /\{\{\s*([^{}]*?)\s*\}\}/g

/** Replaces placeholders by their values in one pass: a value is never read as a placeholder. */
export const fill = (text: string, values: Readonly<Record<string, string | undefined>>): string =>
  text.replace(placeholderPattern, (_, name: string) => values[name] ?? '')

type Tree = string | readonly string[] | { readonly [key: string]: Tree }

/**
 * Every text in a file, by its path: `messages.busy.title`. A page's paragraphs count as one text, because each
 * language may divide them differently.
 */
const flatten = (tree: Tree, path = ''): [string, string][] => {
  if (typeof tree === 'string') return [[path, tree]]
  if (Array.isArray(tree)) return [[path, tree.join('\n')]]
  return Object.entries(tree).flatMap(([key, branch]) => flatten(branch, path === '' ? key : `${path}.${key}`))
}

const placeholdersIn = (text: string): Set<string> =>
  new Set([...text.matchAll(placeholderPattern)].map((match) => match[1] ?? ''))

/**
 * What is wrong with one language's texts, compared with English: keys, empty texts, placeholders. Empty when nothing
 * is wrong.
 */
export const problemsOfTexts = (locale: string, texts: Tree, pattern: Tree = en): string[] => {
  const found = new Map(flatten(texts))
  const expected = new Map(flatten(pattern))
  const problems: string[] = []
  for (const [path, model] of expected) {
    const text = found.get(path)
    if (text === undefined) {
      problems.push(`${locale}.json: "${path}" is missing`)
      continue
    }
    const report = (what: string): number => problems.push(`${locale}.json: "${path}" ${what}`)
    if (text.split('\n').some((line) => line.trim() === '')) report('is empty, or has an empty paragraph')
    if (/[{}]/.test(text.replace(placeholderPattern, ''))) report('has a brace that belongs to no {{placeholder}}')
    const [has, needs] = [placeholdersIn(text), placeholdersIn(model)]
    for (const name of has) if (!needs.has(name)) report(`may not say {{${name}}}`)
    for (const name of needs) if (!has.has(name)) report(`must say {{${name}}}`)
  }
  for (const path of found.keys()) if (!expected.has(path)) problems.push(`${locale}.json: "${path}" is used nowhere`)
  return problems
}
