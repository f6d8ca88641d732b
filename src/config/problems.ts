// What is wrong with the configuration. All problems are collected and thrown as one error, so that an operator sees
// them all at the first start.
import type { z } from 'zod'

export interface Problem {
  /** The variable (`DATABASE_URL`), the policy key (`link.freshFor`) or the policy file. */
  readonly where: string
  /** What is wrong and what to do. Never a value of the environment. */
  readonly what: string
}

/** The configuration cannot be used. `message` lists every problem, one per line, and is meant for a terminal. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    const heading =
      problems.length === 1 ? 'The configuration has a problem:' : `The configuration has ${problems.length} problems:`
    super([heading, ...problems.map(({ where, what }) => `  ${where}: ${what}`)].join('\n'))
    this.problems = problems
  }
}

/** Records a problem; reading then continues. */
export type Report = (where: string, what: string) => void

/**
 * For a check over several keys of an object's schema: it runs when the object is one and these keys have no problem of
 * their own, whatever the others have.
 */
export const whenValid = (...keys: readonly string[]) => ({
  when: ({ issues }: z.core.ParsePayload): boolean =>
    issues.every(({ code, path: [first] = [] }) =>
      first === undefined ? code === 'unrecognized_keys' : !keys.some((key) => key === first),
    ),
})
