// The figures of a run as one document, and as a table in Markdown.
import { cpus, totalmem } from 'node:os'
import type { Options } from './options.ts'
import type { Side } from './sides.ts'
import { type Spread, spreadOf } from './statistics.ts'
import type { Figures, StatementShare, Turn } from './turn.ts'

export interface SideReport {
  readonly side: Pick<Side, 'name' | 'title' | 'skips'>
  /** One for each round. */
  readonly turns: readonly Turn[]
}

export const figureNames = [
  'renewalsPerSecond',
  'ownCpuMs',
  'postgresCpuMs',
  'redisCpuMs',
  'worldCpuMs',
  'elsewherePercent',
  'commits',
  'writes',
  'statements',
  'queueStatements',
  'peakMegabytes',
] as const satisfies readonly (keyof Figures)[]

export interface Report {
  readonly at: string
  readonly machine: {
    readonly processor: string
    readonly cores: number
    readonly memoryMegabytes: number
    readonly node: string
  }
  readonly options: Pick<Options, 'consents' | 'warmUp' | 'rounds' | 'latencyMs'>
  readonly sides: readonly {
    readonly name: string
    readonly title: string
    readonly skips: string
    readonly figures: Readonly<Record<keyof Figures, Spread>>
    readonly turns: readonly Figures[]
    /** Of the last turn: those that are called at least once in ten renewals. */
    readonly statements: readonly StatementShare[]
  }[]
}

const SHOWN_FROM = 0.1

export const makeReport = (
  { consents, warmUp, rounds, latencyMs }: Options,
  reports: readonly SideReport[],
): Report => ({
  at: new Date().toISOString(),
  machine: {
    processor: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryMegabytes: Math.round(totalmem() / 1024 / 1024),
    node: process.version,
  },
  options: { consents, warmUp, rounds, latencyMs },
  sides: reports.map(({ side: { name, title, skips }, turns }) => ({
    name,
    title,
    skips,
    figures: Object.fromEntries(
      figureNames.map((figure) => [figure, spreadOf(turns.map((turn) => turn.figures[figure]))]),
    ) as Record<keyof Figures, Spread>,
    turns: turns.map((turn) => turn.figures),
    statements: (turns.at(-1)?.statements ?? []).filter(({ calls }) => calls >= SHOWN_FROM),
  })),
})

interface Column {
  readonly title: string
  readonly figure: keyof Figures
  readonly digits: number
  /** Whether the floor has a figure to compare with. */
  readonly ofFloor: boolean
}

const columns: readonly Column[] = [
  { title: 'renewals/s', figure: 'renewalsPerSecond', digits: 1, ofFloor: true },
  { title: 'own CPU, ms', figure: 'ownCpuMs', digits: 1, ofFloor: true },
  { title: 'PostgreSQL CPU, ms', figure: 'postgresCpuMs', digits: 1, ofFloor: true },
  { title: 'Redis CPU, ms', figure: 'redisCpuMs', digits: 2, ofFloor: false },
  { title: 'commits', figure: 'commits', digits: 1, ofFloor: true },
  { title: 'that write', figure: 'writes', digits: 1, ofFloor: true },
  { title: 'statements', figure: 'statements', digits: 1, ofFloor: true },
  { title: "queue's own", figure: 'queueStatements', digits: 1, ofFloor: false },
  { title: 'peak RSS, MB', figure: 'peakMegabytes', digits: 0, ofFloor: true },
  { title: 'simulator and users, ms', figure: 'worldCpuMs', digits: 1, ofFloor: false },
  { title: 'others, %', figure: 'elsewherePercent', digits: 0, ofFloor: false },
]

const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
const head = (titles: readonly string[]): string =>
  `${row(titles)}\n${row(titles.map((_, at) => (at === 0 ? '---' : '---:')))}`
const shown = ({ median, least, most }: Spread, digits: number): string => {
  const [middle, low, high] = [median, least, most].map((number) => number.toFixed(digits))
  return low === high ? `${middle}` : `${middle} (${low}–${high})`
}

/** The median of each figure, and the least and the most where they differ. */
export const showTable = ({ machine, options, sides }: Report): string => {
  const rounds = options.rounds === 1 ? '1 round' : `${options.rounds} rounds`
  return [
    `${options.consents} consents, ${rounds}, provider latency ${options.latencyMs} ms; ${machine.cores} cores ` +
      `(${machine.processor}), Node ${machine.node}. Median (least–most); CPU, commits and statements for each ` +
      'renewal.',
    '',
    head(['side', ...columns.map(({ title }) => title)]),
    ...sides.map(({ name, figures }) =>
      row([name, ...columns.map(({ figure, digits }) => shown(figures[figure], digits))]),
    ),
  ].join('\n')
}

/**
 * What each side needs of what the floor needs, by the figures of the same round, so that a machine that is busier in
 * one round than in another weighs little. Undefined without the floor.
 */
export const showRatios = ({ sides }: Report): string | undefined => {
  const floor = sides.find(({ name }) => name === 'floor')
  if (floor === undefined) return undefined
  const compared = columns.filter(({ ofFloor }) => ofFloor)
  const ratio = (side: Report['sides'][number], figure: keyof Figures): Spread =>
    spreadOf(side.turns.map((turn, round) => turn[figure] / (floor.turns[round]?.[figure] ?? Number.NaN)))
  return [
    head(['times the floor', ...compared.map(({ title }) => title)]),
    ...sides
      .filter((side) => side !== floor)
      .map((side) => row([side.name, ...compared.map(({ figure }) => shown(ratio(side, figure), 2))])),
  ].join('\n')
}

/** What each side asks of PostgreSQL, cut to a line each. */
export const showStatements = ({ sides }: Report): string =>
  sides
    .map(({ name, statements }) =>
      [
        `${name}: calls and ms for each renewal`,
        ...statements.map(
          ({ calls, ms, text }) =>
            `${calls.toFixed(1).padStart(6)} ${ms.toFixed(2).padStart(7)}  ${text.slice(0, 160)}`,
        ),
      ].join('\n'),
    )
    .join('\n\n')
