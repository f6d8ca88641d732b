// The only source of randomness of a run: the same seed gives the same population, the same plans of the users and the
// same faults in the same order.

export interface Chance {
  /** In [0, 1). */
  next(): number
  /** A whole number from `from` to `to`, both included. */
  between(from: number, to: number): number
  /** True with this probability. */
  happens(probability: number): boolean
  pick<Value>(values: readonly Value[]): Value
  shuffled<Value>(values: readonly Value[]): Value[]
  /** Another source that depends only on this source's seed and on the name, not on what was drawn before. */
  branch(name: string): Chance
}

const hashOf = (text: string, seed: number): number => {
  let hash = (0x811c9dc5 ^ seed) >>> 0
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193) >>> 0
  return hash
}

/** mulberry32: small, fast, and the same everywhere for the same seed. */
export const seededChance = (seed: number): Chance => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  const between = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1))
  return {
    next,
    between,
    happens: (probability) => next() < probability,
    pick: (values) => {
      if (values.length === 0) throw new RangeError('chance: nothing to pick from')
      return values[between(0, values.length - 1)] as (typeof values)[number]
    },
    shuffled: (values) => {
      const rest = [...values]
      for (let last = rest.length - 1; last > 0; last -= 1) {
        const other = between(0, last)
        const [a, b] = [rest[last], rest[other]]
        if (a !== undefined && b !== undefined) [rest[last], rest[other]] = [b, a]
      }
      return rest
    },
    branch: (name) => seededChance(hashOf(name, seed)),
  }
}
