// Writes docs/states.md from the transition tables of src/domain/lifecycle.ts. With --check it writes nothing and exits
// 1 when the file is stale.
import { readFileSync, writeFileSync } from 'node:fs'
import {
  authorisationTransitions,
  consentTransitions,
  notificationTransitions,
  renewalTransitions,
} from '../src/domain/lifecycle.ts'

interface Machine {
  readonly title: string
  readonly about: string
  readonly table: Readonly<Record<string, Readonly<Record<string, string | undefined>>>>
}

const machines: readonly Machine[] = [
  {
    title: 'Consent',
    about:
      'One connection of one user at one bank. Only `active` consents are looked at; `paused` and ' +
      '`quarantined` wait for a person; the others are closed. ' +
      'How urgent an active one is (`healthy`, `due`, `in-grace`, `lapsed`) is computed from its dates and ' +
      'never stored.',
    table: consentTransitions,
  },
  {
    title: 'Renewal',
    about: 'One cycle of one consent: from the day it is due to its end.',
    table: renewalTransitions,
  },
  {
    title: 'Authorisation',
    about:
      'One attempt at the bank, with its own state, verifier and link. A renewal may have many; at most one of ' +
      'them succeeds.',
    table: authorisationTransitions,
  },
  {
    title: 'Notification',
    about: 'One message of the ledger, unique for its consent, cycle, rung and channel.',
    table: notificationTransitions,
  },
]

/** A record starts in the first state of its table. */
const diagramOf = ({ table }: Machine): string[] => {
  const states = Object.keys(table)
  const edges = states.flatMap((from) => Object.keys(table[from] ?? {}).map((to) => `    ${from} --> ${to}`))
  const ends = states
    .filter((state) => Object.keys(table[state] ?? {}).length === 0)
    .map((state) => `    ${state} --> [*]`)
  return ['```mermaid', 'stateDiagram-v2', `    [*] --> ${states[0] ?? ''}`, ...edges, ...ends, '```']
}

const rowsOf = ({ table }: Machine): string[] =>
  Object.entries(table).flatMap(([from, targets]) => {
    const rows = Object.entries(targets).map(([to, when]) => `| \`${from}\` | \`${to}\` | ${when ?? ''} |`)
    return rows.length > 0 ? rows : [`| \`${from}\` | | final |`]
  })

const sectionOf = (machine: Machine): string[] => [
  `## ${machine.title}`,
  '',
  machine.about,
  '',
  ...diagramOf(machine),
  '',
  '| from | to | when |',
  '|---|---|---|',
  ...rowsOf(machine),
  '',
]

export const statesDocument = (): string =>
  [
    '<!-- Generated from src/domain/lifecycle.ts by scripts/generate-states.ts: do not edit. -->',
    '# States',
    '',
    "Every state and every allowed transition. The tables are the program's own: each write of a status names in its " +
      'WHERE the states',
    'that these tables let it come from (`src/store/moves.ts`), and the database refuses unknown states.',
    '',
    ...machines.flatMap(sectionOf),
  ]
    .join('\n')
    .trimEnd() + '\n'

if (import.meta.main) {
  const file = new URL('../docs/states.md', import.meta.url)
  const document = statesDocument()
  if (!process.argv.includes('--check')) writeFileSync(file, document)
  else if (readFileSync(file, 'utf8') !== document) {
    console.error('docs/states.md is stale: run node scripts/generate-states.ts')
    process.exitCode = 1
  } else console.log('docs/states.md is up to date')
}
