// `npm run test:mutants`: applies each known mistake to a copy of the project and shows that the suite catches it.
// Exits with 1 if a mutant survives or could not be judged. `--only id[,id…]`, `--table FILE` (the Markdown table),
// `--keep` (leaves the copy).
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { applied } from './apply.ts'
import { type Copy, makeCopy } from './copy.ts'
import type { Judge, Mutant } from './mutant.ts'
import { mutants } from './mutants.ts'
import { describeVerdict, type Judged, mutantTable, type Verdict } from './table.ts'
import { type Ran, runVitest } from './vitest-run.ts'

const BASELINE_SECONDS = 300
const MUTANT_SECONDS = 90

const project = fileURLToPath(new URL('../..', import.meta.url))

const choose = (only: readonly string[]): readonly Mutant[] => {
  const unknown = only.filter((id) => !mutants.some((mutant) => mutant.id === id))
  if (unknown.length > 0)
    throw new Error(`no such mutant: ${unknown.join(', ')} (there are ${mutants.map(({ id }) => id).join(', ')})`)
  return only.length === 0 ? mutants : mutants.filter(({ id }) => only.includes(id))
}

const isOf = ({ file, only }: Judge, test: { file: string; name: string }): boolean =>
  test.file === file && (only === undefined || test.name.includes(only))

/**
 * The unmutated copy must pass and every named test must exist: otherwise the runs with mutants would prove nothing.
 */
const checkBaseline = async (copy: Copy, chosen: readonly Mutant[], signal: AbortSignal): Promise<void> => {
  const judges = chosen.flatMap(({ caughtBy }) => caughtBy)
  const whole = new Set(judges.filter(({ only }) => only === undefined).map(({ file }) => file))
  // If any mutant needs a whole file, the whole file runs; of the other files only the named tests run.
  const runs = [[...whole].map((file) => ({ file })), judges.filter(({ file }) => !whole.has(file))]
  const ran: Ran[] = []
  for (const some of runs)
    if (some.length > 0) ran.push(await runVitest(copy, some, { seconds: BASELINE_SECONDS, signal }))
  const broken = ran.find((one) => one.broken !== undefined)?.broken
  if (broken !== undefined) throw new Error(`without a mutant: ${broken}`)
  const tests = ran.flatMap((one) => one.tests)
  const failed = tests.filter(({ status }) => status === 'failed')
  if (failed.length > 0)
    throw new Error(
      `without a mutant these fail:\n` +
        failed.map(({ file, name, why = '' }) => `  ${file}: ${name}\n    ${why}`).join('\n'),
    )
  for (const { id, caughtBy } of chosen) {
    const missing = caughtBy.find((judge) => !tests.some((test) => isOf(judge, test)))
    if (missing !== undefined)
      throw new Error(`${id} names a test that was not run: ${missing.file} ${missing.only ?? ''}`)
  }
  console.log(
    `without a mutant: ${tests.length} tests pass (${ran.reduce((sum, { seconds }) => sum + seconds, 0).toFixed(1)} s)`,
  )
}

const verdictOf = ({ tests, broken }: Ran, { caughtBy }: Mutant): Verdict => {
  if (broken !== undefined) return { kind: 'not judged', why: broken }
  const named = tests.filter((test) => caughtBy.some((judge) => isOf(judge, test)))
  if (named.length === 0) return { kind: 'not judged', why: 'none of its tests was run' }
  const by = named.filter(({ status }) => status === 'failed')
  return by.length === 0 ? { kind: 'survived', passed: named.length } : { kind: 'caught', by }
}

const judge = async (copy: Copy, mutant: Mutant, signal: AbortSignal): Promise<Judged> => {
  const changed = applied(mutant.edits, copy.read)
  const before = new Map([...changed.keys()].map((file) => [file, copy.read(file)]))
  for (const [file, text] of changed) copy.write(file, text)
  try {
    const ran = await runVitest(copy, mutant.caughtBy, { seconds: MUTANT_SECONDS, signal })
    return { mutant, verdict: verdictOf(ran, mutant), seconds: ran.seconds }
  } finally {
    for (const [file, text] of before) copy.write(file, text)
  }
}

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true, default: [] },
      table: { type: 'string' },
      keep: { type: 'boolean', default: false },
    },
  })
  const chosen = choose(values.only.flatMap((ids) => ids.split(',')))
  const interrupted = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, () => interrupted.abort(new Error('interrupted')))
  const started = performance.now()
  const copy = makeCopy(project)
  try {
    await checkBaseline(copy, chosen, interrupted.signal)
    const all: Judged[] = []
    for (const [index, mutant] of chosen.entries()) {
      const one = await judge(copy, mutant, interrupted.signal)
      all.push(one)
      console.log(
        `${String(index + 1).padStart(2)}/${chosen.length} ${mutant.id}: ${one.verdict.kind} ` +
          `(${one.seconds.toFixed(1)} ` +
          `s)${one.verdict.kind === 'caught' ? '' : `\n      ${describeVerdict(one.verdict)}`}`,
      )
    }
    const table = mutantTable(all)
    console.log(`\n${table}`)
    if (values.table !== undefined) writeFileSync(values.table, table)
    const escaped = all.filter(({ verdict }) => verdict.kind !== 'caught')
    const minutes = ((performance.now() - started) / 60_000).toFixed(1)
    console.log(
      `${all.length - escaped.length} of ${all.length} mutants caught in ${minutes} ` +
        `minutes${escaped.length === 0 ? '' : `; not: ${escaped.map(({ mutant }) => mutant.id).join(', ')}`}`,
    )
    return escaped.length === 0 ? 0 : 1
  } finally {
    if (values.keep) console.log(`the copy is left in ${copy.tree}`)
    else copy.remove()
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
