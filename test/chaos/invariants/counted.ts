// Equal names as one line with their number; the most frequent first.
export const counted = (names: readonly string[]): string[] =>
  [...Map.groupBy(names, (name) => name)]
    .toSorted((a, b) => b[1].length - a[1].length)
    .map(([name, { length }]) => `${length} × ${name}`)
