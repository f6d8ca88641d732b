// Checks deploy/alerts.yaml: the program shows every metric and label that a rule uses from its start, every alert has
// a case in alerts/cases.ts in which it fires, and promtool confirms that exactly the named alerts fire in each case.
// Exits 1 and prints what is wrong.
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parse, stringify } from 'yaml'
import { findProgram } from '../test/setup/program.ts'
import { cases } from './alerts/cases.ts'
import type { RuleCase } from './alerts/rule-case.ts'
import { type CleanSeries, cleanSeries, promtoolTest, type Rule } from './alerts/world.ts'

const RULES = fileURLToPath(new URL('../deploy/alerts.yaml', import.meta.url))

const rulesOf = (source: string): readonly Rule[] =>
  (parse(source) as { groups: readonly { rules: readonly Rule[] }[] }).groups.flatMap(({ rules }) => rules)

/** The metrics, and the single values of labels, that a rule uses and no process shows from its start. */
const missing = (clean: CleanSeries, { alert, expr }: Rule): string[] =>
  [...expr.matchAll(/\b(reconsent_\w+)(?:\{([^}]*)\})?/g)].flatMap(([, name = '', matchers = '']) => {
    const series = [...clean.keys()].filter((one) => one === name || one.startsWith(`${name}{`))
    if (series.length === 0) return [`${alert} asks for ${name}, which no process shows from its start`]
    return [...matchers.matchAll(/(\w+)(=~?)"([^"]*)"/g)].flatMap(([, label, how, text = '']) =>
      (how === '=~' ? text.split('|') : [text])
        .filter((value) => !series.some((one) => one.includes(`${label}="${value}"`)))
        .map((value) => `${alert} asks for ${name}{${label}="${value}"}, which no process shows from its start`),
    )
  })

const untried = (rules: readonly Rule[], all: readonly RuleCase[]): string[] => {
  const fired = new Set(
    all.flatMap(({ looks }) => Object.values(looks).flat()).map((one) => (typeof one === 'string' ? one : one.alert)),
  )
  const names = rules.map(({ alert }) => alert)
  return [
    ...names
      .filter((name) => !fired.has(name))
      .map((name) => `${name} fires in no case: add one to scripts/alerts/cases.ts`),
    ...[...fired]
      .filter((name) => !names.includes(name ?? ''))
      .map((name) => `scripts/alerts/cases.ts names ${name}, which is no alert`),
  ]
}

/** promtool's findings about the cases; empty when every case holds. */
const judge = async (clean: CleanSeries, source: string, all: readonly RuleCase[]): Promise<string[]> => {
  const promtool = await findProgram({ names: ['promtool'], debianPackage: 'prometheus', variable: 'PROMTOOL' })
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-alerts-'))
  try {
    await writeFile(join(folder, 'alerts.yaml'), source)
    const rules = rulesOf(source)
    const files = ([1, 5] as const).map(async (minutes) => {
      const tests = all
        .filter(({ everyMinutes = 1 }) => everyMinutes === minutes)
        .map((one) => promtoolTest(clean, rules, one))
      const file = join(folder, `every-${minutes}.yaml`)
      // Cases over days are evaluated less often than scraped: estimates over long windows are expensive.
      const content = { rule_files: ['alerts.yaml'], evaluation_interval: minutes === 1 ? '1m' : '30m', tests }
      await writeFile(file, stringify(content, { aliasDuplicateObjects: false }))
      return file
    })
    await promisify(execFile)(promtool, ['test', 'rules', ...(await Promise.all(files))], {
      maxBuffer: 64 * 1024 * 1024,
    })
    return []
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string }
    if (stdout === undefined && stderr === undefined) throw error
    return [`${stdout}${stderr}`.trim()]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Everything that is wrong with these rules. */
export const findProblems = async (source: string, all: readonly RuleCase[] = cases): Promise<string[]> => {
  const clean = await cleanSeries()
  const rules = rulesOf(source)
  const problems = [...rules.flatMap((rule) => missing(clean, rule)), ...untried(rules, all)]
  return problems.length > 0 ? problems : judge(clean, source, all)
}

if (import.meta.main) {
  const problems = await findProblems(await readFile(RULES, 'utf8'))
  for (const problem of problems) console.error(problem)
  if (problems.length === 0)
    console.log(`deploy/alerts.yaml: every alert fires in its case, none in the others (${cases.length} cases)`)
  else process.exitCode = 1
}
