// The frame of every page: language, title, stylesheet, landmarks. No script, no inline style, nothing from other
// hosts.
import { usableLocale } from '../../domain/locale.ts'
import { html, htmlText, type Html, type HtmlValue } from './html.ts'
import { stylesheetHref } from './stylesheet.ts'

export interface Frame {
  /** A language tag, as `chooseLocale` gives it. */
  readonly locale: string
  /** Shown above the heading and in the title; left out where the page must not name the company. */
  readonly company?: string | undefined
  readonly title: string
  /** Extra elements of `<head>`. */
  readonly head?: Html | undefined
  readonly content: HtmlValue
}

/** A whole document. The title is also the heading, so a screen reader says first what the page is about. */
export const page = ({ locale, company, title, head, content }: Frame): string =>
  htmlText(html`<!doctype html>
<html lang="${usableLocale(locale)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex, nofollow">
<meta name="referrer" content="no-referrer">
<title>${title}${company !== undefined && ` · ${company}`}</title>
${head}<link rel="stylesheet" href="${stylesheetHref}">
</head>
<body>
<main>
${company !== undefined && html`<p class="company">${company}</p>`}
<h1>${title}</h1>
${content}
</main>
</body>
</html>
`)
