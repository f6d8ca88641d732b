// Parses one template file and names every mistake in it by line. Knows the format, which docs/templates.md explains to
// the people who edit templates; reads no files.

/**
 * The placeholders of templates. `button` and `link` both stand for the start link; a template has exactly one of them.
 */
export const placeholders = ['company', 'bank', 'expiresOn', 'graceEndsOn', 'name', 'link', 'button'] as const

export type Placeholder = (typeof placeholders)[number]

export interface Template {
  readonly subject: string
  /** The button's label; empty when the template has a plain `{{link}}` instead. */
  readonly button: string
  /** Each paragraph is on one line; `{{button}}` is a paragraph of its own. */
  readonly paragraphs: readonly string[]
}

export interface Problem {
  readonly line: number
  readonly what: string
}

export const placeholderPattern = /\{\{\s*([^{}]*?)\s*\}\}/g

// A locked screen would show the user's name in a subject; a link in a subject would not work.
const allowedInHead: readonly string[] = ['company', 'bank', 'expiresOn', 'graceEndsOn']
const requiredInBody: readonly Placeholder[] = ['company', 'bank', 'expiresOn']

const namesIn = (text: string): string[] => [...text.matchAll(placeholderPattern)].map((match) => match[1] ?? '')

const problemsOfLine = (text: string, allowed: readonly string[]): string[] => {
  const unknown = namesIn(text)
    .filter((name) => !allowed.includes(name))
    .map((name) =>
      (placeholders as readonly string[]).includes(name)
        ? `{{${name}}} may not be used here`
        : `unknown placeholder {{${name}}}: there are ${allowed.map((known) => `{{${known}}}`).join(', ')}`,
    )
  const stray = /[{}]/.test(text.replace(placeholderPattern, '')) ? ['a brace that belongs to no {{placeholder}}'] : []
  return [...unknown, ...stray]
}

interface Paragraph {
  readonly line: number
  readonly text: string
}

/** Blank lines separate paragraphs; a line break inside a paragraph only shows how the editor wrapped it. */
const paragraphsOf = (lines: readonly string[], firstLine: number): Paragraph[] => {
  const found: Paragraph[] = []
  let open: { line: number; parts: string[] } | undefined
  for (const [index, raw] of [...lines, ''].entries()) {
    const text = raw.trim()
    if (text !== '') {
      open ??= { line: firstLine + index, parts: [] }
      open.parts.push(text)
    } else if (open !== undefined) {
      found.push({ line: open.line, text: open.parts.join(' ') })
      open = undefined
    }
  }
  return found
}

const isButton = (text: string): boolean => /^\{\{\s*button\s*\}\}$/.test(text)

const problemsOfBody = (body: readonly Paragraph[], bodyLine: number, hasLabel: boolean): Problem[] => {
  const problems: Problem[] = []
  const at = (name: string): Paragraph[] =>
    body.flatMap((paragraph) => namesIn(paragraph.text).flatMap((found) => (found === name ? [paragraph] : [])))
  for (const { line, text } of body) {
    if (/^\{\{\s*name\s*\}\}/.test(text))
      problems.push({ line, what: 'write a greeting before {{name}}: the name may be unknown' })
    if (namesIn(text).includes('button') && !isButton(text)) {
      problems.push({ line, what: '{{button}} must be a paragraph of its own, with a blank line before and after it' })
    }
  }
  const links = [...at('link'), ...at('button')].sort((a, b) => a.line - b.line)
  if (links.length === 0)
    problems.push({ line: bodyLine, what: 'the link is missing: write {{button}} as a paragraph of its own' })
  for (const { line } of links.slice(1)) {
    problems.push({ line, what: 'a second link: a message has exactly one {{button}} or {{link}}' })
  }
  if (at('button').length > 0 && !hasLabel) {
    problems.push({ line: 2, what: 'the second line must be `Button: ` and the words on the button' })
  }
  for (const name of requiredInBody) {
    if (at(name).length === 0) problems.push({ line: bodyLine, what: `the text must say {{${name}}}` })
  }
  return problems
}

/**
 * Parses one template. A template with problems is unusable; all its problems are listed, in the order of their lines.
 */
export const parseTemplate = (source: string): { template: Template; problems: Problem[] } => {
  const lines = source.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/)
  const problems: Problem[] = []
  const subject = /^Subject:\s*(.*?)\s*$/.exec(lines[0] ?? '')?.[1] ?? ''
  if (subject === '') problems.push({ line: 1, what: 'the first line must be `Subject: ` and the subject' })
  const button = /^Button:\s*(.*?)\s*$/.exec(lines[1] ?? '')?.[1] ?? ''
  const headLines = button === '' ? 1 : 2
  for (const [index, text] of [subject, button].entries()) {
    problems.push(...problemsOfLine(text, allowedInHead).map((what) => ({ line: index + 1, what })))
  }
  if (subject !== '' && (lines[headLines] ?? '').trim() !== '') {
    problems.push({ line: headLines + 1, what: 'a blank line must follow the subject and the button' })
  }
  for (const [index, text] of lines.slice(headLines).entries()) {
    problems.push(...problemsOfLine(text, placeholders).map((what) => ({ line: headLines + index + 1, what })))
  }
  const body = paragraphsOf(lines.slice(headLines), headLines + 1)
  problems.push(...problemsOfBody(body, body[0]?.line ?? headLines + 1, button !== ''))
  problems.sort((a, b) => a.line - b.line)
  return { template: { subject, button, paragraphs: body.map((paragraph) => paragraph.text) }, problems }
}

/**
 * Mistakes in the shared layout. It needs its three placeholders, and may hold nothing that loads something or adds a
 * second link.
 */
export const problemsOfLayout = (source: string): Problem[] => {
  const allowed = ['lang', 'subject', 'body']
  const problems: Problem[] = []
  for (const [index, text] of source.split(/\r\n|\r|\n/).entries()) {
    const line = index + 1
    for (const name of namesIn(text)) {
      if (allowed.includes(name)) continue
      problems.push({ line, what: `unknown placeholder {{${name}}}: there are {{lang}}, {{subject}}, {{body}}` })
    }
    if (/<(img|script|link|iframe|a|form)\b|\bsrc\s*=|url\(|@import|https?:/i.test(text)) {
      problems.push({ line, what: 'the layout may load nothing and link to nothing: no images, scripts or addresses' })
    }
  }
  for (const name of allowed) {
    if (!namesIn(source).includes(name)) problems.push({ line: 1, what: `{{${name}}} is missing` })
  }
  return problems
}
