// What every backend of the queue must do. Run on Redis by redis.test.ts and on PostgreSQL by postgres.test.ts.
import { DateTime } from 'luxon'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { PermanentError, TransientError } from '../../src/errors.ts'
import { done, skipped, snooze } from '../../src/processors/outcome.ts'
import type { JobContext } from '../../src/processors/outcome.ts'
import type { FinalFailure, RunEnded } from '../../src/queue/process-job.ts'
import { makeSweepSchedule } from '../../src/queue/schedule.ts'
import { aBackend, aGate, anId, eventually, fastPlans, fastTimings, jobIn, workersOn } from './setup.ts'
import type { Bench, Place } from './setup.ts'

/** A worker process that takes one job and never ends it. Resolves when the process has taken the job. */
const startHangingWorker = async (place: Place) => {
  const { target, prefix } = place
  const settings = JSON.stringify({
    kind: target.kind,
    url: target.url.reveal(),
    prefix,
    plans: fastPlans,
    timings: fastTimings,
  })
  const child = spawn(process.execPath, [fileURLToPath(new URL('hanging-worker.ts', import.meta.url))], {
    env: { ...process.env, HANGING_WORKER: settings, NODE_NO_WARNINGS: '1' },
    // The child ends when this process ends, because its stdin closes then.
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return {
    taken: once(child.stdout, 'data'),
    kill: async (): Promise<void> => {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    },
  }
}

export const queueContract = (name: string, makeBench: () => Promise<Bench>): void => {
  describe(`the queue on ${name}`, () => {
    let bench: Bench
    beforeAll(async () => {
      bench = await makeBench()
    })
    const fresh = async () => aBackend(await bench.place())

    test("hands an id to the handler of its queue, under the dispatch's job id, with readable names", async () => {
      const { backend, work } = await fresh()
      const seen: (string | undefined)[] = []
      await workersOn(backend, {
        handlers: {
          reauth: async (id) => (seen.push(id), done('made a link')),
          notify: async () => skipped('already sent'),
          exchange: async () => snooze(DateTime.utc(2031, 5, 1, 10), 'the bank shows no new date yet'),
        },
      })
      const [consent, notification, authorisation] = [anId(), anId(), anId()]
      await work.add('reauth', [{ id: consent, dispatchNo: 1 }])
      await work.add('notify', [{ id: notification, dispatchNo: 3 }])
      await work.add('exchange', [{ id: authorisation, dispatchNo: 7 }])

      const renewed = await jobIn(backend, 'reauth', `${consent}-1`, 'completed')
      expect(renewed).toMatchObject({
        name: 'renew-consent',
        data: { consentId: consent },
        returnvalue: { result: 'done', what: 'made a link' },
      })
      expect(seen).toEqual([consent])
      const sent = await jobIn(backend, 'notify', `${notification}-3`, 'completed')
      expect(sent).toMatchObject({ name: 'send-notification', data: { notificationId: notification } })
      expect(sent.returnvalue).toEqual({ result: 'skipped', reason: 'already sent' })
      const settled = await jobIn(backend, 'exchange', `${authorisation}-7`, 'completed')
      expect(settled).toMatchObject({ name: 'advance-attempt', data: { authorisationId: authorisation } })
      expect(settled.returnvalue).toEqual({
        result: 'snoozed',
        until: '2031-05-01T10:00:00.000Z',
        reason: 'the bank shows no new date yet',
      })
    })

    test('an id it still holds is ignored, the next dispatch of the same record is not', async () => {
      const { backend, work } = await fresh()
      const id = anId()
      let runs = 0
      await workersOn(backend, { handlers: { reauth: async () => done(`run ${++runs}`) } })
      await work.add('reauth', [{ id, dispatchNo: 1 }])
      await jobIn(backend, 'reauth', `${id}-1`, 'completed')
      await work.add('reauth', [
        { id, dispatchNo: 1 },
        { id, dispatchNo: 2 },
      ])
      await jobIn(backend, 'reauth', `${id}-2`, 'completed')
      expect(runs).toBe(2)
    })

    test('counts the waiting jobs, also while the queue is paused', async () => {
      const { backend, work } = await fresh()
      expect(await work.countWaiting('reauth')).toBe(0)
      await backend.queue('reauth').pause()
      await work.add(
        'reauth',
        Array.from({ length: 600 }, () => ({ id: anId(), dispatchNo: 1 })),
      )
      expect(await work.countWaiting('reauth')).toBe(600)
      expect(await work.countWaiting('notify')).toBe(0)
    })

    test('a paused queue runs nothing until it is resumed', async () => {
      const { backend, work } = await fresh()
      let runs = 0
      await workersOn(backend, {
        handlers: { reauth: async () => done(`run ${++runs}`), notify: async () => done('sent') },
      })
      await backend.queue('reauth').pause()
      const [held, other] = [anId(), anId()]
      await work.add('reauth', [{ id: held, dispatchNo: 1 }])
      await work.add('notify', [{ id: other, dispatchNo: 1 }])
      await jobIn(backend, 'notify', `${other}-1`, 'completed')
      expect(runs).toBe(0)
      await backend.queue('reauth').resume()
      await jobIn(backend, 'reauth', `${held}-1`, 'completed')
      expect(runs).toBe(1)
    })

    test('refuses an id that could not be part of a job id', async () => {
      const { work } = await fresh()
      await expect(work.add('reauth', [{ id: 'a:b', dispatchNo: 1 }])).rejects.toThrow('letters, digits and hyphens')
    })

    describe('failures', () => {
      test('a transient one is retried with back-off, then recorded once', async () => {
        const { backend, work } = await fresh()
        const id = anId()
        const runs: Pick<JobContext, 'manual' | 'isLastTry'>[] = []
        const recorded: FinalFailure[] = []
        const ended: RunEnded[] = []
        await workersOn(backend, {
          handlers: {
            reauth: async (_id, { manual, isLastTry }) => {
              runs.push({ manual, isLastTry })
              throw new TransientError('provider-timeout')
            },
          },
          recordFailure: async (failure) => void recorded.push(failure),
          onEnd: (run) => ended.push(run),
        })
        await work.add('reauth', [{ id, dispatchNo: 1 }])
        const job = await jobIn(backend, 'reauth', `${id}-1`, 'failed')
        expect(runs).toEqual([
          { manual: false, isLastTry: false },
          { manual: false, isLastTry: false },
          { manual: false, isLastTry: true },
        ])
        expect(job.attemptsMade).toBe(3)
        expect(job.failedReason).toBe('provider-timeout: the provider did not answer in time')
        expect(recorded).toEqual([{ queue: 'reauth', id, code: 'provider-timeout', manual: false }])
        expect(ended.map(({ result }) => result)).toEqual(['retry', 'retry', 'failed'])
      })

      test('waits at least as long as the other side demanded', async () => {
        const { backend, work } = await fresh()
        const id = anId()
        const at: number[] = []
        await workersOn(backend, {
          handlers: {
            reauth: async () => {
              at.push(performance.now())
              if (at.length === 1) throw new TransientError('provider-rate-limited', { retryAfterMs: 700 })
              return done('got through')
            },
          },
        })
        await work.add('reauth', [{ id, dispatchNo: 1 }])
        await jobIn(backend, 'reauth', `${id}-1`, 'completed')
        expect((at[1] as number) - (at[0] as number)).toBeGreaterThanOrEqual(690)
      })

      test('a permanent one is not retried', async () => {
        const { backend, work } = await fresh()
        const id = anId()
        let runs = 0
        const recorded: FinalFailure[] = []
        await workersOn(backend, {
          handlers: {
            reauth: async () => {
              runs += 1
              throw new PermanentError('token-invalid')
            },
          },
          recordFailure: async (failure) => void recorded.push(failure),
        })
        await work.add('reauth', [{ id, dispatchNo: 1 }])
        const job = await jobIn(backend, 'reauth', `${id}-1`, 'failed')
        expect(runs).toBe(1)
        expect(job.failedReason).toBe('token-invalid: the stored refresh token no longer works')
        expect(recorded).toEqual([{ queue: 'reauth', id, code: 'token-invalid', manual: false }])
      })

      test('the text of any other error is stored and logged nowhere', async () => {
        const { backend, work, lines } = await fresh()
        const id = anId()
        class LeakyError extends Error {
          readonly code = 'E_LEAK'
          override readonly name = 'LeakyError'
        }
        await workersOn(backend, {
          handlers: {
            reauth: async () => {
              throw new LeakyError('refused refresh_token=hunter2\n    at hunter2 (/srv/src/hunter2.ts:1:1)')
            },
          },
        })
        await work.add('reauth', [{ id, dispatchNo: 1 }])
        const job = await jobIn(backend, 'reauth', `${id}-1`, 'failed')
        expect(job.failedReason).toBe('internal: an unexpected error in Reconsent itself')
        expect(JSON.stringify([job.asJSON(), lines])).not.toContain('hunter2')
        const logged = lines.find(({ msg }) => msg === 'unexpected error in a job')
        expect(logged).toMatchObject({
          queue: 'reauth',
          job_id: `${id}-1`,
          error_code: 'internal',
          err: { name: 'LeakyError', code: 'E_LEAK' },
        })
      })

      test('a failure that cannot be recorded still fails the job', async () => {
        const { backend, work, lines } = await fresh()
        const id = anId()
        await workersOn(backend, {
          handlers: { reauth: () => Promise.reject(new PermanentError('token-invalid')) },
          recordFailure: () => Promise.reject(new Error('the database is away')),
        })
        await work.add('reauth', [{ id, dispatchNo: 1 }])
        await jobIn(backend, 'reauth', `${id}-1`, 'failed')
        expect(lines.map(({ msg }) => msg)).toContain('a failure could not be recorded')
      })

      test('a job whose data names no record is refused, not handed on', async () => {
        const { backend } = await fresh()
        let runs = 0
        await workersOn(backend, { handlers: { reauth: async () => done(`run ${++runs}`) } })
        await backend.queue('reauth').add('renew-consent', { consentId: 7 }, { jobId: 'forged-1' })
        await jobIn(backend, 'reauth', 'forged-1', 'failed')
        expect(runs).toBe(0)
      })

      test('a run past its deadline: its signal is aborted, and the job is retried all the same', async () => {
        const { backend, work } = await fresh()
        const [listening, deaf] = [anId(), anId()]
        const runs = new Map<string, number>()
        await workersOn(backend, {
          timings: { jobDeadline: 200, settle: 100 },
          handlers: {
            reauth: async (id, { signal }) => {
              const run = (runs.get(id as string) ?? 0) + 1
              runs.set(id as string, run)
              if (run > 1) return done('second time lucky')
              await (id === listening
                ? once(signal, 'abort').then(() => Promise.reject(signal.reason))
                : aGate().promise)
              return done('never')
            },
          },
        })
        await work.add('reauth', [
          { id: listening, dispatchNo: 1 },
          { id: deaf, dispatchNo: 1 },
        ])
        for (const id of [listening, deaf]) {
          const job = await jobIn(backend, 'reauth', `${id}-1`, 'completed')
          expect(job.attemptsMade).toBe(2)
        }
      })
    })

    describe('whether a run is manual', () => {
      /** A handler that fails or succeeds as the test says, and notes the context of each run. */
      const obeying = () => {
        const calls: Pick<JobContext, 'manual' | 'isLastTry'>[] = []
        let mood: 'ok' | 'transient' | 'permanent' = 'ok'
        return {
          calls,
          be: (next: typeof mood) => (mood = next),
          handler: async (_id: string | undefined, { manual, isLastTry }: JobContext) => {
            calls.push({ manual, isLastTry })
            if (mood === 'transient') throw new TransientError('provider-failed')
            if (mood === 'permanent') throw new PermanentError('token-invalid')
            return done('did it')
          },
        }
      }
      const byHand = { manual: true, isLastTry: true }

      test('a retry after all attempts is an operator’s, and gets one attempt', async () => {
        const { backend, work } = await fresh()
        const worker = obeying()
        worker.be('transient')
        await workersOn(backend, { handlers: { reauth: worker.handler } })
        const id = anId()
        await work.add('reauth', [{ id, dispatchNo: 1 }])
        const job = await jobIn(backend, 'reauth', `${id}-1`, 'failed')
        await job.retry('failed')
        await eventually(() => expect(worker.calls).toHaveLength(4))
        await jobIn(backend, 'reauth', `${id}-1`, 'failed')
        expect(worker.calls.at(-1)).toEqual(byHand)
      })

      test('a retry of a permanent failure on the first attempt is an operator’s, and gets one attempt', async () => {
        const { backend, work } = await fresh()
        const worker = obeying()
        worker.be('permanent')
        await workersOn(backend, { handlers: { reauth: worker.handler } })
        const id = anId()
        await work.add('reauth', [{ id, dispatchNo: 1 }])
        const job = await jobIn(backend, 'reauth', `${id}-1`, 'failed')
        worker.be('transient')
        await job.retry('failed')
        await eventually(() => expect(worker.calls).toHaveLength(2))
        const again = await jobIn(backend, 'reauth', `${id}-1`, 'failed')
        worker.be('ok')
        await again.retry('failed')
        await jobIn(backend, 'reauth', `${id}-1`, 'completed')
        expect(worker.calls).toEqual([{ manual: false, isLastTry: false }, byHand, byHand])
      })

      test('a retry of a completed job is an operator’s, any number of times', async () => {
        const { backend, work } = await fresh()
        const worker = obeying()
        await workersOn(backend, { handlers: { reauth: worker.handler } })
        const id = anId()
        await work.add('reauth', [{ id, dispatchNo: 1 }])
        for (let runs = 1; runs <= 3; runs += 1) {
          await eventually(() => expect(worker.calls).toHaveLength(runs))
          const job = await jobIn(backend, 'reauth', `${id}-1`, 'completed')
          if (runs < 3) await job.retry('completed')
        }
        expect(worker.calls).toEqual([{ manual: false, isLastTry: false }, byHand, byHand])
      })

      test('promoting a job that waits for its next attempt only brings that attempt forward', async () => {
        const place = await bench.place()
        const { backend, work } = await aBackend(place, {
          ...fastPlans,
          reauth: { ...fastPlans.reauth, backoffMs: 60_000 },
        })
        const worker = obeying()
        worker.be('transient')
        await workersOn(backend, { handlers: { reauth: worker.handler } })
        const id = anId()
        await work.add('reauth', [{ id, dispatchNo: 1 }])
        const job = await jobIn(backend, 'reauth', `${id}-1`, 'delayed')
        worker.be('ok')
        await job.promote()
        await jobIn(backend, 'reauth', `${id}-1`, 'completed')
        expect(worker.calls).toEqual([
          { manual: false, isLastTry: false },
          { manual: false, isLastTry: false },
        ])
      })

      test('the job of a killed worker process is delivered again, not as an operator’s retry', async () => {
        const place = await bench.place()
        const { backend, work } = await aBackend(place)
        const id = anId()
        const hanging = await startHangingWorker(place)
        await work.add('reauth', [{ id, dispatchNo: 1 }])
        await hanging.taken
        await hanging.kill()
        const worker = obeying()
        let stalls = 0
        await workersOn(backend, { handlers: { reauth: worker.handler }, onStalled: () => (stalls += 1) })
        const job = await jobIn(backend, 'reauth', `${id}-1`, 'completed')
        expect(worker.calls).toEqual([{ manual: false, isLastTry: false }])
        expect([job.attemptsMade, stalls]).toEqual([1, 1])
      })
    })

    describe("the sweep's schedule", () => {
      const EVERY_SECOND = '* * * * * *'

      test('fires by cron, again and again, and knows whether it is registered', async () => {
        const { backend } = await fresh()
        const schedule = makeSweepSchedule(backend)
        expect(await schedule.isRegistered()).toBe(false)
        const ids: (string | undefined)[] = []
        await workersOn(backend, { handlers: { sweep: async (id) => (ids.push(id), done('swept')) } })
        await schedule.registerSweep(EVERY_SECOND)
        await eventually(() => expect(ids.length).toBeGreaterThanOrEqual(2))
        expect(ids[0]).toBeUndefined()
        expect(await schedule.isRegistered()).toBe(true)
        const [ran] = await backend.queue('sweep').getCompleted()
        expect(ran).toMatchObject({ name: 'sweep', data: {}, returnvalue: { result: 'done', what: 'swept' } })
      })

      test('registered by three processes at once, repeatedly: one scheduler and one next job', async () => {
        const place = await bench.place()
        const schedules = await Promise.all(
          [1, 2, 3].map(async () => makeSweepSchedule((await aBackend(place)).backend)),
        )
        const { backend } = await aBackend(place)
        for (let round = 0; round < 3; round += 1)
          await Promise.all(schedules.map((each) => each.registerSweep('*/5 * * * *')))
        expect(await backend.queue('sweep').getJobSchedulersCount()).toBe(1)
        expect(await backend.queue('sweep').getDelayedCount()).toBe(1)
        expect(await schedules[0]?.isRegistered()).toBe(true)
      })

      test('a new pattern replaces the old one', async () => {
        const { backend } = await fresh()
        const schedule = makeSweepSchedule(backend)
        await schedule.registerSweep('*/5 * * * *')
        await schedule.registerSweep('*/7 * * * *')
        const schedulers = await backend.queue('sweep').getJobSchedulers()
        expect(schedulers.map(({ key, pattern, tz }) => ({ key, pattern, tz }))).toEqual([
          { key: 'sweep', pattern: '*/7 * * * *', tz: 'UTC' },
        ])
        expect(await backend.queue('sweep').getDelayedCount()).toBe(1)
      })

      test('notices that the queue was obliterated, and comes back when registered again', async () => {
        const { backend } = await fresh()
        const schedule = makeSweepSchedule(backend)
        await schedule.registerSweep('*/5 * * * *')
        await backend.queue('sweep').obliterate({ force: true })
        expect(await schedule.isRegistered()).toBe(false)
        await schedule.registerSweep('*/5 * * * *')
        expect(await schedule.isRegistered()).toBe(true)
      })

      test('refuses a pattern it could not run', async () => {
        const { backend } = await fresh()
        await expect(makeSweepSchedule(backend).registerSweep('every day')).rejects.toThrow(
          'sweep.cron: a cron pattern has five or six fields',
        )
      })
    })

    describe('stopping', () => {
      test('takes no new job, lets the running one end, and reports that', async () => {
        const oneAtATime = { ...fastPlans, reauth: { ...fastPlans.reauth, concurrency: 1 } }
        const { backend, work } = await aBackend(await bench.place(), oneAtATime)
        const [running, waiting] = [anId(), anId()]
        const [taken, gate] = [aGate(), aGate()]
        const workers = await workersOn(backend, {
          handlers: {
            reauth: async () => {
              taken.resolve()
              await gate.promise
              return done('in time')
            },
          },
        })
        await work.add('reauth', [
          { id: running, dispatchNo: 1 },
          { id: waiting, dispatchNo: 1 },
        ])
        await taken.promise
        const closing = workers.close()
        gate.resolve()
        expect(await closing).toBe(true)
        await jobIn(backend, 'reauth', `${running}-1`, 'completed')
        await jobIn(backend, 'reauth', `${waiting}-1`, 'waiting')
      })

      test('an idle stop is quick', async () => {
        const { backend } = await fresh()
        const workers = await workersOn(backend, {
          handlers: { reauth: async () => done('nothing'), notify: async () => done('nothing') },
        })
        const started = performance.now()
        expect(await workers.close()).toBe(true)
        expect(performance.now() - started).toBeLessThan(fastTimings.stopDeadline)
      })

      test('a run that heeds its signal gives its job back without using up an attempt', async () => {
        const { backend, work } = await fresh()
        const id = anId()
        const taken = aGate()
        const workers = await workersOn(backend, {
          timings: { stopDeadline: 200 },
          handlers: {
            reauth: async (_id, { signal }) => {
              taken.resolve()
              await once(signal, 'abort')
              throw signal.reason
            },
          },
        })
        await work.add('reauth', [{ id, dispatchNo: 1 }])
        await taken.promise
        expect(await workers.close()).toBe(true)
        const job = await jobIn(backend, 'reauth', `${id}-1`, 'waiting')
        expect(job.attemptsMade).toBe(0)
      })

      test('a hung run delays the stop only until the deadline, and is delivered again elsewhere', async () => {
        const { backend, work } = await fresh()
        const id = anId()
        const taken = aGate()
        const workers = await workersOn(backend, {
          timings: { stopDeadline: 200, settle: 200 },
          handlers: {
            reauth: async () => {
              taken.resolve()
              await aGate().promise
              return done('never')
            },
          },
        })
        await work.add('reauth', [{ id, dispatchNo: 1 }])
        await taken.promise
        const started = performance.now()
        expect(await workers.close()).toBe(false)
        expect(performance.now() - started).toBeLessThan(3_500)
        const manual: boolean[] = []
        await workersOn(backend, {
          handlers: { reauth: async (_id, run) => (manual.push(run.manual), done('second worker')) },
        })
        await jobIn(backend, 'reauth', `${id}-1`, 'completed')
        expect(manual).toEqual([false])
      })
    })

    describe('outages', () => {
      test('adding rejects promptly and cleanly while the backend is unavailable, and works again after', async () => {
        const { backend, work } = await fresh()
        await work.add('reauth', [{ id: anId(), dispatchNo: 1 }])
        const restore = await bench.cutOff()
        const started = performance.now()
        const error = await work.add('reauth', [{ id: anId(), dispatchNo: 1 }]).catch((caught: unknown) => caught)
        expect(performance.now() - started).toBeLessThan(6_000)
        expect(error).toBeInstanceOf(TransientError)
        expect((error as Error).message).toBe('queue-unavailable: the queue could not be reached')
        expect(JSON.stringify(error)).not.toMatch(/127\.0\.0\.1|postgres:/)
        await restore()
        const id = anId()
        await eventually(() => work.add('reauth', [{ id, dispatchNo: 1 }]))
        expect(await backend.queue('reauth').getJobState(`${id}-1`)).toBe('waiting')
      })

      test('workers outlive an outage and run what comes after it', async () => {
        const { backend, work } = await fresh()
        const seen: (string | undefined)[] = []
        await workersOn(backend, { handlers: { reauth: async (id) => (seen.push(id), done('seen')) } })
        const before = anId()
        await work.add('reauth', [{ id: before, dispatchNo: 1 }])
        await jobIn(backend, 'reauth', `${before}-1`, 'completed')
        const restore = await bench.cutOff()
        await expect(work.add('reauth', [{ id: anId(), dispatchNo: 1 }])).rejects.toThrow('queue-unavailable')
        await restore()
        const after = anId()
        await eventually(() => work.add('reauth', [{ id: after, dispatchNo: 1 }]))
        await jobIn(backend, 'reauth', `${after}-1`, 'completed')
        expect(seen).toContain(after)
      })

      test('a job that runs while all connections break ends well or is delivered again', async () => {
        const { backend, work } = await fresh()
        const id = anId()
        const [taken, gate] = [aGate(), aGate()]
        await workersOn(backend, {
          handlers: {
            reauth: async () => {
              taken.resolve()
              await gate.promise
              return done('through it all')
            },
          },
        })
        await work.add('reauth', [{ id, dispatchNo: 1 }])
        await taken.promise
        await bench.breakConnections()
        gate.resolve()
        await jobIn(backend, 'reauth', `${id}-1`, 'completed')
      })

      test('stopping while the backend is unavailable does not hang', async () => {
        const { backend } = await fresh()
        const workers = await workersOn(backend, { handlers: { reauth: async () => done('nothing') } })
        const restore = await bench.cutOff()
        try {
          const started = performance.now()
          await workers.close()
          expect(performance.now() - started).toBeLessThan(fastTimings.stopDeadline + fastTimings.settle + 3_000)
        } finally {
          await restore()
        }
      })
    })

    test("200 jobs and three worker processes' worth of workers: each job runs exactly once", async () => {
      const place = await bench.place()
      const { backend, work } = await aBackend(place)
      const runs = new Map<string, number>()
      for (let worker = 0; worker < 3; worker += 1) {
        const own = (await aBackend(place)).backend
        await workersOn(own, {
          // All workers are in this one process: a pause of the process must not look like three deaths.
          timings: { lockDuration: 30_000, stalledInterval: 30_000 },
          handlers: { reauth: async (id) => (runs.set(id as string, (runs.get(id as string) ?? 0) + 1), done('once')) },
        })
      }
      const ids = Array.from({ length: 200 }, anId)
      await work.add(
        'reauth',
        ids.map((id) => ({ id, dispatchNo: 1 })),
      )
      await eventually(async () => expect(await backend.queue('reauth').getCompletedCount()).toBe(200), 30_000)
      expect([...runs.keys()].toSorted()).toEqual(ids.toSorted())
      expect(new Set(runs.values())).toEqual(new Set([1]))
    })
  })
}
