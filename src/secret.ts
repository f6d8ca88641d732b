// A value that must never be printed: tokens, codes, links, states, verifiers. Printing, logging or serialising the
// value shows `[secret]` instead.
import { inspect } from 'node:util'

const MARK = '[secret]'

export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** The value itself. Call this only where the value leaves for its destination, never to keep it in a variable. */
  reveal(): string {
    return this.#value
  }

  toString(): string {
    return MARK
  }

  toJSON(): string {
    return MARK
  }

  [inspect.custom](): string {
    return MARK
  }
}
