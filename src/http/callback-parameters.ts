// Checks what came in as a callback, before anything is looked up: who sends it is anybody. Nothing here keeps or
// repeats a value.
import { Secret } from '../secret.ts'
import type { Callback } from '../processors/receive-callback.ts'

export const MAX_STATE_LENGTH = 512
export const MAX_CODE_LENGTH = 4096

/** RFC 6749, appendix A: codes and states are made of these; no NUL, no control characters, nothing beyond ASCII. */
export const VISIBLE = /^[\x20-\x7e]+$/

/** Names with all values they came with. */
export type Parameters = Readonly<Record<string, readonly string[]>>

/** Reads a query or a form. `state[]=x` is a parameter of that name and not a state. */
export const readParameters = (text: string): Parameters => {
  const found: Record<string, string[]> = Object.create(null) as Record<string, string[]>
  for (const [name, value] of new URLSearchParams(text)) (found[name] ??= []).push(value)
  return found
}

/**
 * Undefined when it came more than once; empty when it did not come, which is the same as without a value (RFC 6749,
 * 3.1).
 */
const single = (parameters: Parameters, name: string): string | undefined => {
  const values = parameters[name] ?? []
  return values.length > 1 ? undefined : (values[0] ?? '')
}

const isText = (value: string, longest: number): boolean => value.length <= longest && VISIBLE.test(value)

/**
 * The callback, or undefined for whatever is none: no state or several, neither code nor error or both, values that are
 * too long or hold what no code, state or error is made of.
 */
export const callbackOf = (parameters: Parameters): Callback | undefined => {
  const state = single(parameters, 'state')
  const code = single(parameters, 'code')
  const error = single(parameters, 'error')
  if (state === undefined || code === undefined || error === undefined) return undefined
  if (!isText(state, MAX_STATE_LENGTH) || (code === '') === (error === '')) return undefined
  if (code !== '')
    return isText(code, MAX_CODE_LENGTH) ? { state: new Secret(state), code: new Secret(code) } : undefined
  return isText(error, MAX_CODE_LENGTH) ? { state: new Secret(state), bankError: error } : undefined
}

/**
 * Whether the bank sent nothing along that we could see. Errors of OAuth servers may come in the fragment (`#error=…`),
 * which a browser keeps to itself.
 */
export const isEmpty = (parameters: Parameters): boolean =>
  ['state', 'code', 'error'].every((name) => (parameters[name] ?? []).every((value) => value === ''))

/** The fields that make up a callback, as strings, for the page that repeats it. */
export const fieldsOf = (callback: Callback): Record<string, string> =>
  'code' in callback
    ? { code: callback.code.reveal(), state: callback.state.reveal() }
    : { error: callback.bankError, state: callback.state.reveal() }
