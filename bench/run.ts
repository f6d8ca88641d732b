// `npm run bench`: the whole loop, from "due" to "renewed", with real HTTP, SMTP and users, on Reconsent and on what a
// company would write instead. The sides take turns in one run, each in a process of its own.
import { writeFile } from 'node:fs/promises'
import { freePort } from '../test/setup/free-port.ts'
import { type Options, readOptions, USAGE } from './options.ts'
import { makePlot } from './plot.ts'
import { runProgram } from './program.ts'
import { makeReport, showRatios, showStatements, showTable, type SideReport } from './report.ts'
import { type Side, sides } from './sides.ts'
import { withServer } from './stage.ts'
import { takeTurn, type Terms, type Turn } from './turn.ts'

/** So that nothing hangs: at two renewals a second even the slowest side would be done. */
const limitFor = (consents: number): number => 60 + consents / 2

const runRounds = async (
  chosen: readonly Side[],
  { rounds }: Options,
  turn: (side: Side) => Promise<Turn>,
): Promise<readonly SideReport[]> => {
  const reports = chosen.map((side) => ({ side, turns: [] as Turn[] }))
  for (let round = 0; round < rounds; round += 1) {
    // Another side is first in each round: whatever warms up or wears out does so for all alike.
    const first = round % reports.length
    for (const { side, turns } of [...reports.slice(first), ...reports.slice(0, first)]) {
      const taken = await turn(side)
      turns.push(taken)
      const { renewalsPerSecond } = taken.figures
      console.error(`round ${round + 1} of ${rounds}: ${side.name} ${renewalsPerSecond.toFixed(1)} a second`)
    }
  }
  return reports
}

const runBench = async (options: Options): Promise<void> => {
  const chosen = options.sides.flatMap((name) => sides.find((side) => side.name === name) ?? [])
  const { consents, warmUp, restSeconds, latencyMs, json, svg } = options
  await withServer(async (server, folder) => {
    const terms: Terms = {
      consents,
      warmUp,
      restMs: restSeconds * 1_000,
      latencyMs,
      limitSeconds: limitFor(warmUp + consents),
      port: await freePort(),
      folder,
    }
    const reports = await runRounds(chosen, options, async (side) => takeTurn(side, terms, server))
    const report = makeReport(options, reports)
    console.log([showTable(report), showRatios(report)].filter((part) => part !== undefined).join('\n\n'))
    if (options.statements) console.log(`\n${showStatements(report)}`)
    if (json !== undefined) await writeFile(json, `${JSON.stringify(report, null, 2)}\n`)
    if (svg !== undefined) await writeFile(svg, makePlot(report))
  })
}

await runProgram(USAGE, async () => runBench(readOptions(process.argv.slice(2), sides)))
