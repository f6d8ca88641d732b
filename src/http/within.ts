// A promise with a deadline, for whoever waits in front of a browser or a probe.

/** The promise's own end, or `late()` after so many milliseconds; what it comes to after that is dropped. */
export const within = async <T>(ms: number, promise: Promise<T>, late: () => T): Promise<T> => {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<T>((resolve, reject) => {
    timer = setTimeout(() => {
      try {
        resolve(late())
      } catch (error) {
        reject(error as Error)
      }
    }, ms)
  })
  try {
    return await Promise.race([promise, deadline])
  } finally {
    clearTimeout(timer)
  }
}
