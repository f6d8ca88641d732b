// The end of a run: runs every check, prints the tables, and keeps what is needed to look into a violation.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Checked } from './checked.ts'
import {
  demandShown,
  everyCheckLooked,
  everyDisturbanceHappened,
  everyKindHappened,
  everyLinkScanned,
  isFull,
} from './completeness.ts'
import type { Stage } from './course.ts'
import { judgeEndings } from './endings.ts'
import { faults } from './faults.ts'
import { refusedWrites } from './health.ts'
import { checkBooks } from './invariants.ts'
import { LAST_DOUBTS } from './invariants/asked.ts'
import { EMPTIED } from './invariants/renewals.ts'
import { DOWNTIME } from './living.ts'
import { everyWayRenewed, waysOf } from './own-ways.ts'
import type { Options } from './options.ts'
import type { User } from './population.ts'
import { commandOf, faultTable, invariantTable, verdictOf } from './report.ts'
import { type Rig, STOP_WITHIN_MS } from './rig.ts'
import { asFaults, OWN, readStalls } from './stalls.ts'
import { verifyDatabase } from './verified.ts'
import { judgeWrites, readWrites } from './writes.ts'

/** Counts the stalls that ended after `since` as faults of the run. */
const noteStalls = async ({ rig, nemesis, ownStalls }: Stage, since: number): Promise<void> => {
  const own = ownStalls.map((stall) => ({ ...stall, who: OWN }))
  const stalls = [...(await readStalls(rig.logFolder)), ...own].filter(({ to }) => to > since)
  const pauses = nemesis.log.flatMap((struck) => struck.pauses ?? [])
  nemesis.add(asFaults(stalls, pauses))
}

/** How often the provider renewed each connection, by our books, and how often it replaced its token, by its own. */
const countsByConnection = async ({ sql, simulator }: Rig) => {
  const renewals = await sql<{ id: string; count: string }>(
    `SELECT credentials_id AS id, count(*) FROM renewals JOIN consents ON consents.id = consent_id
     WHERE renewals.status = 'renewed' GROUP BY 1`,
  )
  const rotations = Map.groupBy(simulator.ledger.entries({ what: 'rotated' }), (entry) => entry.credentials_id ?? '')
  return {
    renewals: new Map(renewals.map(({ id, count }) => [id, Number(count)])),
    rotations: new Map([...rotations].map(([id, entries]) => [id, entries.length])),
  }
}

export const judge = async (stage: Stage, users: readonly User[]): Promise<Checked[]> => {
  const { rig, crowd, nemesis, operators, search, options, levels, backlog } = stage
  await levels.takeQuiet()
  const endedAt = Date.now()
  await noteStalls(stage, 0)
  const { log } = nemesis
  const checked: Checked[] = await verifyDatabase(rig)
  checked.push(
    ...(await checkBooks({
      rig,
      log,
      returns: crowd.returns,
      crowd,
      users,
      acts: operators.acts,
      workers: rig.workers,
      endedAt,
      backlogs: backlog.stop(),
    })),
  )
  checked.push(
    await search.finish(),
    judgeWrites(await readWrites(rig), log),
    await refusedWrites(rig, log),
    levels.judge(isFull(options)),
  )
  const surprises = rig.fleet.surprises().map(({ seat, at, how }) => ({
    invariant: 0,
    record: seat,
    what: `ended by itself at ${at.toISOString()}: ${how}`,
  }))
  checked.push({
    invariant: 0,
    says: 'no process ends unless it is told to',
    looked: log.length,
    violations: surprises,
    notes: [],
  })
  // All processes are stopped once more, at a time when no fault can excuse a bad ending.
  await rig.fleet.stopAll()
  await noteStalls(stage, endedAt)
  checked.push(judgeEndings(rig.fleet.endings(), log, STOP_WITHIN_MS))
  const isDemanded = isFull(options)
  checked.push(everyWayRenewed(waysOf(users, await countsByConnection(rig)), isDemanded))
  checked.push(everyLinkScanned(crowd.scannedBefore, isDemanded), everyDisturbanceHappened(crowd.counts, isDemanded))
  checked.push(everyCheckLooked(checked, isDemanded), everyKindHappened(log, kindsOf(options), isDemanded))
  return demandShown(checked, options)
}

/** The kinds of fault that a run with these options may see. */
export const kindsOf = ({ calm, only, flushEveryMs }: Pick<Options, 'calm' | 'only' | 'flushEveryMs'>): string[] => [
  ...(calm ? [] : [...(only.length === 0 ? Object.keys(faults) : only), DOWNTIME, LAST_DOUBTS]),
  ...(flushEveryMs === undefined ? [] : [EMPTIED]),
]

export const conclude = async (
  { rig, crowd, nemesis, operators, options }: Stage,
  checked: readonly Checked[],
): Promise<boolean> => {
  const violations = checked.flatMap((one) => one.violations)
  const { counts, serverErrors } = crowd
  console.log(`\n${faultTable(nemesis.log, kindsOf(options))}\n\n${invariantTable(checked)}\n`)
  console.log(
    `users: ${Object.entries(counts)
      .map(([what, count]) => `${count} ${what}`)
      .join(', ')}`,
  )
  if (serverErrors.size > 0)
    console.log(`answers of 5xx: ${[...serverErrors].map(([what, count]) => `${count} × ${what}`).join(', ')}`)
  console.log(`seed ${options.seed}; the same again: ${commandOf(options)}`)
  if (violations.length === 0) {
    console.log(verdictOf(checked))
    return true
  }
  const files = {
    'violations.json': violations,
    'faults.json': nemesis.log,
    'ledger.json': rig.simulator.ledger.entries(),
    'operators.json': operators.acts,
    'attempts.json': crowd.attempts,
  }
  for (const [name, content] of Object.entries(files))
    await writeFile(join(rig.folder, name), JSON.stringify(content, undefined, 1))
  const dump = await Promise.all(
    ['consents', 'renewals', 'authorisations', 'notifications', 'events'].map(
      async (name) => [name, await rig.sql(`SELECT * FROM ${name}`)] as const,
    ),
  )
  await writeFile(join(rig.folder, 'rows.json'), JSON.stringify(Object.fromEntries(dump), undefined, 1))
  console.log(`${violations.length} violations; rows, ledger, faults and logs are in ${rig.folder}`)
  return false
}
