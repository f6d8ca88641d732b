// `webhooks` as operators call it.
import { beforeEach, describe, expect, test } from 'vitest'
import { createDatabase } from '../setup/database.ts'
import { asOwner } from '../setup/roles.ts'
import { environmentFor, runHere } from './reconsent.ts'

const URL = 'https://hooks.example.com/reconsent'

let url: string
let env: Record<string, string>
beforeEach(async () => {
  url = await createDatabase()
  env = environmentFor(url)
})
const webhooks = async (...args: string[]) => runHere(['webhooks', ...args], env)
const asJson = async (...args: string[]) =>
  JSON.parse((await webhooks(...args, '--json')).stdout) as Record<string, unknown>

describe('an endpoint', () => {
  test('is added, listed, gets another secret, and is removed', async () => {
    const added = await asJson('add', URL, '--types', 'consent.renewed,token.rejected')
    expect(added).toMatchObject({ url: URL, types: ['consent.renewed', 'token.rejected'] })
    const id = String(added['id'])
    expect(added['secret']).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
    const { endpoints } = await asJson('list')
    expect(endpoints).toEqual([
      {
        id: added['id'],
        url: URL,
        types: ['consent.renewed', 'token.rejected'],
        status: 'enabled',
        disabled_reason: null,
        disabled_at: null,
        is_away: false,
        failing_since: null,
        rests_until: null,
        delivered_at: null,
        created_at: expect.stringMatching(/Z$/),
        behind: 0,
        failing_consents: 0,
        secrets: 1,
        replays: 0,
      },
    ])
    const rotated = await asJson('rotate-secret', id, '--overlap', '1h')
    expect(rotated['secret']).toMatch(/^whsec_/)
    expect(rotated['secret']).not.toBe(added['secret'])
    expect((await asJson('list'))['endpoints']).toMatchObject([{ secrets: 2 }])
    expect(await asJson('enable', id)).toMatchObject({ result: 'unchanged' })
    expect(await asJson('remove', id)).toMatchObject({ result: 'done' })
    expect(await asJson('list')).toEqual({ endpoints: [] })
  })

  test('is shown to people, without its secret but once', async () => {
    const { stdout, stderr } = await webhooks('add', URL)
    const [, secret = ''] = /SECRET {2}(whsec_\S+)\n/.exec(stdout) ?? []
    expect(stderr).toContain('this once')
    const listed = await webhooks('list')
    expect(listed.stdout).toContain(`enabled  -`)
    expect(listed.stdout).toContain(URL)
    expect(listed.stdout + listed.stderr).not.toContain(secret)
    const { rows } = await asOwner(url, 'SELECT secret FROM webhook_secrets')
    expect(JSON.stringify(rows)).not.toContain(secret)
    expect(rows).toEqual([{ secret: expect.stringMatching(/^v1\.k1\./) }])
  })

  test('without an overlap, only the new secret signs', async () => {
    const { id } = await asJson('add', URL)
    await asJson('rotate-secret', String(id), '--overlap', '0s')
    expect((await asJson('list'))['endpoints']).toMatchObject([{ secrets: 1 }])
  })

  test('its secrets are among those that `keys` counts and rotates', async () => {
    await webhooks('add', URL)
    expect((await runHere(['keys', 'list', '--json'], env)).stdout).toContain('"cells": 1')
    const { keyText } = await import('../crypto/keys.ts')
    const both = { ...env, ENCRYPTION_KEYS: `k2:${keyText('k2')},k1:${keyText('k1')}` }
    expect(JSON.parse((await runHere(['keys', 'rotate', '--json'], both)).stdout)).toMatchObject({
      rotated: 1,
      left: 0,
    })
    expect((await runHere(['verify'], both)).code).toBe(0)
  })
})

describe('what there is not is refused', () => {
  const nobody = '00000000-0000-4000-8000-000000000000'
  test.each([
    ['remove', nobody],
    ['enable', nobody],
    ['rotate-secret', nobody],
    ['replay', nobody, '--from', '1d'],
    ['cancel-replays', nobody],
    ['remove', 'no id at all'],
  ])('%s of an endpoint that does not exist: exit code 1', async (...args) => {
    const { code, stderr } = await webhooks(...args)
    expect([code, stderr]).toEqual([1, 'there is no endpoint with this id: see reconsent webhooks list\n'])
  })

  test.each([
    ['http://hooks.example.com/', 'must begin with https://'],
    ['https://127.0.0.1/', 'is not a public address'],
    ['https://[::ffff:10.0.0.1]/', 'is not a public address'],
    ['hooks.example.com', 'is no web address'],
  ])('in production, the address %s', async (address, problem) => {
    const { code, stderr } = await runHere(['webhooks', 'add', address], {
      ...env,
      NODE_ENV: 'production',
      TRUELAYER_AUTH_URL: 'https://auth.example.com',
      TRUELAYER_API_URL: 'https://api.example.com',
    })
    expect([code, stderr]).toEqual([1, `the address ${problem}\n`])
  })

  test('the same address twice', async () => {
    await webhooks('add', URL)
    expect(await webhooks('add', URL)).toMatchObject({ code: 1, stderr: expect.stringContaining('already') })
  })

  test.each([
    [['add'], /webhooks add needs the URL/],
    [['list', 'x'], /webhooks list takes no argument/],
    [['list', '--failed'], /webhooks list has no option --failed/],
    [['add', URL, '--types', 'consent.renewd'], /Types are .*Did you mean consent\.renewed\?/],
    [['replay', nobody], /webhooks replay needs --from/],
    [['replay', nobody, '--from', '1d', '--to', '2d'], /--to must be later than --from/],
    [['rotate-secret', nobody, '--overlap', '99d'], /at most 30d/],
    [['frobnicate'], /frobnicate/],
  ])('%j: exit code 2', async (args, message) => {
    const { code, stderr } = await webhooks(...args)
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)])
  })
})

test('a replay and the log of tries, of what is there', async () => {
  const id = String((await asJson('add', URL))['id'])
  expect(await asJson('replay', id, '--from', '2026-01-01')).toMatchObject({ result: 'unchanged', events: 0 })
  expect(await asJson('cancel-replays', id)).toMatchObject({ result: 'unchanged' })
  const consent = '11111111-1111-4111-8111-111111111111'
  await asOwner(
    url,
    `INSERT INTO webhook_deliveries (endpoint_id, webhook_id, consent_id, seq, type, at, result, attempt, status_code,
      detail, took_ms, is_replay) VALUES
      ('${id}', 'evt_4', '${consent}', 4, 'consent.renewed', '2026-12-01T09:00:00Z', 'failed', 2, 503, NULL,
        120, false),
      ('${id}', 'evt_4', '${consent}', 4, 'consent.renewed', '2026-12-01T09:05:00Z', 'delivered', 3,
      200, NULL, 80, false)`,
  )
  expect((await asJson('deliveries'))['deliveries']).toHaveLength(2)
  expect((await asJson('deliveries', id, '--failed'))['deliveries']).toEqual([
    {
      endpoint_id: id,
      webhook_id: 'evt_4',
      credentials_id: null,
      type: 'consent.renewed',
      sequence: 4,
      at: '2026-12-01T09:00:00.000Z',
      result: 'failed',
      attempt: 2,
      status_code: 503,
      detail: null,
      took_ms: 120,
      is_replay: false,
    },
  ])
  expect((await webhooks('deliveries', '--limit', '1')).stdout.split('\n')[1]).toContain('delivered')
})
