// The output of a run: the faults that really happened, the invariants with their counts, and the command that repeats
// the run.
import type { Checked } from './checked.ts'
import { tallyOf } from './completeness.ts'
import type { Options } from './options.ts'
import type { Struck } from './struck.ts'

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [line(head), line(widths.map((width) => '─'.repeat(width))), ...rows.map(line)].join('\n')
}

/** `kinds`: the kinds of fault that a run with these options may see, whether or not they had their turn. */
export const faultTable = (log: readonly Struck[], kinds: readonly string[]): string =>
  table(
    ['fault', 'struck', 'happened', 'problem'],
    tallyOf(log, kinds).map(({ name, struck, happened, problems }) => [
      name,
      String(struck),
      String(happened),
      problems.join('; '),
    ]),
  )

const SHOWN = 12

export const resultOf = ({
  looked,
  violations,
  notShown,
}: Pick<Checked, 'looked' | 'violations' | 'notShown'>): string => {
  if (violations.length > 0) return `VIOLATED ${violations.length} times`
  if (looked === 0) return 'not looked at'
  return notShown === undefined ? 'holds' : 'holds in part'
}

/** The last line of a run without violations. */
export const verdictOf = (checked: readonly Checked[]): string => {
  const results = Map.groupBy(checked, resultOf)
  const rest = ['holds in part', 'not looked at'].flatMap((result) => {
    const count = results.get(result)?.length ?? 0
    return count === 0 ? [] : [`${count} ${result}`]
  })
  return rest.length === 0
    ? 'every invariant holds'
    : `no invariant is violated: ${results.get('holds')?.length ?? 0} hold, ${rest.join(', ')}`
}

export const invariantTable = (checked: readonly Checked[]): string => {
  const rows = checked
    .toSorted((a, b) => a.invariant - b.invariant)
    .flatMap(({ invariant, says, looked, violations, notes, notShown }) => [
      [String(invariant), says, String(looked), resultOf({ looked, violations, notShown })],
      ...(notShown === undefined ? [] : [['', `  not shown: ${notShown}`, '', '']]),
      ...notes.map((note) => ['', `  ${note}`, '', '']),
      ...violations.slice(0, SHOWN).map(({ record, what }) => ['', `  ✗ ${record}: ${what}`, '', '']),
    ])
  return table(['no', 'invariant', 'looked at', 'result'], rows)
}

export const commandOf = ({ consents, minutes, seed, flushEveryMs, busy, calm, only }: Options): string =>
  [
    `npm run chaos -- --consents ${consents} --minutes ${minutes} --seed ${seed}`,
    flushEveryMs === undefined ? '' : `--flush-every ${flushEveryMs / 1000}s`,
    busy === 0 ? '' : `--busy ${busy}`,
    calm ? '--calm' : '',
    only.length === 0 ? '' : `--only '${only.join(',')}'`,
  ]
    .filter((part) => part !== '')
    .join(' ')
