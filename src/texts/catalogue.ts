// Every text that users read, by its place in a language's file, with the placeholders that it must and may have. A new
// mail, page or sentence begins with its entry here.
import { z } from 'zod'
import { routeNames } from '../domain/routes.ts'
import { mails } from './mails.ts'
import { paragraphs, type Placeholder, sentence } from './text.ts'

const ofConsent = ['company', 'bank'] as const

/** The page behind the link in a mail. `valid`, `expired` and `ended`: one of them says how the permission stands. */
const startPage = z.strictObject({
  title: sentence({ must: ['bank'] }),
  valid: sentence({ must: [...ofConsent, 'expiresOn'] }),
  expired: sentence({ must: [...ofConsent, 'expiresOn', 'graceEndsOn'] }),
  ended: sentence({ must: [...ofConsent, 'expiresOn', 'graceEndsOn'] }),
  sharedHeading: sentence({ must: ['company'] }),
  howLong: sentence({ must: ['days'] }),
  nothing: sentence(),
  /** What the button leads to, and the words on it, by the route that it takes. */
  routes: z.record(
    z.enum(routeNames),
    z.strictObject({ next: sentence({ must: ofConsent }), button: sentence({ must: ['bank'] }) }),
  ),
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
  'awaiting-date': page(ofConsent).extend(button),
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

/** One language's file: the texts of each channel, and the pages. */
export const languageSchema = z.strictObject({
  mails,
  pages: z.strictObject({ start: startPage, ...notices }),
})

export type LanguageTexts = z.output<typeof languageSchema>
export type ScopeTexts = LanguageTexts['pages']['start']['scopes']
