// Notices, the pages that tell a user the state of the renewal: renewed, being checked, refused, and everything that
// can go wrong on the way.
import type { DateTime } from 'luxon'
import { formatDate, usableLocale } from '../../domain/locale.ts'
import type { NoticeName } from '../../texts/catalogue.ts'
import { texts } from '../../texts/own-texts.ts'
import { fill } from '../../texts/text.ts'
import { html, ownPath, type Html } from './html.ts'
import { page } from './layout.ts'

interface Plain {
  /** A language tag, as `chooseLocale` gives it. */
  readonly locale: string
  readonly company?: string | undefined
}

interface OfConsent extends Plain {
  readonly company: string
  readonly bank: string
}

interface WithTryAgain {
  /** The start link's own path, `/r/<token>`, for the button "try again". Without the path there is no such button. */
  readonly tryAgainPath?: string | undefined
}

interface Renewed extends OfConsent {
  readonly expiresAt: DateTime
  readonly timeZone: string | null | undefined
}

/**
 * The request whose commit failed, to be sent again unchanged. It holds the code: the page must be sent with
 * `no-store`.
 */
export type RepeatableRequest =
  | { readonly method: 'GET'; readonly path: string }
  | { readonly method: 'POST'; readonly path: string; readonly fields: Readonly<Record<string, string>> }

/** The values that each page needs. */
export interface NoticeViews {
  'unknown-link': Plain
  'already-renewed': Renewed
  closed: OfConsent
  suspended: OfConsent
  /** Names company and bank only if they are given: duplicates and unknown states get the same page. */
  'being-checked': Plain & {
    /** The path of this page itself: adds a "check again" button. */
    readonly recheckPath?: string | undefined
    /** If `recheckPath` is given, the page reloads itself after this many seconds. */
    readonly recheckSeconds?: number | undefined
  }
  'awaiting-date': OfConsent & { readonly recheckPath?: string | undefined }
  'refused-at-bank': OfConsent & WithTryAgain
  'not-completed': OfConsent & WithTryAgain
  'other-account': OfConsent & WithTryAgain
  renewed: Renewed
  busy: Plain & WithTryAgain
  'link-refused': OfConsent
  /** For a browser that comes back without code, error and state: we do not know its user. */
  'no-answer': Plain & { readonly company: string }
  'retry-callback': Plain & { readonly request: RepeatableRequest; readonly retrySeconds?: number | undefined }
  'not-found': Plain
  'bad-request': Plain
  'too-many': Plain
  internal: Plain
}

/** The HTTP status of each page. */
export const noticeStatus: Readonly<Record<NoticeName, number>> = {
  'unknown-link': 404,
  'already-renewed': 200,
  closed: 410,
  suspended: 409,
  'being-checked': 200,
  'awaiting-date': 200,
  'refused-at-bank': 200,
  'not-completed': 200,
  'other-account': 200,
  renewed: 200,
  busy: 503,
  'link-refused': 409,
  // Not a 4xx: some proxies replace a 4xx with a page of their own, which does not tell the user the way back.
  'no-answer': 200,
  'retry-callback': 503,
  'not-found': 404,
  'bad-request': 400,
  'too-many': 429,
  internal: 500,
}

const RETRY_SECONDS = 5

interface Parts {
  readonly action?: Html | undefined
  readonly refresh?: { readonly seconds: number; readonly path: string } | undefined
  readonly note?: string | undefined
}

const link = (path: string | undefined, label: string): Html | undefined =>
  path === undefined ? undefined : html`<p><a class="button" href="${ownPath(path)}">${label}</a></p>`

const repeat = (request: RepeatableRequest, label: string): Html =>
  request.method === 'GET'
    ? html`<p><a class="button" href="${ownPath(request.path)}">${label}</a></p>`
    : html`<form method="post" action="${ownPath(request.path)}">
${Object.entries(request.fields).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">\n`)}
<button class="button" type="submit">${label}</button>
</form>`

/**
 * What a page has besides its text. A form cannot submit itself without a script, so only a GET is repeated
 * automatically.
 */
const partsOf = <Name extends NoticeName>(name: Name, view: NoticeViews[Name]): Parts => {
  const { pages } = texts.byLocale[usableLocale(view.locale)]
  if (name === 'being-checked') {
    const { recheckPath, recheckSeconds } = view as NoticeViews['being-checked']
    return {
      action: link(recheckPath, pages['being-checked'].button),
      refresh:
        recheckPath !== undefined && recheckSeconds !== undefined
          ? { seconds: recheckSeconds, path: recheckPath }
          : undefined,
    }
  }
  if (name === 'awaiting-date')
    return { action: link((view as NoticeViews['awaiting-date']).recheckPath, pages['awaiting-date'].button) }
  if (name === 'retry-callback') {
    const { request, retrySeconds = RETRY_SECONDS } = view as NoticeViews['retry-callback']
    const words = pages['retry-callback']
    return request.method === 'GET'
      ? {
          action: repeat(request, words.button),
          refresh: { seconds: retrySeconds, path: request.path },
          note: words.automatic,
        }
      : { action: repeat(request, words.button) }
  }
  if (name === 'refused-at-bank' || name === 'not-completed' || name === 'other-account' || name === 'busy') {
    return { action: link((view as WithTryAgain).tryAgainPath, pages[name as 'busy'].button) }
  }
  return {}
}

/** The notice as a page. Throws only when it is given a path that is not on our own origin. */
export const noticePage = <Name extends NoticeName>(name: Name, view: NoticeViews[Name]): string => {
  const words = texts.byLocale[usableLocale(view.locale)].pages[name]
  const { bank, expiresAt, timeZone } = view as Partial<Renewed>
  const values = {
    company: view.company,
    bank,
    expiresOn: expiresAt === undefined ? undefined : formatDate(expiresAt, { locale: view.locale, timeZone }),
  }
  const { action, refresh, note } = partsOf(name, view)
  const seconds = refresh && Math.max(1, Math.round(refresh.seconds))
  return page({
    locale: view.locale,
    company: view.company,
    title: fill(words.title, values),
    head: refresh && html`<meta http-equiv="refresh" content="${seconds}; url=${ownPath(refresh.path)}">\n`,
    content: [
      words.text.map((paragraph) => html`<p>${fill(paragraph, values)}</p>\n`),
      note !== undefined && html`<p class="note">${note}</p>\n`,
      action,
    ],
  })
}
