// Decides which fault caused which loss. Several faults may be on at once; each can have met only so many exchanges,
// and a loss that fits into none of them is beyond all bounds.

/** A fault, and how many exchanges it can have met. */
export interface Cause {
  readonly by: string
  readonly most: number
}

export interface Attribution<Loss, One extends Cause> {
  readonly by: ReadonlyMap<Loss, One>
  /** The losses for which no fault had room, however the others are placed. */
  readonly left: readonly Loss[]
}

/** `losses`: each loss with every cause that is possible, the likeliest first. */
export const attribute = <Loss, One extends Cause>(
  losses: ReadonlyMap<Loss, readonly One[]>,
): Attribution<Loss, One> => {
  const by = new Map<Loss, One>()
  const placed = new Map<string, Set<Loss>>()
  /**
   * Gives the loss a cause that has room, or a cause one of whose losses can move to another. `tried`: the causes
   * already tried, each once.
   */
  const place = (loss: Loss, tried: Set<string>): boolean => {
    for (const cause of losses.get(loss) ?? []) {
      if (tried.has(cause.by)) continue
      if (cause.most === Number.POSITIVE_INFINITY) {
        by.set(loss, cause)
        return true
      }
      tried.add(cause.by)
      const those = placed.get(cause.by) ?? new Set()
      placed.set(cause.by, those)
      if (those.size >= cause.most) {
        const moved = [...those].find((other) => place(other, tried))
        if (moved === undefined) continue
        those.delete(moved)
      }
      those.add(loss)
      by.set(loss, cause)
      return true
    }
    return false
  }
  return { left: [...losses.keys()].filter((loss) => !place(loss, new Set())), by }
}
