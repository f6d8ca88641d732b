// Checks the parameters of a callback before anything is looked up, because anybody can send a callback. Nothing here
// stores or logs a value.
import { Secret } from '../secret.ts'
import type { Callback } from '../processors/receive-callback.ts'

export const MAX_STATE_LENGTH = 512
export const MAX_CODE_LENGTH = 4096

/** RFC 6749, appendix A: codes and states consist of these characters: no NUL, no control characters, only ASCII. */
export const VISIBLE = /^[\x20-\x7e]+$/

/** Parameter names, each with all the values that came with it. */
export type Parameters = Readonly<Record<string, readonly string[]>>

/** Reads a query or a form. `state[]=x` is a parameter named `state[]`, not a state. */
export const readParameters = (text: string): Parameters => {
  const found: Record<string, string[]> = Object.create(null) as Record<string, string[]>
  for (const [name, value] of new URLSearchParams(text)) (found[name] ??= []).push(value)
  return found
}

/**
 * The parameter's value: undefined if the parameter came more than once, empty if it did not come, which RFC 6749 (3.1)
 * treats like a parameter without a value.
 */
const single = (parameters: Parameters, name: string): string | undefined => {
  const values = parameters[name] ?? []
  return values.length > 1 ? undefined : (values[0] ?? '')
}

const isText = (value: string, longest: number): boolean => value.length <= longest && VISIBLE.test(value)

/**
 * The callback, or undefined if the parameters form none: no state or several, neither code nor error or both, a value
 * that is too long or holds a character that no code, state or error may hold.
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
 * Whether state, code and error are all missing or empty. An OAuth server may put an error into the fragment
 * (`#error=…`), which a browser does not send to us.
 */
export const isEmpty = (parameters: Parameters): boolean =>
  ['state', 'code', 'error'].every((name) => (parameters[name] ?? []).every((value) => value === ''))

/** The callback's fields as strings, for the page that lets the user repeat the callback. */
export const fieldsOf = (callback: Callback): Record<string, string> =>
  'code' in callback
    ? { code: callback.code.reveal(), state: callback.state.reveal() }
    : { error: callback.bankError, state: callback.state.reveal() }
