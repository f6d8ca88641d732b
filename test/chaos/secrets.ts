// Searches for the run's planted secrets in every place that must not hold them: Redis, logs, metrics, the board, and
// texts in the database.
import { join } from 'node:path'
import type { Checked, Violation } from './checked.ts'
import { linesOf, logsIn } from './logs.ts'
import { MAIL_DOMAIN, OPS, type Rig } from './rig.ts'
import { makeSuspects, secretWords } from './suspects.ts'
import { watchTokens } from './tokens-seen.ts'
import type { Crowd } from './users.ts'

export interface Search {
  /** Searches what Redis holds now; called before Redis is emptied, and at the end. */
  searchRedis(): Promise<void>
  /** Searches the metrics and the board of the processes that run now. */
  searchPages(): Promise<void>
  finish(): Promise<Checked>
}

const PLANTED = ['planted-refresh-token', MAIL_DOMAIN]
const QUEUES = ['sweep', 'reauth', 'notify', 'exchange'] as const
const LISTS = ['latest', 'active', 'waiting', 'delayed', 'prioritized', 'paused', 'completed', 'failed'] as const
/** The number of jobs of each queue that are opened one by one. */
const JOBS_OPENED = 6
const AT_ONCE = 200

/** The job ids on a page of the board's API; none where the page did not come or is no list of jobs. */
const jobIdsIn = (page: string, queue: string): string[] => {
  try {
    const { queues } = JSON.parse(page) as { queues?: readonly { name?: string; jobs?: readonly { id?: unknown }[] }[] }
    return (queues ?? [])
      .filter(({ name }) => name === queue)
      .flatMap(({ jobs }) => (jobs ?? []).flatMap(({ id }) => (typeof id === 'string' ? [id] : [])))
  } catch {
    return []
  }
}

export const makeSearch = (rig: Rig, crowd: () => Crowd | undefined): Search => {
  const found = new Map<string, Violation>()
  const looked = {
    'keys of Redis': 0,
    'lists of the board': 0,
    'jobs on the board': 0,
    metrics: 0,
    'lines of logs': 0,
    'texts of the database': 0,
  }
  const suspects = makeSuspects()
  const tokens = watchTokens(rig.simulator)

  const search = (where: string, text: string): void => {
    for (const mark of PLANTED) {
      if (text.includes(mark))
        found.set(`${where} ${mark}`, { invariant: 8, record: where, what: `holds a planted secret (${mark}…)` })
    }
    suspects.note(where, text)
  }

  const secretsKnown = (): Set<string> => {
    const secrets = new Set<string>()
    const add = (text: string | undefined): void => {
      for (const word of secretWords(text ?? '')) secrets.add(word)
    }
    for (const carried of crowd()?.carried ?? []) add(carried)
    for (const link of crowd()?.startLinks ?? []) add(new URL(link).pathname.slice('/r/'.length))
    for (const link of crowd()?.bankLinks.keys() ?? []) add(new URL(link).pathname.split('/').at(-1))
    for (const token of tokens.all()) add(token)
    return secrets
  }

  const valueOf = async (key: string): Promise<string> => {
    const { direct } = rig
    switch (await direct.type(key)) {
      case 'string':
        return (await direct.get(key)) ?? ''
      case 'hash':
        return JSON.stringify(await direct.hgetall(key))
      case 'list':
        return JSON.stringify(await direct.lrange(key, 0, -1))
      case 'set':
        return JSON.stringify(await direct.smembers(key))
      case 'zset':
        return JSON.stringify(await direct.zrange(key, '0', '-1'))
      case 'stream':
        return JSON.stringify(await direct.xrange(key, '-', '+', 'COUNT', 5000))
      default:
        return ''
    }
  }

  const searchRedis = async (): Promise<void> => {
    const keys = await rig.direct.keys('*')
    // Many keys at once: one key after the other, the search of a full Redis would outlast the fault that waits for it.
    for (let first = 0; first < keys.length; first += AT_ONCE) {
      await Promise.all(
        keys.slice(first, first + AT_ONCE).map(async (key) => {
          search(`Redis ${key.replace(/[0-9a-f-]{36}/, '…')}`, `${key} ${await valueOf(key)}`)
          looked['keys of Redis'] += 1
        }),
      )
    }
  }

  const read = async (url: string, headers: Record<string, string> = {}): Promise<string> => {
    try {
      return await (await fetch(url, { headers, signal: AbortSignal.timeout(4_000) })).text()
    } catch {
      return ''
    }
  }

  const searchPages = async (): Promise<void> => {
    const authorization = `Basic ${Buffer.from(`${OPS.user}:${OPS.password}`).toString('base64')}`
    for (const member of rig.fleet.members()) {
      if (member.url === undefined || member.paused) continue
      const metrics = await read(`${member.url}/metrics`)
      search(`metrics of ${member.name}`, metrics)
      if (metrics !== '') looked.metrics += 1
      if (member.role === 'web') await searchBoard(`${member.url}/ops/queues/api/queues`, { authorization })
    }
  }

  const searchBoard = async (board: string, headers: Record<string, string>): Promise<void> => {
    for (const queue of QUEUES) {
      const jobs = new Set<string>()
      for (const list of LISTS) {
        const page = await read(`${board}?activeQueue=${queue}&status=${list}&page=1&jobsPerPage=100`, headers)
        search(`board, ${queue} ${list}`, page)
        if (page !== '') looked['lists of the board'] += 1
        for (const id of jobIdsIn(page, queue).slice(0, 2)) jobs.add(id)
      }
      for (const id of [...jobs].slice(0, JOBS_OPENED)) {
        const job = `${board}/${queue}/${encodeURIComponent(id)}`
        const [detail, log] = [await read(job, headers), await read(`${job}/logs`, headers)]
        search(`board, a job of ${queue}`, detail)
        search(`board, the log of a job of ${queue}`, log)
        if (detail !== '') looked['jobs on the board'] += 1
      }
    }
  }

  const searchLogs = async (): Promise<void> => {
    for (const name of await logsIn(rig.logFolder)) {
      for await (const line of linesOf(join(rig.logFolder, name))) {
        looked['lines of logs'] += 1
        search(`log of ${name}`, line)
      }
    }
  }

  const searchDatabase = async (): Promise<void> => {
    const texts = await rig.sql<{ place: string; text: string }>(`
      SELECT 'consents' AS place, concat_ws(' ', last_error_code, next_action_reason) AS text FROM consents
      UNION ALL SELECT 'authorisations', concat_ws(' ', error_code, bank_error) FROM authorisations
      UNION ALL SELECT 'notifications', error_code FROM notifications
      UNION ALL SELECT 'renewals', concat_ws(' ', reason, proof::text) FROM renewals
      UNION ALL SELECT 'events', concat_ws(' ', type, reason, data::text) FROM events`)
    for (const { place, text } of texts) {
      looked['texts of the database'] += 1
      search(`table ${place}`, text ?? '')
    }
  }

  return {
    searchRedis,
    searchPages,
    finish: async () => {
      await searchRedis()
      await searchPages()
      await searchLogs()
      await searchDatabase()
      const secrets = secretsKnown()
      tokens.stop()
      for (const { where, secret } of suspects.judge(secrets)) {
        found.set(secret, {
          invariant: 8,
          record: where,
          what: `holds a secret of the run (${secret.slice(0, 4)}…, ${secret.length} characters)`,
        })
      }
      // A place that could not be searched does not count as a place without secrets.
      const unseen = Object.entries(looked)
        .filter(([, count]) => count === 0)
        .map(([what]) => what)
      return {
        notShown: unseen.length === 0 ? undefined : `no ${unseen.join(', no ')} could be looked at`,
        invariant: 8,
        says: 'none of the planted secrets is anywhere it must not be',
        looked: secrets.size,
        violations: [...found.values()],
        notes: [
          Object.entries(looked)
            .map(([what, count]) => `${count} ${what}`)
            .join(', '),
        ],
      }
    },
  }
}
