// The few places between two steps of one call where a process can die or stall, each by name. All other places are
// between calls of a port, and are found by a wrapper around it (roles/services.ts, test/crash). Production arms none:
// then one is a check for undefined and nothing else.
export type CrashPointName =
  /** The mail server has let us in; it has not been told of a message. */
  | 'mail-server-greeted'
  /** The mail server waits for the message; no byte of it has left. */
  | 'mail-leaving'
  /** The provider has answered a code or a refresh; what that says of the provider itself is not noted. */
  | 'answer-unnoted'

/** May do anything at a crash point: return, reject, wait, end the process. */
export type Strike = (name: CrashPointName) => Promise<void>

let strike: Strike | undefined

/** For the crash suite's own processes only; nothing in `src/` calls this function. */
export const armCrashPoints = (armed: Strike): void => {
  strike = armed
}

/** Marks a crash point. Does nothing unless the crash points are armed. */
export const crashPoint = (name: CrashPointName): Promise<void> | undefined => strike?.(name)
