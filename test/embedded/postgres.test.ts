// The embedded server does not change how its process ends, and does not outlive the process.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { startEmbeddedPostgres } from '../../simulator/embedded/postgres.ts'

const EMBEDDED = join(import.meta.dirname, '../../simulator/embedded/postgres.ts')
const FIXTURE = join(import.meta.dirname, 'starts.fixture.ts')
vi.setConfig({ testTimeout: 60_000 })
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reconsent-embedded-'))
  chmodSync(folder, 0o777)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const isAlive = (pid: number): boolean => {
  try {
    // A dead process that pid 1 has not reaped yet does not count as alive.
    return (
      process.kill(pid, 0) &&
      !(existsSync(`/proc/${pid}/stat`) && / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')))
    )
  } catch {
    return false
  }
}

const countKept = async (url: string): Promise<unknown> => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query('SELECT count(*)::int AS count FROM kept')).rows[0].count
  } finally {
    await client.end()
  }
}

const started = async (how: string): Promise<{ child: ChildProcess; data: string; server: number }> => {
  const own = mkdtempSync(join(folder, 'run-'))
  chmodSync(own, 0o777)
  const child = spawn(process.execPath, [FIXTURE, how], {
    env: { ...process.env, TMPDIR: own },
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  await once(child.stdout ?? child, 'data')
  const data = join(own, readdirSync(own).find((name) => name.startsWith('reconsent-postgres-')) ?? '')
  return { child, data, server: Number(readFileSync(join(data, 'data', 'postmaster.pid'), 'utf8').split('\n')[0]) }
}

test.each<[string, NodeJS.Signals | undefined, [number | null, string | null]]>([
  ['waits for a signal', 'SIGINT', [null, 'SIGINT']],
  ['waits for a signal', 'SIGTERM', [null, 'SIGTERM']],
  ['waits for a signal', 'SIGHUP', [null, 'SIGHUP']],
  ['waits for a signal', 'SIGKILL', [null, 'SIGKILL']],
  ['throws', undefined, [1, null]],
  ['rejects', undefined, [1, null]],
  ['calls process.exit(7)', undefined, [7, null]],
])('a process that %s (%s) ends as it would without the server, and ends the server', async (how, signal, expected) => {
  const { child, data, server } = await started(how)
  expect(isAlive(server)).toBe(true)
  const ended = once(child, 'exit')
  // The signal goes to the whole group, as a terminal and a test runner send it.
  if (signal === undefined) child.stdin?.write('now\n')
  else process.kill(-(child.pid ?? 0), signal)
  expect(await ended).toEqual(expected)
  await expect.poll(() => [isAlive(server), existsSync(data)]).toEqual([false, false])
})

test('an exit code that was set before the server stopped is the exit code', async () => {
  const script = `
    const { startEmbeddedPostgres } = await import(${JSON.stringify(EMBEDDED)})
    const server = await startEmbeddedPostgres()
    process.exitCode = 5
    await server.stop()`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' })
  expect(await once(child, 'exit')).toEqual([5, null])
})

test('keeps committed data over a crash, stops twice, leaves nothing', async () => {
  const server = await startEmbeddedPostgres({ durable: true, settings: { timezone: 'America/New_York' } })
  try {
    const client = new pg.Client({ connectionString: server.url })
    client.on('error', () => undefined)
    await client.connect()
    await client.query('CREATE TABLE kept AS SELECT 1')
    expect((await client.query('SHOW timezone')).rows).toEqual([{ TimeZone: 'America/New_York' }])
    await server.crash()
    await server.crash()
    await expect(countKept(server.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await server.start()
    expect(await countKept(server.url)).toBe(1)
  } finally {
    await server.stop()
  }
  await server.stop()
  await expect(countKept(server.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})

test('says why it does not start, and leaves nothing', async () => {
  const own = mkdtempSync(join(folder, 'run-'))
  chmodSync(own, 0o777)
  vi.stubEnv('TMPDIR', own)
  onTestFinished(() => void vi.unstubAllEnvs())
  await expect(startEmbeddedPostgres({ settings: { timezone: 'Nowhere/Land' } })).rejects.toThrow(
    /did not start: postgres ended with 1: .*Nowhere\/Land/s,
  )
  expect(readdirSync(own)).toEqual([])
})
