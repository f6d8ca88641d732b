// Lets so many calls run at once, and the others wait for their turn in the order in which they came.

export type InTurn = <Result>(call: () => Promise<Result>) => Promise<Result>

export const atMost = (limit: number): InTurn => {
  const waiting: (() => void)[] = []
  let running = 0
  return async (call) => {
    // Whoever ends hands its place on, so that nobody who comes meanwhile takes it first.
    if (running >= limit) await new Promise<void>((resolve) => waiting.push(resolve))
    else running += 1
    try {
      return await call()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running -= 1
      else next()
    }
  }
}
