// What SIGINT and SIGTERM do to a command: they stop a service, and interrupt long work. A second signal ends the
// process at once, because its sender does not want to wait.

/** Resolves with the signal's name at the first SIGINT or SIGTERM. */
export const untilStopped = async (): Promise<NodeJS.Signals> =>
  new Promise((resolve) => {
    let stopping = false
    const onSignal = (signal: NodeJS.Signals): void => {
      if (stopping) process.exit(signal === 'SIGINT' ? 130 : 143)
      stopping = true
      resolve(signal)
    }
    process.on('SIGINT', onSignal)
    process.on('SIGTERM', onSignal)
  })

/** Runs work that may be interrupted: the first SIGINT or SIGTERM aborts its `signal`. */
export const interruptible = async <Result>(work: (signal: AbortSignal) => Promise<Result>): Promise<Result> => {
  const interrupted = new AbortController()
  const abort = (): void => interrupted.abort()
  process.once('SIGINT', abort)
  process.once('SIGTERM', abort)
  try {
    return await work(interrupted.signal)
  } finally {
    process.off('SIGINT', abort)
    process.off('SIGTERM', abort)
  }
}
