// Gives a promise a deadline, for code that a browser or a probe waits for.

/**
 * Settles as the promise does. After `ms` milliseconds, settles with what `late` returns or throws instead; a later
 * result of the promise is dropped.
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
