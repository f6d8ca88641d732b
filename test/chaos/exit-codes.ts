// How a process of the run ends when it was told to: as `start` does, but told apart from Node's own exit code 1, an
// error nobody caught.

export const ENDED = 0
/** Something had not ended in the time that a stop has, and was let go. */
export const LET_GO = 3
/** The stop itself failed. */
export const STOP_FAILED = 4
