// Chooses the language of a page: the one that was imported with the consent, else the browser's, else English.
import { knownLocale } from '../../domain/locale.ts'

/** The language tags of an Accept-Language header (RFC 9110 12.5.4), most wanted first, without those with q=0. */
const wanted = (header: string): string[] =>
  header
    .slice(0, 1_000)
    .split(',')
    .map((item) => {
      const [tag = '', ...parameters] = item.split(';').map((part) => part.trim())
      const q = parameters.find((parameter) => parameter.toLowerCase().startsWith('q='))
      return { tag, quality: q === undefined ? 1 : Number(q.slice(2)) || 0 }
    })
    .filter(({ quality }) => quality > 0)
    .sort((a, b) => b.quality - a.quality)
    .map(({ tag }) => tag)

/** A tag whose language we have (in `fr-CA` the region is kept, for dates), or `en`. */
export const chooseLocale = (from: {
  consent?: string | null | undefined
  acceptLanguage?: string | undefined
}): string =>
  [from.consent ?? '', ...wanted(from.acceptLanguage ?? '')].find((tag) => knownLocale(tag) !== undefined) ?? 'en'
