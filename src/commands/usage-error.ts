// The error of a wrong call. It has a file of its own because help needs it and must load little else.

/** The command was called incorrectly: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
