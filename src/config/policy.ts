// Turns the contents of a policy file into the domain's Policy and the Timing, or into a list of everything wrong with
// them.
import type { Policy } from '../domain/policy.ts'
import { unreachableRungs } from './ladder.ts'
import { issueProblems, issueWords } from './policy-problems.ts'
import { type ParsedPolicy, policySchema, type Timing } from './policy-schema.ts'
import { type Report, whenValid } from './problems.ts'

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

const policyWithReachableRungs = policySchema.superRefine(
  ({ ladder, providers }, context) => {
    for (const message of unreachableRungs(ladder, longest(providers, 'validity'), longest(providers, 'grace')))
      context.addIssue({ code: 'custom', path: ['ladder'], message })
  },
  whenValid('ladder', 'providers'),
)

/**
 * Checks a policy and fills in its defaults. Reports each problem under its key, and then returns undefined. A problem
 * of the policy as a whole is reported under `file`.
 */
export const readPolicy = (
  input: object,
  { report, file, needsCompany }: { report: Report; file: string; needsCompany: boolean },
): PolicyAndTiming | undefined => {
  const schema = policyWithReachableRungs.refine(({ company }) => !needsCompany || company.name !== '', {
    path: ['company', 'name'],
    error: `is not set. Messages and pages name it: set company: { name: '…' } in ${file}`,
    ...whenValid('company'),
  })
  const parsed = schema.safeParse(input, { error: issueWords })
  if (parsed.success) {
    const { timing, ...policy } = parsed.data
    return { policy, timing }
  }
  for (const { where, what } of parsed.error.issues.flatMap((issue) => issueProblems(issue, file))) report(where, what)
  return undefined
}
