// Finds the known name that was most likely meant by an unknown one.
import leven from 'leven'

/** No known name is longer, and the time for comparing two texts grows with the product of their lengths. */
const MAX_LENGTH = 60

const plain = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]/g, '')

/**
 * The known name closest to `name`, ignoring case and punctuation; undefined when no known name is close enough to have
 * been meant.
 */
export const nearest = (name: string, known: readonly string[]): string | undefined => {
  if (name.length > MAX_LENGTH) return undefined
  const wanted = plain(name)
  const limit = Math.max(2, Math.floor(wanted.length / 3))
  return known
    .map((candidate) => ({ candidate, distance: leven(wanted, plain(candidate)) }))
    .filter(({ candidate, distance }) => distance <= limit && distance < plain(candidate).length)
    .sort((a, b) => a.distance - b.distance)[0]?.candidate
}
