// Environment and policy file → one frozen Config, or every problem at once. The only reader of process.env.
import type { PolicyInput } from './config/define-config.ts'
import { loadPolicyFile, POLICY_FILE } from './config/policy-file.ts'
import { readPolicy } from './config/policy.ts'
import type { CheckCron } from './config/policy-schema.ts'
import { ConfigError } from './config/problems.ts'
import type { Problem } from './config/problems.ts'
import { makeSections, mustUseHttps } from './config/sections.ts'
import type { Need, Sections } from './config/sections.ts'
import type { Timing } from './config/timing.ts'
import { isSet, makeVariableReader } from './config/variables.ts'
import type { Environment, VariableName } from './config/variables.ts'
import type { Policy } from './domain/policy.ts'
import { logLevels } from './log.ts'
import type { LogLevel } from './log.ts'

export { ConfigError }
export type { CheckCron, Need, Problem, Sections, Timing, VariableName }

const nodeEnvs = ['production', 'development', 'test'] as const

interface Always {
  readonly nodeEnv: (typeof nodeEnvs)[number]
  readonly logLevel: LogLevel
  /** See requiresHttps. */
  readonly httpsOnly: boolean
  readonly policy: Policy
  readonly timing: Timing
  /** What is allowed but probably not meant: to be logged at the start. */
  readonly warnings: readonly string[]
}

/** The whole configuration; `Config<'database' | 'keys'>` is sure to have these sections, others may be there. */
export type Config<N extends Need = Need> = Always &
  Pick<Sections, N> & { readonly [Other in Need]?: Sections[Other] | undefined }

export interface ConfigRequest<N extends Need> {
  /** Sections that must be there and sound. Variables of others are not read at all. */
  readonly needs: readonly N[]
  /** The same, known only at run time (by role), so the type does not promise them. */
  readonly alsoNeeds?: readonly Need[] | undefined
  /** Used instead of the policy file: the demo's, a test's, or `{}` for a command that needs none. */
  readonly policy?: PolicyInput | undefined
  /** Without it, a cron pattern is checked for its number of fields alone. */
  readonly checkCron?: CheckCron | undefined
}

const oneOf = <T extends string>(text: string, allowed: readonly T[]): T | undefined =>
  allowed.find((value) => value === text)

/** Plain data alone: Durations, Secrets and keys cannot be changed from outside anyway. */
const deepFreeze = <T>(value: T): T => {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  const prototype: unknown = Object.getPrototypeOf(value)
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) return value
  for (const inner of Object.values(value)) deepFreeze(inner)
  return Object.freeze(value)
}

/**
 * Reads and checks the configuration. Rejects with a ConfigError that holds all problems; no message repeats a secret.
 */
export const loadConfig = async <const N extends Need>({
  env,
  cwd,
  needs,
  alsoNeeds = [],
  policy: givenPolicy,
  checkCron,
}: ConfigRequest<N> & { readonly env: Environment; readonly cwd: string }): Promise<Config<N>> => {
  const problems: Problem[] = []
  const report = (where: string, what: string): void => {
    // Two sections may share a variable.
    if (!problems.some((problem) => problem.where === where && problem.what === what)) problems.push({ where, what })
  }
  const variables = makeVariableReader({ env, cwd, report })
  const needed = new Set<Need>([...needs, ...alsoNeeds])

  const nodeEnv = oneOf(variables.find('NODE_ENV') ?? 'development', nodeEnvs)
  // Refused rather than ignored: 'prod' would quietly do without what production asks for.
  if (nodeEnv === undefined) report('NODE_ENV', `must be ${nodeEnvs.join(', ')} or unset`)
  const logLevel = oneOf(variables.find('LOG_LEVEL') ?? 'info', logLevels)
  if (logLevel === undefined) report('LOG_LEVEL', `must be one of ${logLevels.join(', ')}`)

  const httpsOnly = mustUseHttps(nodeEnv, variables)
  const read = makeSections({ variables, report, httpsOnly })
  const sections = Object.fromEntries([...needed].map((need) => [need, read[need]()]))

  const file =
    givenPolicy === undefined
      ? await loadPolicyFile(variables.find('RECONSENT_CONFIG'), cwd, report)
      : { name: POLICY_FILE, policy: givenPolicy }
  // Pages and messages name the company; a command on the database does not.
  const needsCompany = needed.has('web') || needed.has('mail')
  const policy = file && readPolicy(file.policy, { report, file: file.name, needsCompany, checkCron })

  if (problems.length > 0 || !file || !policy || !nodeEnv || !logLevel) throw new ConfigError(problems)
  const warnings =
    needsCompany && httpsOnly && policy.policy.company.name === 'Example Company'
      ? [`company.name is still 'Example Company': set your company's name in ${file.name}`]
      : []
  // The sections are there: each that is not has left a problem.
  return deepFreeze({ nodeEnv, logLevel, httpsOnly, ...policy, warnings, ...sections } as unknown as Config<N>)
}

/**
 * The same, from this process's environment and working directory. `override` sets variables for this call (a value
 * replaces NAME and NAME_FILE, undefined unsets both): the demo points everything at itself with it.
 */
export const configFromProcess = <const N extends Need>({
  override = {},
  ...request
}: ConfigRequest<N> & { readonly override?: { readonly [Name in VariableName]?: string | undefined } }): Promise<
  Config<N>
> => {
  const env = { ...process.env }
  for (const [name, value] of Object.entries(override)) {
    env[name] = value
    env[`${name}_FILE`] = undefined
  }
  return loadConfig({ ...request, env, cwd: process.cwd() })
}

/**
 * Whether this process's environment has the variable, itself or as NAME_FILE: the demo and tests start their own
 * database if not.
 */
export const isSetInProcess = (name: VariableName): boolean => isSet(process.env, name)

/**
 * Whether PUBLIC_URL and every callback (`redirect_uri` of an import) must be https: with NODE_ENV=production or
 * TrueLayer's production host, which is the default.
 */
export const requiresHttps = (config: Pick<Config<never>, 'httpsOnly'>): boolean => config.httpsOnly
