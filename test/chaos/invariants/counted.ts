// Equal names as one, with how often; the most frequent first.
export const counted = (names: readonly string[]): string[] =>
  [...Map.groupBy(names, (name) => name)]
    .toSorted((a, b) => b[1].length - a[1].length)
    .map(([name, { length }]) => `${length} × ${name}`)
