// Every text that users read, by its place in a language's file, with the placeholders that it must and may have. A new
// mail, page or sentence begins with its entry here.
import { z } from 'zod'
import {
  isButton,
  type Paragraph,
  paragraphs,
  type Placeholder,
  placeholdersIn,
  type Problem,
  sentence,
} from './text.ts'

/** The situations in which a user gets a mail. */
export const mailNames = [
  'before-expiry',
  'last-day',
  'expired',
  'last-chance',
  'after-grace',
  'asked-again',
  'other-account',
  'uncertain',
] as const

export type MailName = (typeof mailNames)[number]

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

const ofConsent = ['company', 'bank'] as const

/** The page behind the link in a mail. `valid`, `expired` and `ended`: one of them says how the permission stands. */
const startPage = z.strictObject({
  title: sentence({ must: ['bank'] }),
  valid: sentence({ must: [...ofConsent, 'expiresOn'] }),
  expired: sentence({ must: [...ofConsent, 'expiresOn', 'graceEndsOn'] }),
  ended: sentence({ must: [...ofConsent, 'expiresOn', 'graceEndsOn'] }),
  sharedHeading: sentence({ must: ['company'] }),
  howLong: sentence({ must: ['days'] }),
  next: sentence({ must: ofConsent }),
  nothing: sentence(),
  button: sentence({ must: ['bank'] }),
  /** What is shared, by the provider's names. */
  scopes: z.strictObject({
    info: sentence(),
    accounts: sentence(),
    balance: sentence(),
    transactions: sentence(),
    cards: sentence(),
    direct_debits: sentence(),
    standing_orders: sentence(),
    beneficiaries: sentence(),
    offline_access: sentence(),
    /** A scope without words of its own. */
    other: sentence({ must: ['scope'] }),
    /** A consent that was imported without scopes. */
    unspecified: sentence(),
  }),
})

const page = (must: readonly Placeholder[] = []) => z.strictObject({ title: sentence(), text: paragraphs({ must }) })

const button = { button: sentence() }

/** The pages with nothing but a notice: how the renewal stands, or what went wrong on the way. */
const notices = {
  'unknown-link': page(),
  'already-renewed': page([...ofConsent, 'expiresOn']),
  closed: page(ofConsent),
  suspended: page(ofConsent),
  'being-checked': page().extend(button),
  'refused-at-bank': page(ofConsent).extend(button),
  'not-completed': page(ofConsent).extend(button),
  'other-account': page(ofConsent).extend(button),
  renewed: page([...ofConsent, 'expiresOn']),
  busy: page().extend(button),
  'link-refused': page(ofConsent),
  'no-answer': page(['company']),
  /** `automatic` is shown where the page reloads by itself. */
  'retry-callback': page().extend({ automatic: sentence(), ...button }),
  'not-found': page(),
  'bad-request': page(),
  'too-many': page(),
  internal: page(),
}

export type NoticeName = keyof typeof notices

export const noticeNames = Object.keys(notices) as readonly NoticeName[]

/** One language's file. */
export const languageSchema = z.strictObject({
  mails: z.record(z.enum(mailNames), mail),
  pages: z.strictObject({ start: startPage, ...notices }),
})

export type LanguageTexts = z.output<typeof languageSchema>
export type ScopeTexts = LanguageTexts['pages']['start']['scopes']
