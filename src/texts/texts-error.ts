// The error for texts that cannot be used. Its message lists every problem, for the person who edited the texts.

export class TextsError extends Error {
  override readonly name = 'TextsError'
}
