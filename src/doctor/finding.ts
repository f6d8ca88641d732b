// One line of a diagnosis.

export interface Finding {
  /** What was checked, in a few words. */
  readonly check: string
  readonly level: 'ok' | 'warn' | 'fail'
  /** What was found. No secret, no address with a password. */
  readonly detail: string
  /** What to do about it. */
  readonly advice?: string | undefined
}

export const ok = (check: string, detail: string): Finding => ({ check, level: 'ok', detail })
export const warn = (check: string, detail: string, advice: string): Finding => ({
  check,
  level: 'warn',
  detail,
  advice,
})
export const fail = (check: string, detail: string, advice: string): Finding => ({
  check,
  level: 'fail',
  detail,
  advice,
})
