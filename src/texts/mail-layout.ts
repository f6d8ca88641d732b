// Checks the frame of the HTML mails. The frame needs its three placeholders, and may hold nothing that loads something
// or adds a second link.
import { placeholdersIn, type Problem } from './text.ts'

const allowed = ['lang', 'subject', 'body']

export const problemsOfLayout = (source: string): Problem[] => {
  const problems: Problem[] = []
  for (const [index, text] of source.split(/\r\n|\r|\n/).entries()) {
    const line = index + 1
    for (const name of placeholdersIn(text)) {
      if (allowed.includes(name)) continue
      problems.push({ line, what: `unknown placeholder {{${name}}}: there are {{lang}}, {{subject}}, {{body}}` })
    }
    if (/<(img|script|link|iframe|a|form)\b|\bsrc\s*=|url\(|@import|https?:/i.test(text)) {
      problems.push({ line, what: 'the layout may load nothing and link to nothing: no images, scripts or addresses' })
    }
  }
  for (const name of allowed) {
    if (!placeholdersIn(source).includes(name)) problems.push({ line: 1, what: `{{${name}}} is missing` })
  }
  return problems
}
