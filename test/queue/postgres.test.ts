import pg from 'pg'
import { afterAll, inject } from 'vitest'
import { Secret } from '../../src/secret.ts'
import { createDatabase } from '../setup/database.ts'
import { queueContract } from './contract.ts'
import { aPrefix, startRelay } from './setup.ts'

const relays: Awaited<ReturnType<typeof startRelay>>[] = []
afterAll(() => Promise.all(relays.map((relay) => relay.cut())))

// Reached through a relay of this file's own, because other test files use the server at the same time.
queueContract('PostgreSQL', async () => {
  const relay = await startRelay(Number(new URL(inject('postgresUrl')).port))
  relays.push(relay)
  const databases: string[] = []
  return {
    place: async () => {
      const url = new URL(await createDatabase())
      databases.push(url.pathname.slice(1))
      url.port = String(relay.port)
      return { target: { kind: 'postgres', url: new Secret(url.href) }, prefix: aPrefix() }
    },
    cutOff: async () => {
      await relay.cut()
      return () => relay.mend()
    },
    breakConnections: async () => {
      const admin = new pg.Client({ connectionString: inject('postgresUrl') })
      await admin.connect()
      await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY($1)', [databases])
      await admin.end()
    },
  }
})
