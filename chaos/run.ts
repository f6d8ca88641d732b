// The chaos run: a company with many consents lives through months in minutes while everything around it fails; then everything heals, the
// system is given time to finish, and the books are checked. Exit 1 on any violation, 2 on wrong options.
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { DurationLike } from 'luxon'
import { watchBacklog, type Backlog } from './backlog.ts'
import { faults } from './faults.ts'
import { type Levels, makeLevels, refusedWrites } from './health.ts'
import { type Checked, checkBooks } from './invariants.ts'
import { makeNemesis, type Nemesis } from './nemesis.ts'
import { type Options, readOptions, USAGE } from './options.ts'
import { daysOf, populate, type User } from './population.ts'
import { commandOf, faultTable, invariantTable } from './report.ts'
import { type Rig, startRig, SWEEP_MS } from './rig.ts'
import { makeSearch, type Search } from './secrets.ts'
import { seededChance } from './seeded.ts'
import { type Crowd, makeCrowd } from './users.ts'
import { verifyDatabase } from './verified.ts'
import { judgeWrites, readWrites } from './writes.ts'

const begun = Date.now()
const say = (line: string): void => console.log(`${String(Math.round((Date.now() - begun) / 1000)).padStart(5)} s  ${line}`)

/** Of its minutes, for healing and finishing. */
const STEP_SECONDS = { from: 6, to: 14 }
const END_SHARE = 0.25
/** As a share of its minutes, how long users still come after the healing. */
const VISITS_AFTER = 0.5

const WARM_UP_MS = 5_000

const kinds = ['authorisation', 'notification', 'consent'] as const
const countDue = async ({ store, clock }: Rig): Promise<number> => {
  const due = await Promise.all(kinds.map(async (kind) => store.countDue(kind, clock.now())))
  return due.reduce((sum, count) => sum + count, 0)
}
/** Exchanges that nothing but time may end, beside codes that die while it passes. */
const countInHand = async ({ sql }: Rig): Promise<number> => {
  const [row] = await sql<{ count: string }>(`SELECT count(*) FROM authorisations WHERE status IN ('code_received', 'exchanging')`)
  return Number(row?.count ?? 0)
}

/** Asks until it is so, or for so long; a database that is away just now is no answer. */
const until = async (isSo: () => Promise<boolean>, withinMs: number): Promise<boolean> => {
  const end = Date.now() + withinMs
  for (;;) {
    if (await isSo().catch(() => false)) return true
    if (Date.now() > end) return false
    await wait(250)
  }
}

interface Stage {
  readonly rig: Rig
  readonly crowd: Crowd
  readonly nemesis: Nemesis
  readonly search: Search
  readonly options: Options
  readonly levels: Levels
  readonly backlog: Backlog
}

const progress = async ({ rig, crowd, nemesis }: Stage, what: string): Promise<void> => {
  const [row] = await rig
    .sql<{ renewed: string; open: string }>(`SELECT count(*) FILTER (WHERE status = 'renewed') AS renewed, count(*) FILTER (WHERE status = 'open') AS open FROM renewals`)
    .catch(() => [])
  const { counts } = crowd
  const struck = nemesis.log.reduce((sum, one) => sum + one.happened, 0)
  say(`${what}: ${row?.renewed ?? '?'} renewed, ${row?.open ?? '?'} cycles open, ${rig.simulator.ledger.count({ what: 'mail', outcome: 'ok' })} mails, ${counts.returns} users back from the bank, ${struck} faults met`)
}

/** Codes in hand are waited for: only a fault may outlive them, never a step of the run. */
const IN_HAND_WITHIN_MS = 15_000

/** Users go home, codes in hand are used, and the time moves on; not while a code waits longer than that. False then. */
const jump = async ({ rig, crowd }: Stage, by: DurationLike): Promise<boolean> => {
  await crowd.rest(6_000)
  const isClear = await until(async () => (await countInHand(rig)) === 0, IN_HAND_WITHIN_MS)
  if (isClear) rig.clock.advance(by)
  crowd.start()
  return isClear
}

const QUIET_WITHIN_MS = 20_000
const untilQuiet = async ({ rig, crowd }: Stage): Promise<void> => {
  await crowd.rest(QUIET_WITHIN_MS)
  await until(async () => (await countDue(rig)) === 0, QUIET_WITHIN_MS)
}

/** The first work while nothing fails: what memory and connections are measured against. */
const warmUp = async (stage: Stage): Promise<void> => {
  const { crowd, levels } = stage
  await wait(WARM_UP_MS)
  await jump(stage, { hours: 3 })
  await wait(WARM_UP_MS)
  await untilQuiet(stage)
  await levels.takeQuiet()
  crowd.start()
  await progress(stage, 'warm; from now on things fail')
}

const liveThrough = async (stage: Stage): Promise<void> => {
  const { rig, crowd, nemesis, options } = stage
  const chance = seededChance(options.seed).branch('time')
  const end = Date.now() + options.minutes * 60_000 * (1 - END_SHARE)
  const began = Date.now()
  const jumpsExpected = Math.max(6, Math.round((end - began) / 1000 / 14))
  let downtimeDone = options.calm
  for (let jumps = 1; Date.now() < end; jumps += 1) {
    await wait(chance.between(STEP_SECONDS.from, STEP_SECONDS.to) * (options.minutes < 5 ? 600 : 1000))
    if (!downtimeDone && Date.now() > began + (end - began) / 2) {
      downtimeDone = true
      await nemesis.note('seven days of downtime', ['workers', 'all-workers', 'web', 'schedulers'], async () => {
        await rig.fleet.stopAll()
        rig.clock.advance({ days: 7 })
        await rig.fleet.startAll()
        return 1
      })
    }
    const hours = Math.round((daysOf(options) * 24 * chance.between(50, 150)) / 100 / jumpsExpected)
    const moved = await jump(stage, { hours })
    if (jumps % 4 === 0) await crowd.replay(20)
    if (jumps % 3 === 0) await stage.search.searchPages()
    await progress(stage, moved ? `${hours} hours later` : 'codes still in hand')
  }
}

/** Steps that users still set out in; then those in which nobody does, so that what they began can end. The clock has no others. */
const VISITING: readonly DurationLike[] = [{ seconds: 1 }, { minutes: 2 }, { minutes: 10 }, { hours: 2 }, { hours: 7 }, { hours: 25 }, { hours: 25 }]
const ENDING: readonly DurationLike[] = [{ minutes: 2 }, { minutes: 10 }, { hours: 2 }, { hours: 25 }, { hours: 25 }, { minutes: 15 }, { hours: 2 }, { hours: 25 }]

const countDoubts = async ({ sql }: Rig): Promise<number> => {
  const [row] = await sql<{ count: string }>(`SELECT count(*) FROM authorisations WHERE status IN ('code_received', 'exchanging', 'verifying', 'unknown')`)
  return Number(row?.count ?? 0)
}

/** Everything works again; small steps of time, until nothing is open that could still end. */
const letItFinish = async (stage: Stage): Promise<void> => {
  const { rig, crowd, options, levels } = stage
  const patience = Math.max(20_000, options.consents * 8)
  const visitsEnd = Date.now() + options.minutes * 60_000 * VISITS_AFTER
  const step = async (by: DurationLike, what: string): Promise<void> => {
    await crowd.rest(8_000)
    await until(async () => (await countInHand(rig)) === 0, IN_HAND_WITHIN_MS)
    rig.clock.advance(by)
    await until(async () => (await countDue(rig)) === 0, patience)
    await progress(stage, `healed, ${what}, ${await countDoubts(rig)} exchanges open`)
  }
  for (const [index, by] of VISITING.entries()) {
    if (Date.now() > visitsEnd) break
    await step(by, 'users come')
    crowd.start()
    // A sweep, the mail, the visit.
    await wait(SWEEP_MS)
    await until(async () => crowd.backlog() === 0, Math.max(1_000, visitsEnd - Date.now()))
    if (index > 0) continue
    await untilQuiet(stage)
    // The processes that were started while things failed have warmed up at what had piled up: this is their level.
    await levels.takeQuiet()
    crowd.start()
  }
  await untilQuiet(stage)
  for (const by of ENDING) {
    await step(by, 'nobody sets out')
    if ((await countDoubts(rig)) === 0 && (await countDue(rig)) === 0) return
  }
}

const healEverything = async ({ rig, nemesis }: Stage): Promise<void> => {
  await nemesis.stop()
  for (const proxy of Object.values(rig.proxies)) await proxy.set({ kind: 'pass' })
  rig.simulator.faults.clear()
  rig.simulator.switches.reset()
  await rig.direct.config('SET', 'maxmemory', '0')
  await rig.fleet.startAll()
}

const run = async (options: Options): Promise<boolean> => {
  say(`seed ${options.seed}: ${options.consents} consents, ${options.minutes} minutes${options.calm ? ', no faults' : ''}`)
  const rig = await startRig(options)
  const interrupted = (): void => void rig.close().finally(() => process.exit(130))
  process.once('SIGINT', interrupted)
  process.once('SIGTERM', interrupted)
  let held = false
  try {
    const chance = seededChance(options.seed)
    const users = await populate(rig, options, chance.branch('population'))
    let crowd: Crowd | undefined
    const search = makeSearch(rig, () => crowd)
    crowd = makeCrowd(rig, users, chance.branch('users'))
    const nemesis = makeNemesis({ rig, options, chance: chance.branch('nemesis'), beforeEmptying: search.searchRedis, say })
    await rig.fleet.startAll()
    const stage: Stage = { rig, crowd, nemesis, search, options, levels: makeLevels(rig), backlog: watchBacklog(async () => countDue(rig)) }
    if (rig.fleet.members().length < rig.fleet.seats) throw new Error(`not every process has started: see ${rig.logFolder}`)
    say(`${rig.fleet.members().length} processes run; logs in ${rig.logFolder}`)
    const flushing = options.flushEveryMs === undefined ? undefined : setInterval(() => {
      void search.searchRedis().then(async () => nemesis.note('Redis emptied in its turn', ['queue'], async () => rig.direct.flushall().then(() => 1)))
    }, options.flushEveryMs)
    crowd.start()
    await warmUp(stage)
    nemesis.start()
    await liveThrough(stage)
    say('no more faults: everything heals')
    await healEverything(stage)
    await letItFinish(stage)
    clearInterval(flushing)
    await crowd.stop()
    await wait(2 * SWEEP_MS)
    const checked = await judge(stage, users)
    held = await conclude(stage, checked)
  } finally {
    await rig.close()
    if (held && !options.keep) await rm(rig.folder, { recursive: true, force: true })
  }
  return held
}

const judge = async (stage: Stage, users: readonly User[]): Promise<Checked[]> => {
  const { rig, crowd, nemesis, search, levels, backlog } = stage
  await levels.takeQuiet()
  const endedAt = Date.now()
  const { log } = nemesis
  const checked: Checked[] = await verifyDatabase(rig)
  checked.push(...(await checkBooks({ rig, log, returns: crowd.returns, crowd, users, workers: rig.workers, endedAt, backlogs: backlog.stop() })))
  checked.push(await search.finish(), judgeWrites(await readWrites(rig)), await refusedWrites(rig, log), levels.judge())
  const surprises = rig.fleet.surprises().map(({ seat, at, how }) => ({ invariant: 0, record: seat, what: `ended by itself at ${at.toISOString()}: ${how}` }))
  checked.push({ invariant: 0, says: 'no process ends unless it is told to', looked: log.length, violations: surprises, notes: [] })
  return checked
}

const conclude = async ({ rig, crowd, nemesis, options }: Stage, checked: readonly Checked[]): Promise<boolean> => {
  const violations = checked.flatMap((one) => one.violations)
  const { counts, serverErrors } = crowd
  console.log(`\n${faultTable(nemesis.log)}\n\n${invariantTable(checked)}\n`)
  console.log(`users: ${Object.entries(counts).map(([what, count]) => `${count} ${what}`).join(', ')}`)
  if (serverErrors.size > 0) console.log(`answers of 5xx: ${[...serverErrors].map(([what, count]) => `${count} × ${what}`).join(', ')}`)
  console.log(`seed ${options.seed}; the same again: ${commandOf(options)}`)
  if (violations.length === 0) {
    console.log('every invariant holds')
    return true
  }
  const files = { 'violations.json': violations, 'faults.json': nemesis.log, 'ledger.json': rig.simulator.ledger.entries(), 'attempts.json': crowd.attempts }
  for (const [name, content] of Object.entries(files)) await writeFile(join(rig.folder, name), JSON.stringify(content, undefined, 1))
  const dump = await Promise.all(['consents', 'renewals', 'authorisations', 'notifications', 'events'].map(async (name) => [name, await rig.sql(`SELECT * FROM ${name}`)] as const))
  await writeFile(join(rig.folder, 'rows.json'), JSON.stringify(Object.fromEntries(dump), undefined, 1))
  console.log(`${violations.length} violations; rows, ledger, faults and logs are in ${rig.folder}`)
  return false
}

try {
  process.exitCode = (await run(readOptions(process.argv.slice(2), Object.keys(faults)))) ? 0 : 1
} catch (error) {
  if (error instanceof TypeError && error.message.startsWith('--')) {
    console.error(`${error.message}\n${USAGE}`)
    process.exitCode = 2
  } else throw error
}
process.exit()
