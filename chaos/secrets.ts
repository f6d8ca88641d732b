// Looks for the run's planted secrets wherever they must not be: Redis, logs, metrics, the board, texts in the database.
import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Checked, Violation } from './invariants.ts'
import { MAIL_DOMAIN, OPS, type Rig } from './rig.ts'
import type { Crowd } from './users.ts'

export interface Search {
  /** Looks through Redis as it is now: before it is emptied, and at the end. */
  searchRedis(): Promise<void>
  /** Metrics and board of the processes that run now. */
  searchPages(): Promise<void>
  finish(): Promise<Checked>
}

/** Long enough to be a token, a code, a state or a link's secret part; ids are shorter or have other signs in them. */
const RUN = /[A-Za-z0-9_-]{24,}/g
/** Ids are on every line of the logs, and are no secrets. */
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?:-\d+)?$/
const PLANTED = ['planted-refresh-token', `@${MAIL_DOMAIN}`]
const AT_ONCE = 200

export const makeSearch = (rig: Rig, crowd: () => Crowd | undefined): Search => {
  const found = new Map<string, Violation>()
  const looked = { 'keys of Redis': 0, 'pages of the board': 0, metrics: 0, 'lines of logs': 0, 'texts of the database': 0 }
  // Known only at the end: what might have been one is kept until then.
  const suspects = new Map<string, string>()

  const search = (where: string, text: string): void => {
    for (const mark of PLANTED) {
      if (text.includes(mark)) found.set(`${where} ${mark}`, { invariant: 8, record: where, what: `holds a planted secret (${mark}…)` })
    }
    for (const [word] of text.matchAll(RUN)) if (!ID.test(word) && !suspects.has(word)) suspects.set(word, where)
  }

  const secretsKnown = (): Set<string> => {
    const secrets = new Set<string>()
    const add = (text: string | undefined): void => {
      for (const [word] of (text ?? '').matchAll(RUN)) secrets.add(word)
    }
    for (const back of crowd()?.returns ?? []) {
      add(back.state)
      add(back.code)
    }
    for (const link of crowd()?.startLinks ?? []) add(new URL(link).pathname.slice('/r/'.length))
    for (const link of crowd()?.bankLinks.keys() ?? []) add(new URL(link).pathname.split('/').at(-1))
    for (const connection of rig.simulator.connections()) {
      add(connection.refreshToken)
      add(connection.accessToken?.value.split('.').at(-1))
    }
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
    // Many at once: one after the other a full Redis would take longer than the fault that waits for this.
    for (let first = 0; first < keys.length; first += AT_ONCE) {
      await Promise.all(keys.slice(first, first + AT_ONCE).map(async (key) => {
        search(`Redis ${key.replace(/[0-9a-f-]{36}/, '…')}`, `${key} ${await valueOf(key)}`)
        looked['keys of Redis'] += 1
      }))
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
      search(`metrics of ${member.name}`, await read(`${member.url}/metrics`))
      looked.metrics += 1
      if (member.role !== 'web') continue
      for (const queue of ['sweep', 'reauth', 'notify', 'exchange']) {
        for (const status of ['failed', 'completed', 'active', 'latest']) {
          search(`board, ${queue} ${status}`, await read(`${member.url}/ops/queues/api/queues?activeQueue=${queue}&status=${status}&page=1&jobsPerPage=100`, { authorization }))
          looked['pages of the board'] += 1
        }
      }
    }
  }

  const searchLogs = async (): Promise<void> => {
    for (const name of await readdir(rig.logFolder)) {
      if (!name.endsWith('.log')) continue
      for await (const line of createInterface({ input: createReadStream(join(rig.logFolder, name)) })) {
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
      for (const [word, where] of suspects) {
        if (secrets.has(word)) found.set(word, { invariant: 8, record: where, what: `holds a secret of the run (${word.slice(0, 4)}…, ${word.length} characters)` })
      }
      return {
        invariant: 8, says: 'none of the planted secrets is anywhere it must not be', looked: secrets.size,
        violations: [...found.values()], notes: [Object.entries(looked).map(([what, count]) => `${count} ${what}`).join(', ')],
      }
    },
  }
}
