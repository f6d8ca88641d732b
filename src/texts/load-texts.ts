// Reads the texts of all languages and the frame of the HTML mails from their folder, and refuses all of them if any is
// broken. Fills in nothing.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Locale, locales } from '../domain/locale.ts'
import type { LanguageTexts } from './catalogue.ts'
import { readLanguageFile } from './language-file.ts'
import { problemsOfLayout } from './mail-layout.ts'
import type { Problem } from './text.ts'
import { TextsError } from './texts-error.ts'

export interface Texts {
  /** The frame of the HTML mails, with `{{lang}}`, `{{subject}}` and `{{body}}`. */
  readonly mailLayout: string
  readonly byLocale: Readonly<Record<Locale, LanguageTexts>>
}

/** The texts that come with Reconsent. */
export const ownTextsFolder = fileURLToPath(new URL('.', import.meta.url))

const LAYOUT = 'mail-layout.html'

const readText = (path: string): { text: string } | { what: string } => {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return { what: code === 'ENOENT' ? 'the file is missing' : `the file cannot be read (${code})` }
  }
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch {
    return { what: 'the file is not UTF-8 text: save it as UTF-8' }
  }
}

/**
 * A renamed or misspelt file would otherwise be ignored silently. Files that editors leave behind (`.swp`, `~`) are
 * ignored.
 */
const surplusFiles = (dir: string): string[] => {
  const known = new Set<string>(locales.map((locale) => `${locale}.yaml`))
  return readdirSync(dir).filter((file) => /\.ya?ml$/i.test(file) && !file.startsWith('.') && !known.has(file))
}

/** Loads and checks everything. Throws one TextsError that lists every problem as `file:line: what`. */
export const loadTexts = (dir: string = ownTextsFolder): Texts => {
  const problems: string[] = []
  const report = (file: string, found: readonly Problem[]): void => {
    problems.push(...found.map(({ line, what }) => `${file}:${line}: ${what}`))
  }
  const read = (file: string): string | undefined => {
    const result = readText(join(dir, file))
    if ('text' in result) return result.text
    problems.push(`${file}: ${result.what}`)
    return undefined
  }

  const mailLayout = read(LAYOUT)
  if (mailLayout !== undefined) report(LAYOUT, problemsOfLayout(mailLayout))
  const entries = locales.map((locale) => {
    const file = `${locale}.yaml`
    const source = read(file)
    if (source === undefined) return [locale, undefined]
    const { texts, problems: found } = readLanguageFile(source)
    report(file, found)
    return [locale, texts]
  })
  for (const file of surplusFiles(dir))
    problems.push(`${file}: no language of this name: there are ${locales.join(', ')}`)
  if (problems.length > 0)
    throw new TextsError(`the texts in ${dir} have ${problems.length} problem(s):\n  ${problems.join('\n  ')}`)
  return { mailLayout: mailLayout ?? '', byLocale: Object.fromEntries(entries) as Texts['byLocale'] }
}
