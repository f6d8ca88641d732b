// Words that might be secrets, kept until it is known which ones are. A secret may be glued to other signs: every part
// of a word counts.

/** Long enough to be a token, a code, a state or a link's secret part; ids are shorter or have other signs in them. */
const RUN = /[A-Za-z0-9_-]{24,}/g
/** Ids are on every line of the logs, and are no secrets. */
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?:-\d+)?$/

/** The parts of a text that could be told again in another: a whole token, or each part of one that dots divide. */
export const secretWords = (text: string): string[] => [...text.matchAll(RUN)].map(([word]) => word)

export interface Suspects {
  note(where: string, text: string): void
  /** Where a secret was, by the word that holds it; the first place only. */
  judge(secrets: ReadonlySet<string>): readonly { readonly where: string; readonly secret: string }[]
}

export const makeSuspects = (): Suspects => {
  const places = new Map<string, string>()
  return {
    note: (where, text) => {
      for (const [word] of text.matchAll(RUN)) if (!ID.test(word) && !places.has(word)) places.set(word, where)
    },
    judge: (secrets) => {
      const lengths = [...new Set([...secrets].map(({ length }) => length))]
      const found = new Map<string, string>()
      for (const [word, where] of places) {
        for (const length of lengths) {
          for (let from = 0; from + length <= word.length; from += 1) {
            const part = word.slice(from, from + length)
            if (secrets.has(part) && !found.has(part)) found.set(part, where)
          }
        }
      }
      return [...found].map(([secret, where]) => ({ where, secret }))
    },
  }
}
