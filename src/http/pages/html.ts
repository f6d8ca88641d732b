// HTML that is safe from injection: `html` escapes every value that `html` itself did not make. Contains no page.

const markup = Symbol('markup')

/** A finished piece of HTML. Only `html` makes one: the symbol is not exported, so no outside data can pass for it. */
export interface Html {
  readonly [markup]: string
}

export type HtmlValue = Html | string | number | undefined | false | readonly HtmlValue[]

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

const show = (value: HtmlValue): string => {
  if (value === undefined || value === false) return ''
  if (typeof value === 'number') return String(value)
  if (typeof value === 'string') return value.replace(/[&<>"']/g, (character) => escapes[character] ?? '')
  return markup in value ? value[markup] : value.map(show).join('')
}

/**
 * Template tag. Strings are escaped for text and for quoted attributes (quote every attribute), lists are joined,
 * `undefined` and `false` are left out.
 */
export const html = (parts: TemplateStringsArray, ...values: HtmlValue[]): Html => ({
  [markup]: parts.reduce((text, part, index) => text + show(values[index - 1]) + part),
})

export const htmlText = (piece: Html): string => piece[markup]

/**
 * A path on our own origin, for `href` and `action`. Throws on a path that a browser would read as another address
 * (`//x`, `/\x`, `x:`).
 */
export const ownPath = (path: string): string => {
  if (!/^\/(?![/\\])[^\s\p{Cc}]*$/u.test(path)) throw new Error('a page may only link to a path of its own')
  return path
}
