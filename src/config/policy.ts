// Turns the contents of a policy file into the domain's Policy and the Timing, or into a list of everything wrong with
// them.
import type { Policy } from '../domain/policy.ts'
import { unreachableRungs } from './ladder.ts'
import { policyKeys, policyProblems } from './policy-problems.ts'
import { makePolicySchema } from './policy-schema.ts'
import type { CheckCron, ParsedPolicy } from './policy-schema.ts'
import type { Report } from './problems.ts'
import type { Timing } from './timing.ts'

export interface PolicyAndTiming {
  readonly policy: Policy
  readonly timing: Timing
}

/**
 * Days that a consent is valid, and days of its grace window, unless the provider or the policy says otherwise: the
 * usual open-banking rule.
 */
const USUAL_DAYS = 90

const longest = (providers: ParsedPolicy['providers'], which: 'validity' | 'grace'): number =>
  Math.max(USUAL_DAYS, ...Object.values(providers).map((rule) => rule[which]?.as('days') ?? 0))

/** Accepts every cron pattern; enough for reading the keys and the default values. */
const anyCron: CheckCron = () => undefined

/** Every key of the policy, as paths (`link.freshFor`). */
export const knownPolicyKeys: readonly string[] = policyKeys(makePolicySchema(anyCron))

/**
 * Checks a policy and fills in its defaults. Reports each problem under its key, and then returns undefined. A problem
 * of the policy as a whole is reported under `file`.
 */
export const readPolicy = (
  input: object,
  {
    report,
    file,
    needsCompany,
    checkCron = anyCron,
  }: { report: Report; file: string; needsCompany: boolean; checkCron?: CheckCron | undefined },
): PolicyAndTiming | undefined => {
  const schema = makePolicySchema(checkCron)
  const parsed = schema.safeParse(input)
  let isValid = parsed.success
  const complain: Report = (where, what) => {
    isValid = false
    report(where === 'the policy' ? file : where, what)
  }
  if (!parsed.success) for (const { where, what } of policyProblems(schema, parsed.error)) complain(where, what)

  // Checks that involve several keys run whenever those keys are valid by themselves, so that their problems are
  // reported together with all others.
  const {
    ladder: writtenLadder,
    providers: writtenProviders,
    company: writtenCompany,
  } = input as Record<string, unknown>
  const ladder = schema.shape.ladder.safeParse(writtenLadder)
  const providers = schema.shape.providers.safeParse(writtenProviders)
  if (ladder.success && providers.success) {
    const rules = providers.data
    for (const what of unreachableRungs(ladder.data, longest(rules, 'validity'), longest(rules, 'grace')))
      complain('ladder', what)
  }
  const company = schema.shape.company.safeParse(writtenCompany)
  if (needsCompany && company.success && company.data.name === '') {
    complain('company.name', `is not set. Messages and pages name it: set company: { name: '…' } in ${file}`)
  }

  if (!parsed.success || !isValid) return undefined
  const { timing, ...policy } = parsed.data
  return { policy, timing }
}
