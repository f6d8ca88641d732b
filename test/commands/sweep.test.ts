// `sweep` on a real queue: its jobs are the same as the scheduler's, including the policy's retries.
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { makeLog } from '../../src/log.ts'
import { openBackend } from '../../src/queue/backend.ts'
import { Secret } from '../../src/secret.ts'
import { aLine, ndjson } from '../import/rows.ts'
import { createDatabase } from '../setup/database.ts'
import { plans } from '../queue/setup.ts'
import { environmentFor, runHere } from './reconsent.ts'

/** A Redis database for this test alone: no other test's worker may take its jobs. */
const redisUrl = (): string => `${inject('redisUrl')}/7`
let databaseUrl: string
let env: Record<string, string>
let client: pg.Client
beforeAll(async () => {
  databaseUrl = await createDatabase()
  const cwd = await mkdtemp(join(tmpdir(), 'reconsent-sweep-'))
  env = { ...environmentFor(databaseUrl), REDIS_URL: redisUrl(), RECONSENT_CONFIG: join(cwd, 'worker.config.ts') }
  await writeFile(
    join(cwd, 'worker.config.ts'),
    "export default { company: { name: 'Brightside' }, timing: { retry: { attempts: 7, firstDelay: '3s' } } }\n",
  )
  client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
})
afterAll(async () => client.end())

/** A consent that is due now: its window is open and its user was not asked yet. */
const aDueConsent = async (): Promise<string> => {
  const expiresAt = new Date(Date.now() + 5 * 86_400_000).toISOString()
  const file = join(await mkdtemp(join(tmpdir(), 'reconsent-sweep-')), 'rows.ndjson')
  const line = aLine({ expires_at: expiresAt })
  await writeFile(file, ndjson([line]))
  expect((await runHere(['import', file], env)).code).toBe(0)
  await client.query("UPDATE consents SET next_action_at = now() - interval '1 minute'")
  const { rows } = await client.query('SELECT id FROM consents WHERE credentials_id = $1', [line['credentials_id']])
  return rows[0].id
}

describe.each(['redis', 'postgres'] as const)('jobs queued by sweep on %s', (kind) => {
  test('carry the attempts and the first delay of policy timing.retry', async () => {
    const id = await aDueConsent()
    const swept = await runHere(['sweep'], { ...env, QUEUE: kind })
    expect([swept.code, swept.stdout]).toEqual([0, expect.stringMatching(/dispatched [1-9]/)])
    const { rows } = await client.query('SELECT dispatch_no FROM consents WHERE id = $1', [id])
    const target =
      kind === 'redis'
        ? ({ kind, url: new Secret(redisUrl()) } as const)
        : ({ kind, url: new Secret(databaseUrl) } as const)
    const backend = await openBackend(target, { log: makeLog({ level: 'silent' }), plans })
    try {
      const job = await backend.queue('reauth').getJob(`${id}-${rows[0].dispatch_no}`)
      expect(job?.opts).toMatchObject({ attempts: 7, backoff: { type: 'paced', delay: 3_000 } })
      await job?.remove()
    } finally {
      await backend.close()
    }
  })
})
