// Reads every mail template once, at startup, and refuses to start with a broken one. Renders nothing.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { locales, type Locale } from '../domain/locale.ts'
import { parseTemplate, problemsOfLayout, type Problem, type Template } from './template-file.ts'

/** The situations in which a user gets a message; each has a file of this name in every language. */
export const templateNames = [
  'before-expiry',
  'last-day',
  'expired',
  'last-chance',
  'after-grace',
  'asked-again',
  'other-account',
  'uncertain',
] as const

export type TemplateName = (typeof templateNames)[number]

export interface Templates {
  readonly layout: string
  readonly byLocale: Readonly<Record<Locale, Readonly<Record<TemplateName, Template>>>>
}

/** The templates that come with Reconsent. */
export const ownTemplates = fileURLToPath(new URL('./templates', import.meta.url))

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
const surplusFiles = (dir: string, locale: Locale): string[] => {
  const known = new Set<string>(templateNames.map((name) => `${name}.txt`))
  try {
    return readdirSync(join(dir, locale)).filter(
      (file) => file.endsWith('.txt') && !file.startsWith('.') && !known.has(file),
    )
  } catch {
    return []
  }
}

/**
 * Loads and checks the layout and all templates in all languages. Throws one Error that lists every problem as
 * `file:line: what`.
 */
export const loadTemplates = (dir: string = ownTemplates): Templates => {
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

  const layout = read('layout.html')
  if (layout !== undefined) report('layout.html', problemsOfLayout(layout))
  const entries = locales.map((locale) => {
    const ofLocale = templateNames.map((name) => {
      const file = `${locale}/${name}.txt`
      const source = read(file)
      const { template, problems: found } = parseTemplate(source ?? '')
      if (source !== undefined) report(file, found)
      return [name, template] as const
    })
    for (const file of surplusFiles(dir, locale)) {
      problems.push(`${locale}/${file}: no message of this name is ever sent: there are ${templateNames.join(', ')}`)
    }
    return [locale, Object.fromEntries(ofLocale) as Record<TemplateName, Template>] as const
  })
  if (problems.length > 0) {
    throw new Error(`the mail templates in ${dir} have ${problems.length} problem(s):\n  ${problems.join('\n  ')}`)
  }
  return { layout: layout ?? '', byLocale: Object.fromEntries(entries) as Templates['byLocale'] }
}
