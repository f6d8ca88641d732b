// The demo as a user starts it: real processes, judged by what they print and how they end.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { until } from '../setup/company.ts'
import { createDatabase } from '../setup/database.ts'
import { asOwner } from '../setup/roles.ts'

const CLI = join(import.meta.dirname, '../../src/cli.ts')
const groups: ChildProcess[] = []
/** The demo's own folder for temporary files, because other tests run at the same time. */
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reconsent-demo-'))
  await chmod(folder, 0o777)
})
afterAll(async () => rm(folder, { recursive: true, force: true }))

afterEach(() => {
  for (const { pid } of groups.splice(0)) {
    try {
      process.kill(-(pid ?? 0), 'SIGKILL')
    } catch {
      // Every process of the group has ended, as it should.
    }
  }
})

/** Starts the demo in its own process group, as a shell does. */
const startDemo = (args: readonly string[], over: Readonly<Record<string, string>> = {}) => {
  const { DATABASE_URL: _, ...env } = process.env
  const child = spawn(process.execPath, [CLI, 'demo', ...args], {
    detached: true,
    env: { ...env, TMPDIR: folder, ...over },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  groups.push(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  return { child, output: () => output, closed: once(child, 'close') as Promise<[number | null]> }
}

test('plays all users and ends with 0, every end state being right', async () => {
  const began = Date.now()
  const demo = startDemo(['--auto'])
  const [code] = await demo.closed
  expect(demo.output()).toMatch(/31 consents: 11 renewed exactly once, 15 open with a next date, 5 closed; 0 wrong/)
  expect(demo.output()).not.toContain('WRONG')
  expect(code).toBe(0)
  expect(Date.now() - began).toBeLessThan(60_000)
})

test('the end states are right on a database whose zone is not UTC', async () => {
  const url = await createDatabase()
  // A zone east of UTC: an instant that was stored there as if it were UTC is in the future, and nothing would be due
  // for hours.
  await asOwner(url, `ALTER DATABASE ${new URL(url).pathname.slice(1)} SET timezone = 'Pacific/Auckland'`)
  const demo = startDemo(['--auto'], { DATABASE_URL: url })
  const [code] = await demo.closed
  expect(demo.output()).toMatch(/ 0 wrong/)
  expect(code).toBe(0)
})

test('shows where to look until Ctrl-C, which stops everything within 5 s and leaves nothing', async () => {
  const demo = startDemo([])
  await until('the addresses', async () => (demo.output().includes('Ctrl-C stops everything') ? true : undefined))
  for (const address of [/Inbox +(\S+)/, /Start page +(\S+)/]) {
    const [, url = ''] = address.exec(demo.output()) ?? []
    expect((await fetch(url)).status).toBe(200)
  }
  const [, board = '', user = '', password = ''] = /Board +(\S+) +\(login (\S+) \/ (\S+)\)/.exec(demo.output()) ?? []
  expect((await fetch(board)).status).toBe(401)
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  const shown = await fetch(board, { headers: { authorization } })
  expect([shown.status, await shown.text()]).toEqual([200, expect.stringContaining('<title>Reconsent</title>')])
  const queues = (await (await fetch(`${board}/api/queues`, { headers: { authorization } })).json()) as {
    queues: { name: string }[]
  }
  expect(queues.queues.map(({ name }) => name).toSorted()).toEqual(['exchange', 'notify', 'reauth', 'sweep'])
  const pid = demo.child.pid ?? 0
  const began = Date.now()
  process.kill(-pid, 'SIGINT')
  const [code] = await demo.closed
  expect(code).toBe(0)
  await until('the whole group to end', async () => {
    try {
      process.kill(-pid, 0)
      return undefined
    } catch {
      return true
    }
  })
  expect(Date.now() - began).toBeLessThan(5_000)
  expect(await readdir(folder)).toEqual([])
})
