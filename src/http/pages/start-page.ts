// The page behind the link in a message: which company, which bank, what is shared, until when, and one button. Opening
// the page changes nothing.
import type { DateTime } from 'luxon'
import { formatDate, usableLocale } from '../../domain/locale.ts'
import type { Route } from '../../domain/routes.ts'
import type { ScopeTexts } from '../../texts/catalogue.ts'
import { texts } from '../../texts/own-texts.ts'
import { fill } from '../../texts/text.ts'
import { html } from './html.ts'
import { page } from './layout.ts'

export interface StartView {
  /** A language tag, as `chooseLocale` gives it. */
  readonly locale: string
  readonly timeZone: string | null | undefined
  readonly company: string
  readonly bank: string
  /** The provider's names of the scopes: `accounts`, `offline_access`. If empty, the page says "what you agreed to". */
  readonly scopes: readonly string[]
  readonly expiresAt: DateTime
  readonly graceEndsAt: DateTime
  readonly now: DateTime
  /** The route that the button takes first. */
  readonly route: Route
  /** How many days a renewal lasts from the approval; left out where this is not known. */
  readonly validityDays?: number | undefined
}

// The provider has about ten scopes; the limit keeps the page small whatever was imported.
const MAX_SCOPES = 30

const scopeWords = (scope: string, words: ScopeTexts): string =>
  Object.hasOwn(words, scope) && scope !== 'other' && scope !== 'unspecified'
    ? words[scope as keyof ScopeTexts]
    : fill(words.other, { scope: scope.slice(0, 60) })

/** The form posts to the page's own address, so the page does not repeat the start link. */
export const startPage = (view: StartView): string => {
  const { start } = texts.byLocale[usableLocale(view.locale)].pages
  const { scopes } = start
  const route = start.routes[view.route]
  const values = {
    company: view.company,
    bank: view.bank,
    expiresOn: formatDate(view.expiresAt, view),
    graceEndsOn: formatDate(view.graceEndsAt, view),
    days: view.validityDays === undefined ? undefined : String(view.validityDays),
  }
  const validity = view.now < view.expiresAt ? start.valid : view.now < view.graceEndsAt ? start.expired : start.ended
  const named = [...new Set(view.scopes)].slice(0, MAX_SCOPES).map((scope) => scopeWords(scope, scopes))
  const shared = named.length === 0 ? [scopes.unspecified] : named
  return page({
    locale: view.locale,
    company: view.company,
    title: fill(start.title, values),
    content: html`<p>${fill(validity, values)}</p>
<h2>${fill(start.sharedHeading, values)}</h2>
<ul>
${shared.map((words) => html`<li>${words}</li>\n`)}</ul>
${values.days !== undefined && html`<p>${fill(start.howLong, values)}</p>`}
<p>${fill(route.next, values)}</p>
<form method="post">
<button class="button" type="submit">${fill(route.button, values)}</button>
</form>
<p class="note">${fill(start.nothing, values)}</p>`,
  })
}
