// The run's Reconsent processes: starts, kills, pauses, continues and rolls them, and starts them again when they end
// by themselves. Each process writes its log into a file.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, closeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Role } from '../../src/main.ts'
import type { ChildOrder, FromChild, Sample } from './child.ts'
import type { Ending } from './endings.ts'

export interface Seat {
  readonly name: string
  readonly role: Role
}

export interface Member extends Seat {
  readonly process: ChildProcess
  readonly startedAt: number
  url: string | undefined
  paused: boolean
  /** Set when the run itself ends the process: its end is then expected. */
  leaving: boolean
}

/** A process that ended although the run had not ended it. */
export interface Surprise {
  readonly seat: string
  readonly at: Date
  readonly how: string
}

export interface Fleet {
  /** The number of processes when all run. */
  readonly seats: number
  members(role?: Role): readonly Member[]
  /** Whether this very process still runs. */
  isAlive(member: Member): boolean
  startAll(): Promise<void>
  /** Sends SIGTERM to all processes at once; no process starts again before `startAll`. */
  stopAll(): Promise<void>
  kill(member: Member, restAfterMs: number): Promise<void>
  /** Pauses the process (SIGSTOP) while `work` goes on. */
  pauseWhile<Result>(member: Member, work: () => Promise<Result>): Promise<Result>
  /**
   * Replaces the processes one after the other with SIGTERM, each before the next is stopped. Spared processes stay.
   */
  roll(): Promise<void>
  /** From now on one process of each role is spared: growth shows only in a process that runs for long. */
  spare(): void
  isSparing(): boolean
  isSpared(seat: Seat): boolean
  /** Samples these members, or all members by default; leaves out a member that does not answer. */
  sample(members?: readonly Member[]): Promise<ReadonlyMap<Member, Sample>>
  surprises(): readonly Surprise[]
  /** The endings of all processes that got a SIGTERM from the run. */
  endings(): readonly Ending[]
  close(): Promise<void>
}

const READY_WITHIN_MS = 60_000
/** Far longer than a stop may take. */
const KILLED_AFTER_MS = 20_000
const SAMPLE_WITHIN_MS = 5_000
const RESTS_AFTER_SURPRISE_MS = 500

export interface FleetOptions {
  readonly seats: readonly Seat[]
  readonly orderOf: (seat: Seat) => ChildOrder
  /** The folder of the logs. */
  readonly folder: string
  /** The program that each process runs. */
  readonly program?: string
  /** A process that has not stopped after this time is killed. */
  readonly killedAfterMs?: number
}

export const makeFleet = (options: FleetOptions): Fleet => {
  const {
    seats,
    orderOf,
    folder,
    program = join(import.meta.dirname, 'child.ts'),
    killedAfterMs = KILLED_AFTER_MS,
  } = options
  const running = new Map<string, Member>()
  const surprises: Surprise[] = []
  const endings: Ending[] = []
  let closed = false
  /** Between `stopAll` and `startAll`. */
  let isDown = false
  let spares = false
  const mayStart = (seat: Seat): boolean => !closed && !isDown && !running.has(seat.name)
  const isSpared = (seat: Seat): boolean => spares && seats.find(({ role }) => role === seat.role)?.name === seat.name

  const start = async (seat: Seat): Promise<void> => {
    const log = openSync(join(folder, `${seat.name}.log`), 'a')
    const child = spawn(process.execPath, ['--expose-gc', '--disable-warning=ExperimentalWarning', program], {
      stdio: ['ignore', log, log, 'ipc'],
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        NODE_COMPILE_CACHE: join(folder, 'compiled'),
        CHAOS_ORDER: JSON.stringify(orderOf(seat)),
      },
    })
    closeSync(log)
    const member: Member = {
      ...seat,
      process: child,
      startedAt: Date.now(),
      url: undefined,
      paused: false,
      leaving: false,
    }
    running.set(seat.name, member)
    const ready = new Promise<void>((resolve) => {
      child.on('message', (message: FromChild) => {
        if (message.kind !== 'ready') return
        member.url = message.url
        resolve()
      })
      child.once('exit', (code, signal) => {
        resolve()
        if (running.get(seat.name) === member) running.delete(seat.name)
        if (member.leaving || closed) return
        surprises.push({ seat: seat.name, at: new Date(), how: signal ?? `exit code ${code}` })
        setTimeout(() => {
          if (mayStart(seat)) void start(seat)
        }, RESTS_AFTER_SURPRISE_MS)
      })
    })
    await Promise.race([ready, wait(READY_WITHIN_MS)])
  }

  const isGone = ({ process: { exitCode, signalCode } }: Member): boolean => exitCode !== null || signalCode !== null

  const kill = async (member: Member): Promise<void> => {
    if (isGone(member)) return
    member.leaving = true
    const gone = once(member.process, 'exit')
    member.process.kill('SIGKILL')
    await gone
  }

  const stop = async (member: Member): Promise<void> => {
    const { name: seat, process: child, url } = member
    if (isGone(member)) return
    const gone = once(child, 'exit')
    // The process is already being stopped: a second signal would make it end at once.
    if (member.leaving) return void (await gone)
    member.leaving = true
    const toldAt = Date.now()
    let wasKilled = false
    const patience = setTimeout(() => {
      wasKilled = child.kill('SIGKILL')
    }, killedAfterMs)
    child.kill('SIGTERM')
    child.kill('SIGCONT')
    const [code, signal] = (await gone) as [number | null, NodeJS.Signals | null]
    clearTimeout(patience)
    endings.push({
      seat,
      toldAt,
      goneAt: Date.now(),
      wasReady: url !== undefined,
      how: code ?? signal ?? 'SIGKILL',
      wasKilled,
    })
  }

  const isAlive = (member: Member): boolean => running.get(member.name) === member && !member.leaving
  const members = (role?: Role): Member[] =>
    [...running.values()].filter(
      (one) => !one.leaving && one.url !== undefined && (role === undefined || one.role === role),
    )

  const ask = async (member: Member): Promise<Sample | undefined> => {
    const answered = new Promise<Sample>((resolve) => {
      const listen = (message: FromChild): void => {
        if (message.kind !== 'sample') return
        member.process.off('message', listen)
        resolve(message.sample)
      }
      member.process.on('message', listen)
    })
    if (!member.process.connected || member.paused) return undefined
    member.process.send({ kind: 'sample' })
    return Promise.race([answered, wait(SAMPLE_WITHIN_MS, undefined)])
  }

  return {
    seats: seats.length,
    members,
    isAlive,
    startAll: async () => {
      isDown = false
      await Promise.all(seats.filter(mayStart).map(start))
    },
    stopAll: async () => {
      isDown = true
      await Promise.all([...running.values()].map(stop))
    },
    kill: async (member, restAfterMs) => {
      await kill(member)
      await wait(restAfterMs)
      if (mayStart(member)) await start(member)
    },
    pauseWhile: async (member, work) => {
      // A process that is stopping is not paused: it must have its full time to stop.
      if (member.leaving) return work()
      member.paused = true
      member.process.kill('SIGSTOP')
      try {
        return await work()
      } finally {
        member.process.kill('SIGCONT')
        member.paused = false
      }
    },
    roll: async () => {
      for (const seat of seats) {
        if (isSpared(seat)) continue
        const member = running.get(seat.name)
        if (member !== undefined) await stop(member)
        if (mayStart(seat)) await start(seat)
      }
    },
    spare: () => {
      spares = true
    },
    isSparing: () => spares,
    isSpared,
    sample: async (wanted = members()) => {
      const found = new Map<Member, Sample>()
      for (const member of wanted) {
        const sample = await ask(member)
        if (sample !== undefined) found.set(member, sample)
      }
      return found
    },
    surprises: () => surprises,
    endings: () => endings,
    close: async () => {
      closed = true
      await Promise.all([...running.values()].map(kill))
    },
  }
}
