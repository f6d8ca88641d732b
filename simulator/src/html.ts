// HTML as a value that escapes its parts, and the frame that all pages of the simulator share.
export interface Html {
  readonly html: string
}

type Part = Html | readonly Html[] | string | number | undefined | false

const escape = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')

const render = (part: Part): string => {
  if (part === undefined || part === false) return ''
  if (typeof part === 'string' || typeof part === 'number') return escape(String(part))
  return 'html' in part ? part.html : part.map((one) => one.html).join('')
}

/** A template whose values are escaped unless they are Html themselves. */
export const html = (strings: TemplateStringsArray, ...parts: readonly Part[]): Html => ({
  html: strings.map((string, index) => string + render(parts[index])).join(''),
})

export interface Page {
  readonly title: string
  /** The text of the coloured bar at the top. */
  readonly place: string
  readonly main: Html
}

export const page = ({ title, place, main }: Page): Html => html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title}</title>
<link rel="stylesheet" href="/_style.css">
<link rel="icon" href="/_logo.svg">
</head>
<body>
<header>
<p class="place">${place}</p><p class="mark">Simulation: nothing here is real, no account is touched</p>
</header>
<main>
<h1>${title}</h1>
${main}
</main>
</body>
</html>
`
