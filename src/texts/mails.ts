// The texts of the e-mail channel: what a mail must and may say.
import { z } from 'zod'
import { templateNames } from './template-names.ts'
import { isButton, type Paragraph, paragraphs, placeholdersIn, type Problem, sentence } from './text.ts'

/** A mail leads to the start page exactly once, and reads well to a user whose name is unknown. */
const problemsOfMail = (body: readonly Paragraph[]): Problem[] => {
  const links = body.flatMap(({ line, text }) =>
    placeholdersIn(text).flatMap((name) => (name === 'link' || name === 'button' ? [line] : [])),
  )
  const problems: Problem[] = []
  for (const { line, text } of body) {
    if (/^\{\{\s*name\s*\}\}/.test(text))
      problems.push({ line, what: 'write a greeting before {{name}}: the name may be unknown' })
    if (placeholdersIn(text).includes('button') && !isButton(text))
      problems.push({ line, what: '{{button}} must be a paragraph of its own, with a blank line before and after it' })
  }
  if (links.length === 0)
    problems.push({ line: 0, what: 'the link is missing: write {{button}} as a paragraph of its own' })
  for (const line of links.slice(1))
    problems.push({ line, what: 'a second link: a mail has exactly one {{button}} or {{link}}' })
  return problems
}

// A locked screen would show the user's name in a subject; a link in a subject would not work.
const mailHead = sentence({ may: ['company', 'bank', 'expiresOn', 'graceEndsOn'] })

const mail = z
  .strictObject({
    subject: mailHead,
    /** A mail with a plain `{{link}}` needs no words for a button. */
    button: mailHead.optional(),
    text: paragraphs({
      must: ['company', 'bank', 'expiresOn'],
      may: ['graceEndsOn', 'name', 'link', 'button'],
      check: problemsOfMail,
    }),
  })
  .refine(({ button, text }) => button !== undefined || !text.some(isButton), {
    path: ['button'],
    error: 'the words on the button are missing',
    // Also where another text of the mail has a problem, so that all problems are reported at once.
    when: ({ value }) => Array.isArray((value as { text?: unknown } | undefined)?.text),
  })

export const mails = z.record(z.enum(templateNames), mail)
