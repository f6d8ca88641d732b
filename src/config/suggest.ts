// Finds the known name that was most likely meant by an unknown one.

/** The number of edits (insert, delete, replace, swap neighbours) that turn one text into the other. */
export const editDistance = (from: string, to: string): number => {
  const rows = [Array.from({ length: to.length + 1 }, (_, column) => column)]
  for (let row = 1; row <= from.length; row += 1) {
    const above = rows[row - 1] ?? []
    const line = [row]
    for (let column = 1; column <= to.length; column += 1) {
      const same = from[row - 1] === to[column - 1]
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      line.push(
        Math.min(
          (above[column] ?? 0) + 1,
          (line[column - 1] ?? 0) + 1,
          (above[column - 1] ?? 0) + (same ? 0 : 1),
          swapped ? (rows[row - 2]?.[column - 2] ?? 0) + 1 : Infinity,
        ),
      )
    }
    rows.push(line)
  }
  return rows[from.length]?.[to.length] ?? 0
}

const plain = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]/g, '')

/**
 * The known name closest to `name`, ignoring case and punctuation; undefined when no known name is close enough to have
 * been meant.
 */
export const nearest = (name: string, known: readonly string[]): string | undefined => {
  // No known name is longer than this, and the time for comparing two texts grows with the product of their lengths.
  if (name.length > 60) return undefined
  const wanted = plain(name)
  const limit = Math.max(2, Math.floor(wanted.length / 3))
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(wanted, plain(candidate)) }))
    .filter(({ candidate, distance }) => distance <= limit && distance < plain(candidate).length)
    .sort((a, b) => a.distance - b.distance)
  return ranked[0]?.candidate
}
