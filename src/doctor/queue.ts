// Checks that the queue's backend does what the workers need, and that it is configured to keep its jobs.
import type { Sections } from '../config.ts'
import { hearsNotifications, NO_NOTIFICATIONS } from '../postgres/notifications.ts'
import { QUEUE_SCHEMA } from '../queue/postgres-schema.ts'
import { examineRedis, type RedisInfo, type RedisServer } from '../queue/redis-info.ts'
import { tryPostgres } from '../queue/trial.ts'
import { unusable, withClient } from './database.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

export async function* queueFindings(queue: Sections['queue']): AsyncGenerator<Finding> {
  if (queue.kind === 'postgres') {
    yield* queueOnPostgres(queue.url)
    return
  }
  const { trial, servers } = await examineRedis(queue)
  if (!trial.ok) {
    const what = servers.length === 0 ? 'could not be asked' : 'does not do what the queue needs'
    const at = trial.server === undefined ? '' : ` at ${trial.server}`
    yield fail('queue', `Redis ${what} (${trial.word})${at}: ${trial.detail}`, trial.advice)
  }
  for (const one of servers) yield* serverFindings(one, { isAlone: servers.length === 1, works: trial.ok })
}

function* serverFindings(
  { server, info }: RedisServer,
  { isAlone, works }: { isAlone: boolean; works: boolean },
): Generator<Finding> {
  const of = (check: string): string => (isAlone ? check : `${check} ${server}`)
  if (info === undefined) {
    if (works) yield ok(of('queue'), 'takes what the queue writes')
    yield warn(
      of('queue memory'),
      'the user may not send INFO: version, memory and persistence were not looked at',
      'see that Redis is 7.0.8 or later, with maxmemory-policy noeviction and appendonly yes',
    )
    return
  }
  yield* infoFindings(info, of, works)
}

function* infoFindings(redis: RedisInfo, of: (check: string) => string, works: boolean): Generator<Finding> {
  const name = redis.isValkey ? 'Valkey' : 'Redis'
  if (!redis.isRecentEnough) yield fail(of('queue'), `${name} ${redis.version} is too old`, 'use Redis 7.0.8 or later')
  else if (works) yield ok(of('queue'), `${name} ${redis.version}, takes what the queue writes`)
  const advice = 'set maxmemory-policy noeviction: any other deletes jobs when memory is full'
  if (redis.evictionPolicy === undefined)
    yield warn(of('queue memory'), 'the server does not tell its maxmemory-policy', advice)
  else
    yield redis.evictionPolicy === 'noeviction'
      ? ok(of('queue memory'), 'noeviction')
      : fail(of('queue memory'), `maxmemory-policy is ${redis.evictionPolicy}`, advice)
  const durable =
    'set appendonly yes: after a crash the queue else forgets its jobs; the next sweep finds the work again, ' +
    'minutes later'
  yield redis.persists === true
    ? ok(of('queue persistence'), 'append-only file is on')
    : warn(
        of('queue persistence'),
        redis.persists === false ? 'append-only file is off' : 'the server does not tell',
        durable,
      )
}

async function* queueOnPostgres(url: Sections['queue']['url']): AsyncGenerator<Finding> {
  try {
    if (!(await hearsNotifications(url))) {
      const advice = 'let DATABASE_URL lead past the pooler, set pool_mode=session for it, or use QUEUE=redis'
      yield fail('queue', `on PostgreSQL, but notifications do not arrive: ${NO_NOTIFICATIONS}`, advice)
      return
    }
    const trial = await withClient(url, async (client) => tryPostgres(client, QUEUE_SCHEMA))
    const tablesMissing = !trial.ok && ['42P01', '3F000'].includes(trial.word)
    if (trial.ok || tablesMissing) yield ok('queue', 'on PostgreSQL')
    else yield fail('queue', `on PostgreSQL, which could not be used (${trial.word}): ${trial.detail}`, trial.advice)
    if (tablesMissing)
      yield warn(
        'queue tables',
        'are not there yet: the first start makes them, if its role may',
        'run: reconsent migrate',
      )
  } catch (error) {
    yield fail('queue', `on PostgreSQL, which ${unusable(error)}`, 'check DATABASE_URL')
  }
}
