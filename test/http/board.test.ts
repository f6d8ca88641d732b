// The board on both backends: who has access, from which site, and what is refused. The tests compare with the routes
// that Bull Board registers, so an update that adds a route fails here until somebody has classified the route.
import fastify from 'fastify'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { makeLog } from '../../src/log.ts'
import { registerBoard } from '../../src/http/board.ts'
import { boardRoutes } from '../../src/http/board-policy.ts'
import { PermanentError } from '../../src/errors.ts'
import { done } from '../../src/processors/outcome.ts'
import { openBackend } from '../../src/queue/backend.ts'
import type { Backend } from '../../src/queue/backend.ts'
import { queueNames } from '../../src/queue/catalogue.ts'
import { startWorkers } from '../../src/queue/runner.ts'
import { makeSweepSchedule } from '../../src/queue/schedule.ts'
import { makeWorkQueue } from '../../src/queue/work-queue.ts'
import { Secret } from '../../src/secret.ts'
import { createDatabase } from '../setup/database.ts'
import { anId, aPrefix, fastPlans, fastTimings, jobIn } from '../queue/setup.ts'

const LOGIN = { authorization: `Basic ${Buffer.from('ops:a colon: is fine').toString('base64')}` }
const log = makeLog({ level: 'silent' })

const aBoard = async (
  backend: Backend,
  allowDestructive: boolean,
  onRoute: (route: string) => void = () => undefined,
) => {
  const app = fastify()
  app.addHook('onRoute', ({ method, url }) => {
    for (const verb of [method].flat()) onRoute(`${verb} ${url.replace('/ops/queues', '') || '/'}`)
  })
  await registerBoard(app, {
    queues: queueNames.map((name) => backend.queue(name)),
    user: 'ops',
    password: new Secret('a colon: is fine'),
    allowDestructive,
    publicUrl: 'https://renew.example',
    wrongLogins: async () => undefined,
  })
  await app.ready()
  return app
}

const requestFor = (key: string): InjectOptions & { method: 'GET'; url: string } => {
  // The type needs one method, whichever it is.
  const [method, pattern] = key.split(' ') as ['GET', string]
  const path = pattern
    .replace(':queueName', 'reauth')
    .replace(':jobId', 'no-such-job')
    .replace(':queueStatus', 'failed')
    .replace(':schedulerId', 'no-such-scheduler')
    .replace('*', 'images/logo.svg')
  return { method, url: `/ops/queues${path}` }
}

const backends = {
  Redis: async () =>
    openBackend({ kind: 'redis', url: new Secret(inject('redisUrl')) }, { log, plans: fastPlans, prefix: aPrefix() }),
  PostgreSQL: async () =>
    openBackend({ kind: 'postgres', url: new Secret(await createDatabase()) }, { log, plans: fastPlans }),
}

for (const [name, open] of Object.entries(backends)) {
  describe(`the board on ${name}`, () => {
    let backend: Backend
    let strict: FastifyInstance
    let lenient: FastifyInstance
    beforeAll(async () => {
      backend = await open()
      strict = await aBoard(backend, false)
      lenient = await aBoard(backend, true)
    })
    afterAll(async () => {
      await Promise.all([strict.close(), lenient.close()])
      for (const queue of queueNames) await backend.queue(queue).obliterate({ force: true })
      await backend.close()
    })

    test('the table holds exactly the routes that the library registers', async () => {
      const registered = new Set<string>()
      const app = await aBoard(backend, false, (route) => registered.add(route))
      await app.close()
      // Fastify adds a HEAD route to each GET route.
      expect([...registered].filter((route) => !route.startsWith('HEAD ')).toSorted()).toEqual(
        Object.keys(boardRoutes).toSorted(),
      )
    })

    describe.for(Object.keys(boardRoutes))('%s', (key) => {
      const request = requestFor(key)

      test('asks for the login', async () => {
        for (const headers of [
          {},
          { authorization: 'Basic b3BzOndyb25n' },
          { authorization: 'Basic' },
          { authorization: 'Bearer x' },
        ]) {
          const answer = await strict.inject({ ...request, headers })
          expect(answer.statusCode).toBe(401)
          expect(answer.headers['www-authenticate']).toContain('Basic')
        }
      })

      test('is closed to other sites', async () => {
        const others: Record<string, string>[] = [
          { 'sec-fetch-site': 'cross-site' },
          { 'sec-fetch-site': 'same-site' },
          { 'sec-fetch-site': 'cross-site', origin: 'https://renew.example' },
          { origin: 'https://elsewhere.example' },
          { origin: 'http://renew.example' },
          { origin: 'null' },
          { origin: 'chrome-extension://abcdefghijklmnop' },
          { referer: 'data:text/html,hello' },
          { referer: 'https://elsewhere.example/renew.example' },
        ]
        for (const headers of others) {
          expect((await lenient.inject({ ...request, headers: { ...LOGIN, ...headers } })).statusCode).toBe(403)
        }
      })

      test(boardRoutes[key] === 'destroy' ? 'is refused unless the policy allows it' : 'is allowed', async () => {
        const refused = boardRoutes[key] === 'destroy'
        const own = { ...LOGIN, origin: 'https://renew.example' }
        expect((await strict.inject({ ...request, headers: own })).statusCode === 403).toBe(refused)
        // Only the guard is tested: an unreadable body keeps the action itself from happening.
        const unreadable = { headers: { ...own, 'content-type': 'application/json' }, payload: '{' }
        const allowed = await lenient.inject({ ...request, ...(refused ? unreadable : { headers: own }) })
        expect(allowed.statusCode).not.toBe(403)
        expect(allowed.statusCode).not.toBe(401)
      })
    })

    test('every answer has strict headers', async () => {
      for (const url of [
        '/ops/queues',
        '/ops/queues/api/queues',
        '/ops/queues/static/images/logo.svg',
        '/ops/queues/nowhere',
      ]) {
        for (const headers of [{}, LOGIN]) {
          const answer = await strict.inject({ url, headers })
          expect(answer.headers).toMatchObject({
            'cache-control': 'no-store',
            'x-frame-options': 'DENY',
            'x-content-type-options': 'nosniff',
          })
          const policy = String(answer.headers['content-security-policy'])
          expect(policy).toContain("frame-ancestors 'none'")
          expect(/script-src ([^;]*)/.exec(policy)?.[1]).not.toContain('unsafe-inline')
        }
      }
    })

    test('unknown paths need the login too, and unknown changes are refused', async () => {
      expect((await strict.inject('/ops/queues/nowhere')).statusCode).toBe(401)
      expect((await strict.inject({ url: '/ops/queues/nowhere', headers: LOGIN })).statusCode).toBe(404)
      expect(
        (await strict.inject({ method: 'DELETE', url: '/ops/queues/api/queues/reauth', headers: LOGIN })).statusCode,
      ).toBe(403)
    })

    test('takes requests from its own page, from an inner address, and from a command line', async () => {
      const request = { method: 'PUT', url: '/ops/queues/api/queues/notify/pause' } as const
      const own: Record<string, string>[] = [
        { 'sec-fetch-site': 'same-origin', origin: 'https://renew.example' },
        { origin: 'http://10.0.0.5:8080', host: '10.0.0.5:8080' },
        { referer: 'https://renew.example/ops/queues/queue/notify' },
        {},
      ]
      for (const headers of own) {
        expect((await strict.inject({ ...request, headers: { ...LOGIN, ...headers } })).statusCode).toBe(200)
      }
      expect(await backend.queue('notify').isPaused()).toBe(true)
      await strict.inject({ method: 'PUT', url: '/ops/queues/api/queues/notify/resume', headers: LOGIN })
      expect(await backend.queue('notify').isPaused()).toBe(false)
    })

    test('serves its page and scripts', async () => {
      const page = await strict.inject({ url: '/ops/queues', headers: LOGIN })
      expect(page.statusCode).toBe(200)
      expect(page.body).toContain('<base href="/ops/queues/"')
      const [script] = /static\/js\/main\.[\w.]+\.js/.exec(page.body) ?? []
      expect((await strict.inject({ url: `/ops/queues/${script}`, headers: LOGIN })).statusCode).toBe(200)
    })

    test('lists the queues, shows a job with its cleaned failure, retries it, and shows the outcome', async () => {
      const id = anId()
      let fail = true
      const manual: boolean[] = []
      const workers = startWorkers({
        backend,
        timings: fastTimings,
        handlers: {
          reauth: async (_id, run) => {
            manual.push(run.manual)
            if (fail) throw new PermanentError('token-invalid')
            return done('asked the user again')
          },
        },
      })
      try {
        await makeWorkQueue(backend).add('reauth', [{ id, dispatchNo: 4 }])
        await jobIn(backend, 'reauth', `${id}-4`, 'failed')
        const get = async (path: string) =>
          (await strict.inject({ url: `/ops/queues/api/${path}`, headers: LOGIN })).json()

        const { queues } = await get('queues?activeQueue=reauth&status=failed&page=1&jobsPerPage=10')
        expect(queues.map((queue: { name: string }) => queue.name)).toEqual(['sweep', 'reauth', 'notify', 'exchange'])
        const reauth = queues.find((queue: { name: string }) => queue.name === 'reauth')
        expect(reauth.counts.failed).toBe(1)
        expect(reauth.jobs[0]).toMatchObject({ id: `${id}-4`, name: 'renew-consent', data: { consentId: id } })
        expect(reauth.jobs[0].failedReason).toBe('token-invalid: the stored refresh token no longer works')

        fail = false
        const retried = await strict.inject({
          method: 'PUT',
          url: `/ops/queues/api/queues/reauth/${id}-4/retry`,
          headers: LOGIN,
        })
        expect(retried.statusCode).toBe(204)
        await jobIn(backend, 'reauth', `${id}-4`, 'completed')
        expect((await get(`queues/reauth/${id}-4`)).job.returnValue).toEqual({
          result: 'done',
          what: 'asked the user again',
        })

        const all = await strict.inject({
          method: 'PUT',
          url: '/ops/queues/api/queues/reauth/retry/completed',
          headers: LOGIN,
        })
        expect(all.json()).toEqual({ retried: 1, skipped: 0 })
        await expect.poll(() => manual).toEqual([false, true, true])
      } finally {
        await workers.close()
      }
    })

    test('shows the schedule of the sweep, and refuses the changes that the policy forbids', async () => {
      await makeSweepSchedule(backend).registerSweep('*/5 * * * *')
      const shown = await strict.inject({ url: '/ops/queues/api/job-schedulers', headers: LOGIN })
      expect(shown.body).toContain('*/5 * * * *')
      const removal = {
        method: 'PUT',
        url: '/ops/queues/api/queues/sweep/job-schedulers/sweep/remove',
        headers: LOGIN,
      } as const
      expect((await strict.inject(removal)).statusCode).toBe(403)
      expect(await makeSweepSchedule(backend).isRegistered()).toBe(true)
      expect((await lenient.inject(removal)).statusCode).toBe(204)
      expect(await makeSweepSchedule(backend).isRegistered()).toBe(false)
    })
  })
}
