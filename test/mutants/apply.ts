// Applies a mutant's edits to text: each edit must fit exactly once. Otherwise it is an error, never a mutant that
// changes nothing.
import type { Edit } from './mutant.ts'

export const occurrences = (text: string, find: string): number => text.split(find).length - 1

/** The edited files by path. Throws when an edit does not fit exactly once. */
export const applied = (edits: readonly Edit[], read: (file: string) => string): ReadonlyMap<string, string> => {
  const files = new Map<string, string>()
  for (const { file, find, replace } of edits) {
    const text = files.get(file) ?? read(file)
    const found = occurrences(text, find)
    if (found !== 1) throw new Error(`an edit of ${file} fits ${found} times, not once: ${find}`)
    files.set(file, text.split(find).join(replace))
  }
  return files
}
