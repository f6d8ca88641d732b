// The exit codes of a process that got a SIGTERM: as in `start`, but distinct from Node's own exit code 1 for an error
// that nobody caught.

export const ENDED = 0
/** Something had not ended within the time that a stop has, and was abandoned. */
export const LET_GO = 3
/** The stop itself failed. */
export const STOP_FAILED = 4
