// Which fault caused which loss. Several may be on at once; each can have met so many, and what finds no room in any of
// them is beyond all bounds.

/** A fault, and how many exchanges it can have met. */
export interface Cause {
  readonly by: string
  readonly most: number
}

export interface Attribution<Loss, One extends Cause> {
  readonly by: ReadonlyMap<Loss, One>
  /** Those for which there was no room, however the others are placed. */
  readonly left: readonly Loss[]
}

/** `losses`: each with all that can have caused it, the likeliest first. */
export const attribute = <Loss, One extends Cause>(
  losses: ReadonlyMap<Loss, readonly One[]>,
): Attribution<Loss, One> => {
  const by = new Map<Loss, One>()
  const placed = new Map<string, Set<Loss>>()
  /**
   * Puts it where there is room, or where one of those before it can go elsewhere. `tried`: causes, each asked once.
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
