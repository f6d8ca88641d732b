// The real processors, with each of their steps (a statement of the store, a call to the provider, a mail) released one
// at a time by fast-check's scheduler: concurrent work is interleaved in an order that the seed decides.
import { Duration } from 'luxon'
import type { Scheduler } from 'fast-check'
import type { Consent } from '../../src/domain/model.ts'
import { PermanentError, TransientError } from '../../src/errors.ts'
import type { Enqueue } from '../../src/processors/enqueue.ts'
import { prepareAuthorisation } from '../../src/processors/prepare-authorisation.ts'
import { receiveCallback } from '../../src/processors/receive-callback.ts'
import { recordFailure } from '../../src/processors/record-failure.ts'
import { leaveForBank, visitStartPage } from '../../src/processors/visit-start-page.ts'
import { administration } from '../../src/store/administration.ts'
import { imports } from '../../src/store/import.ts'
import type { RecordKind } from '../../src/records.ts'
import { advance, renew, send, silent } from '../processors/rig.ts'
import { aRun, type World } from '../setup/world.ts'

const queues = { consent: 'reauth', authorisation: 'exchange', notification: 'notify' } as const

export type Stage = ReturnType<typeof makeStage>

/** `queueIsThere`: enqueued jobs run at once; without a queue, a record waits for a sweep. */
export const makeStage = (world: World, scheduler: Scheduler, consent: Consent, queueIsThere: boolean) => {
  /** Waits for its turn; no other step runs until the returned function is called. */
  const takeTurn = async (label: string): Promise<() => void> => {
    const ended = Promise.withResolvers<undefined>()
    await scheduler.schedule(Promise.resolve(), label, undefined, async (release) => {
      await release()
      await ended.promise
    })
    return () => ended.resolve(undefined)
  }
  /** Waits for its turn; no other step runs until `act` has ended. */
  const step = async <Result>(label: string, act: () => Promise<Result>): Promise<Result> => {
    const end = await takeTurn(label)
    try {
      return await act()
    } finally {
      end()
    }
  }
  const inSteps = <Part extends object>(name: string, part: Part): Part => {
    const entries = Object.entries(part).map(([key, act]) => {
      const stepped = async (...args: unknown[]): Promise<unknown> =>
        step(`${name}.${key}`, async () => (act as (...all: unknown[]) => Promise<unknown>)(...args))
      return [key, stepped] as const
    })
    return Object.fromEntries(entries) as unknown as Part
  }

  const { clock, policy, vault } = world
  const store = inSteps('store', world.store)
  const provider = inSteps('provider', world.provider)
  const channel = {
    ...world.channel,
    // Two steps, and that of the intent between them: other work may come before it and after it.
    send: async (...[message, handover]: Parameters<typeof world.channel.send>) => {
      let end = await takeTurn('mail server')
      try {
        return await world.channel.send(message, {
          ...handover,
          begin: async () => {
            end()
            const isBegun = await handover.begin()
            end = await takeTurn('mail')
            return isBegun
          },
        })
      } finally {
        end()
      }
    },
  }
  const prepare = prepareAuthorisation({ store, provider })
  const handedOver: Promise<void>[] = []
  const enqueue: Enqueue = async (kind, record) => {
    if (queueIsThere) handedOver.push(runJob(kind, typeof record === 'string' ? record : record.id, false))
  }
  const jobs = {
    consent: renew(world, { store, prepare, enqueue }),
    authorisation: advance(world, { store, provider, enqueue }),
    notification: send(world, { store, channel }),
  }
  const visit = { store, prepare, renewalOfToken: vault.renewalOfToken, clock, policy, log: silent }
  const failed = recordFailure({ store, clock })

  /**
   * As the queue runs a job: after a transient failure it tries a second time, and it records the last failure. A retry
   * by an operator has one try.
   */
  const runJob = async (kind: RecordKind, id: string, manual: boolean): Promise<void> => {
    for (const isLastTry of manual ? [true] : [false, true]) {
      try {
        await jobs[kind](id, aRun({ manual, isLastTry }))
        return
      } catch (error) {
        if (!(error instanceof TransientError || error instanceof PermanentError)) throw error
        if (error instanceof TransientError && !isLastTry) continue
        await failed({ queue: queues[kind], id, code: error.code })
        return
      }
    }
  }

  return {
    world,
    consent,
    step,
    store,
    runJob,
    look: async () => visitStartPage(visit)(await world.startToken(consent.id)),
    leave: async () => leaveForBank(visit)(await world.startToken(consent.id)),
    receive: receiveCallback({ store, enqueue, clock, queuedFor: Duration.fromMillis(0) }),
    operator: inSteps('operator', administration(world.db, policy)),
    importer: inSteps('import', imports(world.db, policy)),
    /** Runs these actions, and the jobs that they enqueue, concurrently in an order that the scheduler draws. */
    together: async (acts: readonly (() => Promise<unknown>)[]): Promise<void> => {
      const all = async (): Promise<void> => {
        await Promise.all(acts.map(async (act) => act()))
        // Jobs enqueue further jobs.
        for (let job = handedOver.shift(); job !== undefined; job = handedOver.shift()) await job
      }
      await scheduler.waitFor(all())
    },
  }
}
