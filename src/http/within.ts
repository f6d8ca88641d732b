// A promise with a deadline, for whoever waits in front of a browser or a probe.

/**
 * The promise's own end, or what `late` answers or throws after so many milliseconds; what it comes to after that is
 * dropped.
 */
export const within = async <T>(ms: number, promise: Promise<T>, late: () => T): Promise<T> => {
  const over = Symbol('over')
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<typeof over>((resolve) => {
    timer = setTimeout(() => resolve(over), ms)
  })
  try {
    const first = await Promise.race([promise, deadline])
    return first === over ? late() : first
  } finally {
    clearTimeout(timer)
  }
}
