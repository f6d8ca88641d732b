// Waits for the signal to stop. A second signal ends the process at once: its sender does not want to wait.

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
