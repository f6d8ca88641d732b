// Uses up one processor until its parent is gone; see busy.ts.

/** Between two turns the process hears whether its parent is gone. */
const TURN_MS = 100

const burn = (): void => {
  const end = performance.now() + TURN_MS
  while (performance.now() < end);
  setImmediate(burn)
}

process.once('disconnect', () => process.exit())
burn()
