// Turns the environment and the policy file into one frozen Config, or names every problem at once. Only this file
// reads process.env.
import type { PolicyInput } from './config/define-config.ts'
import { isPlainObject } from './config/plain-data.ts'
import { loadPolicyFile, POLICY_FILE } from './config/policy-file.ts'
import { readPolicy } from './config/policy.ts'
import { type Timing, usualChannels } from './config/policy-schema.ts'
import { ConfigError } from './config/problems.ts'
import type { Problem } from './config/problems.ts'
import { channelSections, makeSections, mustUseHttps, settings } from './config/sections.ts'
import type { Need, Sections, Settings } from './config/sections.ts'
import { isSet, makeVariableReader } from './config/variables.ts'
import type { Environment, VariableName } from './config/variables.ts'
import type { Policy } from './domain/policy.ts'

export { ConfigError }
export type { Need, Problem, Sections, Timing, VariableName }

interface Always extends Settings {
  /** See requiresHttps. */
  readonly httpsOnly: boolean
  readonly policy: Policy
  readonly timing: Timing
  /** Settings that are allowed but probably not intended: to be logged at startup. */
  readonly warnings: readonly string[]
}

/** The whole configuration. `Config<'database' | 'keys'>` certainly has these two sections; it may have others. */
export type Config<N extends Need = Need> = Always &
  Pick<Sections, N> & { readonly [Other in Need]?: Sections[Other] | undefined }

export interface ConfigRequest<N extends Need> {
  /** Sections that must be present and valid. Variables of other sections are not read at all. */
  readonly needs: readonly N[]
  /** More such sections, known only at run time (by role), so the type does not promise them. */
  readonly alsoNeeds?: readonly Need[] | undefined
  /** Used instead of the policy file: the policy of the demo or a test, or `{}` for a command that needs no policy. */
  readonly policy?: PolicyInput | undefined
}

/** Freezes only plain data: Durations, Secrets and keys cannot be changed from outside anyway. */
const deepFreeze = <T>(value: T): T => {
  if (Object.isFrozen(value) || !(Array.isArray(value) || isPlainObject(value))) return value
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
}: ConfigRequest<N> & { readonly env: Environment; readonly cwd: string }): Promise<Config<N>> => {
  const problems: Problem[] = []
  const report = (where: string, what: string): void => {
    // Two sections may share a variable, and report the same problem.
    if (!problems.some((problem) => problem.where === where && problem.what === what)) problems.push({ where, what })
  }
  const variables = makeVariableReader({ env, cwd, report })
  const needed = new Set<Need>([...needs, ...alsoNeeds])

  const always = variables.parse(settings)
  const httpsOnly = mustUseHttps(variables.values)
  const schemas = makeSections({
    httpsOnly,
    reread: () => makeVariableReader({ env, cwd, report: () => undefined }).values,
  })
  const sections = Object.fromEntries(
    [...needed].flatMap((need) => (need === 'channels' ? [] : [[need, variables.parse(schemas[need])]])),
  )

  // The policy says which channels are in use, so it is read before their variables; its problems are reported after.
  const ofPolicy: Problem[] = []
  const reportLater = (where: string, what: string): void => void ofPolicy.push({ where, what })
  const file =
    givenPolicy === undefined
      ? await loadPolicyFile(variables.values.RECONSENT_CONFIG, cwd, reportLater)
      : { name: POLICY_FILE, policy: givenPolicy }
  // Pages and messages name the company; a command that only uses the database does not.
  const needsCompany = needed.has('web') || needed.has('channels')
  const policy = file && readPolicy(file.policy, { report: reportLater, file: file.name, needsCompany })
  if (needed.has('channels')) {
    const inUse = policy?.policy.channels ?? usualChannels
    const read = inUse.map((name) => [name, variables.parse(channelSections[name])])
    Object.assign(sections, { channels: Object.fromEntries(read) })
  }
  for (const { where, what } of ofPolicy) report(where, what)

  if (problems.length > 0 || !file || !policy || !always) throw new ConfigError(problems)
  const warnings =
    needsCompany && httpsOnly && policy.policy.company.name === 'Example Company'
      ? [`company.name is still 'Example Company': set your company's name in ${file.name}`]
      : []
  // All sections are present: a missing section has reported a problem.
  return deepFreeze({ ...always, httpsOnly, ...policy, warnings, ...sections } as unknown as Config<N>)
}

/**
 * Like `loadConfig`, but from this process's environment and working directory. `override` sets variables for this call
 * (a value replaces NAME and NAME_FILE, undefined unsets both): the demo uses it to point every variable at its own
 * services.
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
 * Whether this process's environment has the variable, as NAME or as NAME_FILE: if not, the demo and the tests start
 * their own database.
 */
export const isSetInProcess = (name: VariableName): boolean => isSet(process.env, name)

/**
 * Whether PUBLIC_URL and every callback (`redirect_uri` of an import) must use https: they must with
 * NODE_ENV=production or with TrueLayer's production host, which is the default.
 */
export const requiresHttps = (config: Pick<Config<never>, 'httpsOnly'>): boolean => config.httpsOnly
