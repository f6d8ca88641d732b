// HTML as a value that escapes what it is given, and the frame that every page of the simulator shares.
export interface Html {
  readonly html: string
}

type Part = Html | readonly Html[] | string | number | undefined | false

const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;').replaceAll("'", '&#39;')

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
  /** Shown in the coloured bar. */
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
</head>
<body>
<header><p class="place">${place}</p><p class="mark">Simulation: nothing here is real, no account is touched</p></header>
<main>
<h1>${title}</h1>
${main}
</main>
</body>
</html>
`

export const STYLE = `:root { color-scheme: light dark; --ink: #1d2330; --paper: #fff; --soft: #f1f3f7; --line: #d5dae3; --accent: #1f4fa3; --on-accent: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaf1; --paper: #14171d; --soft: #1f242d; --line: #394150; --accent: #8db4ff; --on-accent: #10141b } }
* { box-sizing: border-box }
body { margin: 0; background: var(--soft); color: var(--ink); font: 16px/1.55 system-ui, sans-serif }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: baseline; justify-content: space-between; padding: .7rem 1.25rem; background: var(--accent); color: var(--on-accent) }
header p { margin: 0 } .place { font-weight: 650 } .mark { font-size: .875rem }
main { max-width: 62rem; margin: 1.5rem auto; padding: 1.25rem 1.5rem 1.75rem; background: var(--paper); border: 1px solid var(--line); border-radius: .6rem }
.narrow { max-width: 34rem }
h1 { margin: 0 0 .75rem; font-size: 1.5rem; line-height: 1.25 } h2 { margin: 1.75rem 0 .5rem; font-size: 1.15rem }
a { color: var(--accent) } a:focus-visible, button:focus-visible, input:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; margin: 1rem 0 } dt { font-weight: 600 } dd { margin: 0; overflow-wrap: anywhere }
table { width: 100%; border-collapse: collapse; font-size: .925rem } th, td { padding: .45rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; overflow-wrap: anywhere } .scroll { overflow-x: auto }
.actions { display: flex; flex-wrap: wrap; gap: .6rem; margin-top: 1.25rem; border: 0; padding: 0 } .actions legend { margin-bottom: .5rem; font-weight: 600; padding: 0 }
button { padding: .6rem 1rem; border: 1px solid var(--accent); border-radius: .4rem; background: var(--paper); color: var(--accent); font: inherit; cursor: pointer } button.main { background: var(--accent); color: var(--on-accent) }
pre { padding: 1rem; background: var(--soft); border-radius: .4rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .925rem } code { font-size: .925em }
iframe { width: 100%; height: 30rem; border: 1px solid var(--line); border-radius: .4rem; background: #fff } input[type=text] { padding: .55rem; font: inherit; border: 1px solid var(--line); border-radius: .4rem; background: var(--paper); color: var(--ink) }
`
