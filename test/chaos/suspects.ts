// Collects words that might be secrets until the run knows which words are secrets. A secret may be joined to other
// characters, so every part of a word is compared.

/**
 * Long enough for a token, a code, a state or the secret part of a link. Ids are shorter or contain other characters.
 */
const RUN = /[A-Za-z0-9_-]{24,}/g
/** Ids are on every line of the logs and are not secret. */
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?:-\d+)?$/

/** The parts of a text that another text could repeat: a whole token, or each part of a token that dots divide. */
export const secretWords = (text: string): string[] => [...text.matchAll(RUN)].map(([word]) => word)

export interface Suspects {
  note(where: string, text: string): void
  /** Each secret that was found, with the first place that held it. */
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
