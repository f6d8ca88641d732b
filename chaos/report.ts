// What a run shows: the faults that really happened, the invariants with their counts, and what is needed to run it again.
import type { Checked } from './invariants.ts'
import type { Struck } from './nemesis.ts'
import type { Options } from './options.ts'

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()
  return [line(head), line(widths.map((width) => '─'.repeat(width))), ...rows.map(line)].join('\n')
}

export const faultTable = (log: readonly Struck[]): string => {
  const byName = Map.groupBy(log, (one) => one.name)
  const rows = [...byName].map(([name, struck]) => [name, String(struck.length), String(struck.reduce((sum, { happened }) => sum + happened, 0))])
  return table(['fault', 'struck', 'happened'], rows.toSorted((a, b) => (a[0] ?? '').localeCompare(b[0] ?? '')))
}

const SHOWN = 12

export const invariantTable = (checked: readonly Checked[]): string => {
  const rows = checked
    .toSorted((a, b) => a.invariant - b.invariant)
    .flatMap(({ invariant, says, looked, violations, notes }) => [
      [String(invariant), says, String(looked), violations.length === 0 ? 'holds' : `VIOLATED ${violations.length} times`],
      ...notes.map((note) => ['', `  ${note}`, '', '']),
      ...violations.slice(0, SHOWN).map(({ record, what }) => ['', `  ✗ ${record}: ${what}`, '', '']),
    ])
  return table(['no', 'invariant', 'looked at', 'result'], rows)
}

export const commandOf = ({ consents, minutes, seed, flushEveryMs, calm, only }: Options): string =>
  [
    `npm run chaos -- --consents ${consents} --minutes ${minutes} --seed ${seed}`,
    flushEveryMs === undefined ? '' : `--flush-every ${flushEveryMs / 1000}s`,
    calm ? '--calm' : '',
    only.length === 0 ? '' : `--only '${only.join(',')}'`,
  ]
    .filter((part) => part !== '')
    .join(' ')
