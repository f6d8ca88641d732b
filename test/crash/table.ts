// The outcomes of a run of the crash suite as a Markdown table, for docs/reliability.md.
import { crashPoints, type PointName } from './points.ts'
import { type Mode, modes } from './order.ts'

export interface Run {
  readonly point: PointName
  readonly situation: string
  readonly mode: Mode
  readonly outcome: string
}

/** The rows are in the order of the table of points, whatever the order of the runs. */
export const crashTable = (runs: readonly Run[]): string => {
  const rows = Object.entries(crashPoints).flatMap(([point, { at, doubt }]) => {
    const here = runs.filter((run) => run.point === point)
    const names = [...new Set(here.map(({ situation }) => situation))].toSorted()
    return names.map((situation, index) => {
      const outcomes = modes.map(
        (mode) => here.find((run) => run.situation === situation && run.mode === mode)?.outcome ?? '—',
      )
      const first = index === 0 ? `\`${point}\` (${at.join(', ')}): ${doubt}` : ''
      return `| ${first} | ${situation} | ${outcomes.join(' | ')} |`
    })
  })
  return [
    '| crash point, where it stands, and what is in doubt | situation | killed | thrown | hung past the lease |',
    '|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}
