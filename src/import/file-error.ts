// The file as a whole cannot be read as what it should be. The message says what to do; it repeats nothing of the file.

export class ImportFileError extends Error {
  override readonly name = 'ImportFileError'
}
