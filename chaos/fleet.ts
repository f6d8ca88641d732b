// The run's Reconsent processes: started, killed, stopped and continued, rolled; started again when they end. Each writes its log into a file.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, closeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Role } from '../src/main.ts'
import type { ChildOrder, FromChild, Sample } from './child.ts'

export interface Seat {
  readonly name: string
  readonly role: Role
}

export interface Member extends Seat {
  readonly process: ChildProcess
  readonly startedAt: number
  url: string | undefined
  paused: boolean
  /** Set when the run itself is ending it: its end is then no surprise. */
  leaving: boolean
}

/** A process that ended although nobody asked it to. */
export interface Surprise {
  readonly seat: string
  readonly at: Date
  readonly how: string
}

export interface Fleet {
  /** How many processes there are when all run. */
  readonly seats: number
  members(role?: Role): readonly Member[]
  /** Whether this very process still runs. */
  isAlive(member: Member): boolean
  startAll(): Promise<void>
  stopAll(): Promise<void>
  kill(member: Member, restAfterMs: number): Promise<void>
  /** Stopped (SIGSTOP) while `work` goes on. */
  pauseWhile<Result>(member: Member, work: () => Promise<Result>): Promise<Result>
  /** SIGTERM, one after the other, each replaced before the next goes; answers how many did not stop in time. */
  roll(): Promise<number>
  sample(): Promise<ReadonlyMap<Member, Sample>>
  surprises(): readonly Surprise[]
  close(): Promise<void>
}

const READY_WITHIN_MS = 30_000
const STOP_WITHIN_MS = 20_000
const SAMPLE_WITHIN_MS = 5_000
const RESTS_AFTER_SURPRISE_MS = 500

export const makeFleet = ({ seats, orderOf, folder }: { seats: readonly Seat[]; orderOf: (seat: Seat) => ChildOrder; folder: string }): Fleet => {
  const running = new Map<string, Member>()
  const surprises: Surprise[] = []
  let closed = false

  const start = async (seat: Seat): Promise<void> => {
    const log = openSync(join(folder, `${seat.name}.log`), 'a')
    const child = spawn(process.execPath, ['--expose-gc', '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'child.ts')], {
      stdio: ['ignore', log, log, 'ipc'],
      env: {
        PATH: process.env['PATH'], HOME: process.env['HOME'], NODE_COMPILE_CACHE: join(folder, 'compiled'), CHAOS_ORDER: JSON.stringify(orderOf(seat)),
      },
    })
    closeSync(log)
    const member: Member = { ...seat, process: child, startedAt: Date.now(), url: undefined, paused: false, leaving: false }
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
          if (!closed && !running.has(seat.name)) void start(seat)
        }, RESTS_AFTER_SURPRISE_MS)
      })
    })
    await Promise.race([ready, wait(READY_WITHIN_MS)])
  }

  const end = async (member: Member, signal: 'SIGKILL' | 'SIGTERM'): Promise<boolean> => {
    const child = member.process
    member.leaving = true
    if (child.exitCode !== null || child.signalCode !== null) return true
    const ended = once(child, 'exit').then(() => true)
    child.kill(signal)
    if (signal === 'SIGTERM') child.kill('SIGCONT')
    const inTime = await Promise.race([ended, wait(STOP_WITHIN_MS, false)])
    if (!inTime) child.kill('SIGKILL')
    await ended
    return inTime
  }

  const isAlive = (member: Member): boolean => running.get(member.name) === member && !member.leaving
  const members = (role?: Role): Member[] => [...running.values()].filter((one) => !one.leaving && one.url !== undefined && (role === undefined || one.role === role))

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
    startAll: async () => void (await Promise.all(seats.filter((seat) => !running.has(seat.name)).map(start))),
    stopAll: async () => void (await Promise.all([...running.values()].map((member) => end(member, 'SIGTERM')))),
    kill: async (member, restAfterMs) => {
      await end(member, 'SIGKILL')
      await wait(restAfterMs)
      if (!closed && !running.has(member.name)) await start(member)
    },
    pauseWhile: async (member, work) => {
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
      let late = 0
      for (const seat of seats) {
        const member = running.get(seat.name)
        if (member !== undefined && isAlive(member) && !(await end(member, 'SIGTERM'))) late += 1
        if (!closed && !running.has(seat.name)) await start(seat)
      }
      return late
    },
    sample: async () => {
      const found = new Map<Member, Sample>()
      for (const member of members()) {
        const sample = await ask(member)
        if (sample !== undefined) found.set(member, sample)
      }
      return found
    },
    surprises: () => surprises,
    close: async () => {
      closed = true
      await Promise.all([...running.values()].map((member) => end(member, 'SIGKILL')))
    },
  }
}
