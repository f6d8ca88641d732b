// Makes something for whoever asks first, and keeps it for all others.

/** A failure is not kept: the next one who asks tries again. */
export const onceMade = <Made>(make: () => Promise<Made>): (() => Promise<Made>) => {
  let made: Promise<Made> | undefined
  return async () => {
    made ??= make().catch((error: unknown) => {
      made = undefined
      throw error
    })
    return made
  }
}
