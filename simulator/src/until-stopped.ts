// Waits for the signal to stop. A second one ends the process at once: whoever sends it means it.

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
