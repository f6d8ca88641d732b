// The file as a whole cannot be imported. The message says what to do, and repeats nothing from the file.

export class ImportFileError extends Error {
  override readonly name = 'ImportFileError'
}
