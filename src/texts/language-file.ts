// Reads the file of one language and names every mistake in it by line. YAML offers much that an editor of texts uses
// only by mistake: here a text is in quotation marks or in a block after |, and nothing else is a text.
import { type Document, type ErrorCode, isMap, isScalar, LineCounter, parseDocument, Scalar, visit } from 'yaml'
import type { z } from 'zod'
import { languageSchema, type LanguageTexts } from './catalogue.ts'
import type { Problem } from './text.ts'

const QUOTE_IT = 'write the text in quotation marks, or below its name as a block after |'

/** For people who have never read a grammar of YAML; other codes keep the library's own message. */
const plainWords: Readonly<Partial<Record<ErrorCode, string>>> = {
  BAD_DQ_ESCAPE: 'a backslash inside quotation marks: write \\" for a quotation mark, \\\\ for a backslash',
  BAD_INDENT: 'the line is not indented like the lines it belongs to',
  BAD_SCALAR_START: QUOTE_IT,
  BLOCK_AS_IMPLICIT_KEY: QUOTE_IT,
  DUPLICATE_KEY: 'the name is there a second time',
  MULTILINE_IMPLICIT_KEY: 'the line is neither a name with a colon nor indented like the text above it',
  MULTIPLE_DOCS: 'a line of --- or ... ends the file here: remove it',
  NON_STRING_KEY: QUOTE_IT,
  UNEXPECTED_TOKEN: `${QUOTE_IT}; inside quotation marks write \\" for a quotation mark`,
}

/**
 * Without quotation marks, ` #` cuts off the rest of a text, and `: ` makes a name of what stands before it. After `>`,
 * and between quotation marks, a blank line does not begin a paragraph.
 */
const problemOfStyle = ({ type, source, value }: Scalar): string | undefined => {
  if (type === Scalar.PLAIN) return source === '' ? undefined : QUOTE_IT
  if (type === Scalar.BLOCK_FOLDED) return 'write | instead of >'
  return type !== Scalar.BLOCK_LITERAL && /\p{Cc}/u.test(String(value))
    ? 'quotation marks hold one paragraph: close them, or write the text below its name as a block after |'
    : undefined
}

type LineAt = (offset: number) => number

/** What the schema cannot see: how the texts are written. Removes references, which may lead nowhere. */
const problemsOfWriting = (document: Document.Parsed, lineAt: LineAt): Problem[] => {
  const problems: Problem[] = []
  const report = (offset: number | undefined, what: string | undefined): void => {
    if (what !== undefined) problems.push({ line: lineAt(offset ?? 0), what })
  }
  for (const { code, message, pos } of document.errors) report(pos[0], plainWords[code] ?? message)
  visit(document, {
    Alias: (_, { range }) => {
      report(range?.[0], 'references (*) are not used here: write the text out')
      return visit.REMOVE
    },
    Value: (key, node) => {
      const start = node.range?.[0]
      if (node.anchor !== undefined || node.tag !== undefined)
        report(start, 'anchors (&) and tags (!) are not used here')
      if (isScalar(node) && key !== 'key') report(start, problemOfStyle(node))
    },
  })
  return problems
}

/** What the schema calls by a path, and the line of its name; of the last name on the path that the file has. */
const find = ({ contents }: Document.Parsed, path: readonly PropertyKey[], lineAt: LineAt) => {
  let line = 1
  let value = contents
  for (const name of path) {
    const pair = isMap(value) ? value.items.find(({ key }) => isScalar(key) && key.value === name) : undefined
    if (pair === undefined) return { line, value: undefined }
    line = lineAt(pair.key.range[0])
    value = pair.value
  }
  return { line, value }
}

const wordsFor = (issue: z.core.$ZodIssue, isMissing: boolean): string => {
  if (issue.code === 'unrecognized_keys') return 'nothing of this name is ever shown'
  if (issue.code !== 'invalid_type') return issue.message
  return isMissing ? 'is missing' : `must be a ${issue.expected === 'string' ? 'text' : 'group of texts'}`
}

const problemsOfIssue = (document: Document.Parsed, issue: z.core.$ZodIssue, lineAt: LineAt): Problem[] => {
  const { path, code } = issue
  if (path.length === 0 && code === 'invalid_type')
    return [{ line: 1, what: `the groups ${Object.keys(languageSchema.shape).join(' and ')} are missing` }]
  // A surplus name is an issue of the group that it stands in.
  const paths = code === 'unrecognized_keys' ? issue.keys.map((key) => [...path, key]) : [path]
  return paths.map((place) => {
    const { line, value } = find(document, place, lineAt)
    const isBlock = isScalar(value) && value.type === Scalar.BLOCK_LITERAL
    return {
      // The lines of a block begin below its name.
      line: isBlock && code === 'custom' ? lineAt(value.range[0]) + 1 + Number(issue.params?.['line']) : line,
      what: `${place.join('.')}: ${wordsFor(issue, value === undefined)}`,
    }
  })
}

/**
 * Reads the file of one language: its texts, and all problems in the order of their lines. While the file is no
 * YAML, only the problems that make it so are listed.
 */
export const readLanguageFile = (source: string): { texts: LanguageTexts | undefined; problems: Problem[] } => {
  const lineCounter = new LineCounter()
  const lineAt: LineAt = (offset) => lineCounter.linePos(offset).line
  const lines = source.split(/\r\n|\r|\n/)
  // The parser’s own report of a tab depends on where it is, and many others follow from it.
  const tabs = lines.flatMap((text, index) => (/^ *\t\s*\S/.test(text) ? [index + 1] : []))
  if (tabs.length > 0)
    return { texts: undefined, problems: tabs.map((line) => ({ line, what: 'a tab: indent with spaces' })) }
  // By the schema `failsafe` every value is a string: `no`, `12` and dates too.
  const options = { schema: 'failsafe', stringKeys: true, prettyErrors: false, lineCounter } as const
  const document = parseDocument(lines.join('\n'), options)
  const problems = problemsOfWriting(document, lineAt)
  const checked = document.errors.length > 0 ? undefined : languageSchema.safeParse(document.toJS())
  problems.push(...(checked?.error?.issues ?? []).flatMap((issue) => problemsOfIssue(document, issue, lineAt)))
  problems.sort((a, b) => a.line - b.line)
  return { texts: checked?.data, problems }
}
