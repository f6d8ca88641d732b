// `keys` and `verify` as operators call them, and what `start` does when a key in use is missing.
import { connect, createServer } from 'node:net'
import { beforeEach, describe, expect, inject, test } from 'vitest'
import { keyText } from '../crypto/keys.ts'
import { freePort } from '../setup/free-port.ts'
import { createDatabase } from '../setup/database.ts'
import { asOwner } from '../setup/roles.ts'
import { environmentFor, run, runHere, start } from './reconsent.ts'

const keys = (...ids: string[]) => ({ ENCRYPTION_KEYS: ids.map((id) => `${id}:${keyText(id)}`).join(',') })
const rows = (count: number): string =>
  Array.from({ length: count }, (_, index) =>
    JSON.stringify({
      credentials_id: `cred-${index}`,
      refresh_token: `refresh-secret-${index}`,
      provider_id: 'uk-ob-monzo',
      country: 'GB',
      redirect_uri: 'https://example.com/callback',
      user_id: `user-${index}`,
      expires_at: new Date(Date.now() + 60 * 86_400_000).toISOString(),
    }),
  ).join('\n')

let url: string
let env: Record<string, string>
beforeEach(async () => {
  url = await createDatabase()
  env = environmentFor(url)
  expect((await run(['import', '-'], { env, input: rows(7) })).code).toBe(0)
})

describe('keys', () => {
  test('list, rotate, list: from one key to the next, without a secret in the output', async () => {
    const both = { ...env, ...keys('k2', 'k1') }
    expect((await run(['keys', 'list'], { env: both })).stdout).toBe(
      'KEY  ROLE      STORED SECRETS\nk2   encrypts  0\nk1   decrypts  7\n',
    )
    const rotated = await run(['keys', 'rotate'], { env: both })
    expect(rotated).toEqual({
      code: 0,
      stdout: '7 secrets encrypted again under the key k2; nothing needs another key\n',
      stderr: '',
    })
    expect(JSON.parse((await run(['keys', 'list', '--json'], { env: both })).stdout)).toEqual({
      keys: [
        { id: 'k2', role: 'encrypts', cells: 7 },
        { id: 'k1', role: 'decrypts', cells: 0 },
      ],
    })
    expect(JSON.parse((await run(['keys', 'rotate', '--json'], { env: both })).stdout)).toEqual({
      key: 'k2',
      rotated: 0,
      unreadable: 0,
      left: 0,
      interrupted: false,
    })
    expect((await run(['token', 'cred-3'], { env: { ...env, ...keys('k2') } })).stdout).toBe('refresh-secret-3\n')
  })

  test('a key in use that is missing: exit code 1', async () => {
    const { code, stdout, stderr } = await run(['keys', 'list'], { env: { ...env, ...keys('k2') } })
    expect({ code, stdout }).toEqual({
      code: 1,
      stdout: 'KEY  ROLE      STORED SECRETS\nk2   encrypts  0\nk1   missing   7\n',
    })
    expect(stderr).toMatch(/put it back/)
    expect((await run(['keys', 'rotate'], { env: { ...env, ...keys('k2') } })).code).toBe(1)
  })

  test.each([
    [['keys']],
    [['keys', 'drop']],
    [['keys', 'list', 'rotate']],
    [['keys', 'list', 'list']],
    [['keys', 'rotate', '--name', 'backend']],
    [['keys', 'api']],
    [['keys', 'api', 'drop']],
    [['keys', 'api', 'create']],
    [['keys', 'api', 'create', 'backend', '--scope', 'events:read']],
    [['keys', 'api', 'create', '--name', 'backend']],
    [['keys', 'api', 'create', '--name', 'a b', '--scope', 'events:read']],
    [['keys', 'api', 'create', '--name', 'backend', '--scope', 'events:write']],
    [['keys', 'api', 'create', '--name', 'backend', '--scope', 'events:read', '--expires', '2020-01-01']],
    [['keys', 'api', 'revoke']],
    [['keys', 'api', 'revoke', 'backend', '--expires', '90d']],
    [['keys', 'api', 'list', '--scope', 'events:read']],
  ])('%j is wrong usage', async (argv) => {
    expect((await runHere(argv, env)).code).toBe(2)
  })
})

describe('keys api', () => {
  test('create shows the key once; list and revoke name it', async () => {
    const wanted = ['--name', 'backend', '--scope', 'events:read', '--scope=consents:read', '--scope', 'events:read']
    const created = await runHere(['keys', 'api', 'create', ...wanted, '--expires', '90d'], env)
    expect(created).toMatchObject({ code: 0, stdout: expect.stringMatching(/^rck_[\w-]{43}\n$/) })
    expect(created.stderr).toContain('shown once')
    const again = await runHere(['keys', 'api', 'create', ...wanted], env)
    expect(again).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('revoke it first') })
    const asJson = await runHere(['keys', 'api', 'create', '--name', 'feed', '--scope', 'events:read', '--json'], env)
    const feed = JSON.parse(asJson.stdout)
    expect(feed).toEqual({
      key: expect.stringMatching(/^rck_/),
      name: 'feed',
      scopes: ['events:read'],
      state: 'living',
      created_at: expect.any(String),
      expires_at: null,
      revoked_at: null,
    })
    expect((await runHere(['keys', 'api', 'revoke', 'backend'], env)).code).toBe(0)
    expect((await runHere(['keys', 'api', 'revoke', 'backend'], env)).code).toBe(1)
    const listed = await runHere(['keys', 'api', 'list'], env)
    expect(listed.stdout).toMatch(/^NAME +STATE .*\nbackend +revoked .*events:read consents:read\nfeed +living .*\n$/)
    const all = await runHere(['keys', 'api', 'list', '--json'], env)
    const { key: _, ...shown } = feed
    expect(JSON.parse(all.stdout).keys).toEqual([
      expect.objectContaining({ name: 'backend', state: 'revoked', revoked_at: expect.any(String) }),
      shown,
    ])
    for (const { stdout } of [listed, all]) expect(stdout).not.toContain('rck_')
  })

  test('an unknown scope: the nearest is named', async () => {
    const ran = await runHere(['keys', 'api', 'create', '--name', 'x', '--scope', 'consent:read'], env)
    expect(ran.stderr).toContain('Did you mean consents:read?')
  })
})

describe('start', () => {
  const startEnvironment = async (): Promise<Record<string, string>> => ({
    ...env,
    NODE_ENV: 'test',
    REDIS_URL: inject('redisUrl'),
    TRUELAYER_CLIENT_ID: 'client',
    TRUELAYER_CLIENT_SECRET: 'client-secret',
    PUBLIC_URL: 'http://127.0.0.1:3000',
    HOST: '127.0.0.1',
    PORT: String(await freePort()),
    SMTP_URL: 'smtp://127.0.0.1:9',
    MAIL_FROM: 'a@example.com',
    RECONSENT_CONFIG: new URL('policy.fixture.ts', import.meta.url).pathname,
  })

  test('refuses without a key that is in use, with its name and the number of values that need it', async () => {
    const { code, stderr } = await run(['start'], { env: { ...(await startEnvironment()), ...keys('k2', 'k3') } })
    expect(stderr).toMatch(
      /ENCRYPTION_KEYS: lacks the key "k1", which 7 stored secrets need: put it back behind the first one/,
    )
    expect(code).toBe(2)
    expect(
      (await asOwner(url, `SELECT count(*)::int AS count FROM consents WHERE status = 'quarantined'`)).rows,
    ).toEqual([{ count: 0 }])
  })

  test('started while the database was unavailable, it ends as soon as it can see that a key is missing', async () => {
    const port = await freePort()
    const there = new URL(url)
    const away = new URL(url)
    away.port = String(port)
    const child = start(['start'], { env: { ...(await startEnvironment()), ...keys('k2'), DATABASE_URL: away.href } })
    let output = ''
    const waits = Promise.withResolvers<void>()
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString()
        if (output.includes('reconsent runs')) waits.resolve()
      })
    }
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    await Promise.race([waits.promise, ended])
    expect(output).toMatch(/the database cannot be asked which encryption keys are in use/)
    const proxy = createServer((socket) => {
      const onward = connect(Number(there.port), there.hostname)
      for (const end of [socket, onward]) end.on('error', () => undefined)
      socket.pipe(onward).pipe(socket)
    }).listen(port, '127.0.0.1')
    expect(await ended).toBe(2)
    expect(output).toMatch(/lacks the key "k1", which 7 stored secrets need/)
    proxy.close()
  })
})

describe('verify', () => {
  test('no violation: exit code 0', async () => {
    expect(await run(['verify'], { env })).toEqual({ code: 0, stdout: 'every promise is kept\n', stderr: '' })
    expect(JSON.parse((await run(['verify', '--json'], { env })).stdout)).toEqual({ ok: true, violations: [] })
  })

  test('a violation: the invariant and the row, exit code 1', async () => {
    const { rows: found } = await asOwner(
      url,
      `UPDATE consents SET cycle = 4 WHERE credentials_id = 'cred-1' RETURNING id`,
    )
    const id = String(found[0].id)
    const told = await run(['verify'], { env })
    expect(told.code).toBe(1)
    expect(told.stdout).toMatch(
      new RegExp(`^10 +consents ${id} +it is active in cycle 4, but its events make it active in cycle 1$`, 'm'),
    )
    expect(JSON.parse((await run(['verify', '--quick', '--json'], { env })).stdout)).toEqual({
      ok: false,
      violations: [
        {
          invariant: 10,
          record: `consents ${id}`,
          what: 'it is active in cycle 4, but its events make it active in cycle 1',
        },
      ],
    })
  })
})
