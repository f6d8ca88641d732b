// `/_control`: everything can be read and set at run time, and an unknown name is answered with the known names.
import { DateTime } from 'luxon'
import { createTransport } from 'nodemailer'
import { expect, test } from 'vitest'
import { REDIRECT, START, aConnection, aLink, aSimulator, get, postJson, reauth } from './a-simulator.ts'

const html = { headers: { accept: 'text/html' } }

test('the overview is JSON for programs and a page for people', async () => {
  const simulator = await aSimulator()
  const { credentialsId } = aConnection(simulator)
  simulator.faults.add({ endpoint: 'me', kind: 'slow', ms: 5 })
  const { body } = await get(`${simulator.url}/_control`)
  expect(body).toMatchObject({
    url: simulator.url,
    smtp_url: simulator.smtpUrl,
    connections: 1,
    ledger: 1,
    mails: 0,
    switches: { validity_days: 90 },
  })
  expect(body.faults).toMatchObject([{ endpoint: 'me', settings: { kind: 'slow', ms: 5, rate: 1 } }])
  const page = await get(`${simulator.url}/_control`, html)
  expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
  for (const part of ['rotate_refresh_tokens', credentialsId, '+90 days', simulator.smtpUrl])
    expect(page.body).toContain(part)
})

test('the clock is read, set and advanced, and keeps running', async () => {
  const simulator = await aSimulator()
  const url = `${simulator.url}/_control/clock`
  expect((await get(url)).body.now.slice(0, 16)).toBe('2026-03-02T10:00')
  expect((await postJson(url, { set: '2027-01-01T12:00:00+02:00' })).body.now.slice(0, 16)).toBe('2027-01-01T10:00')
  expect((await postJson(url, { advance: '90d' })).body.now.slice(0, 16)).toBe('2027-04-01T10:00')
  expect((await postJson(url, { advance: 'P1DT1H' })).body.now.slice(0, 16)).toBe('2027-04-02T11:00')
  expect((await postJson(url, { advance: '-1h' })).body.now.slice(0, 16)).toBe('2027-04-02T10:00')
  expect(simulator.clock.now().diff(DateTime.fromISO('2027-04-02T10:00:00Z'), 'seconds').seconds).toBeLessThan(30)

  const pressed = await fetch(url, {
    method: 'POST',
    body: new URLSearchParams({ advance: '1d' }),
    redirect: 'manual',
    ...html,
  })
  expect([pressed.status, pressed.headers.get('location')]).toEqual([303, '/_control'])
  for (const wrong of [
    { set: 'tomorrow' },
    { set: '2027-01-01' },
    { set: '2027-02-30T00:00:00Z' },
    { advance: 'soon' },
    { advance: 'P' },
    {},
    { set: START.toISO(), advance: '1d' },
    { advance: 'P9999Y' },
    { advance: 'P99999999Y' },
    { go: '1d' },
    [],
    null,
  ]) {
    const { status, body } = await postJson(url, wrong)
    expect([status, body.error]).toEqual([400, 'invalid_request'])
    expect(body.problems[0]).toEqual(expect.any(String))
  }
  expect(simulator.clock.now().toISODate()).toBe('2027-04-03')
})

test('switches are read with their help, set and reset; an unknown one is 400 with the known ones', async () => {
  const simulator = await aSimulator({ switches: { grace_days: 60 } })
  const url = `${simulator.url}/_control/switches`
  expect((await get(url)).body).toMatchObject({
    switches: { grace_days: 60, access_token: 'jwt' },
    help: { grace_days: expect.any(String) },
  })
  expect((await postJson(url, { access_token: 'opaque', grace_days: 1 }, 'PATCH')).body.switches).toMatchObject({
    access_token: 'opaque',
    grace_days: 1,
  })
  const { status, body } = await postJson(url, { grace_day: 1, access_token: 'jwt' }, 'PATCH')
  expect([status, body.problems]).toEqual([400, ['unknown switch "grace_day"']])
  expect(body.known).toContain('grace_days')
  expect(simulator.switches.get('access_token')).toBe('opaque')
  expect((await postJson(url, { access_token: 'jwtt' }, 'PATCH')).body.problems[0]).toMatch(
    /^access_token: .*jwt-without-sub/,
  )
  expect((await get(url, { method: 'DELETE' })).body.switches).toMatchObject({ access_token: 'jwt', grace_days: 60 })
})

test('faults are added, listed, removed and cleared; an unknown one is 400 with the known ones', async () => {
  const simulator = await aSimulator()
  const url = `${simulator.url}/_control/faults`
  const added = await postJson(url, { endpoint: 'reauthuri', kind: 'rate-limited', retry_after: 3, count: 1 })
  expect([added.status, added.body]).toMatchObject([201, { id: 1, endpoint: 'reauthuri', seen: 0, fired: 0 }])
  expect((await reauth(simulator, 'any')).status).toBe(429)
  await postJson(url, { endpoint: 'mail', kind: 'rcpt-4xx' })
  const { body } = await get(url)
  expect(body.faults).toMatchObject([
    { id: 1, fired: 1 },
    { id: 2, endpoint: 'mail' },
  ])
  expect(Object.keys(body.kinds)).toContain('cut-after-dot')
  expect((await get(`${url}/1`, { method: 'DELETE' })).body.faults).toMatchObject([{ id: 2 }])
  expect((await get(`${url}/1`, { method: 'DELETE' })).status).toBe(404)
  expect((await get(url, { method: 'DELETE' })).body.faults).toEqual([])

  const wrongKind = await postJson(url, { endpoint: 'me', kind: 'explode' })
  expect([wrongKind.status, wrongKind.body.problems]).toEqual([400, ['unknown fault "explode" at the endpoint "me"']])
  expect(wrongKind.body.known).toContain('reset-after')
  const wrongEndpoint = await postJson(url, { endpoint: 'everything', kind: 'slow' })
  expect([wrongEndpoint.status, wrongEndpoint.body.known.includes('exchange')]).toEqual([400, true])
})

test('connections are seeded one or many, shown, and revoked', async () => {
  const simulator = await aSimulator()
  const url = `${simulator.url}/_control/connections`
  const row = {
    credentials_id: 'c-1',
    provider_id: 'uk-ob-monzo',
    country: 'GB',
    redirect_uri: REDIRECT,
    refresh_token: 'r-1',
    expires_at: '2026-03-10T00:00:00Z',
  }
  const one = await postJson(url, row)
  expect(one.status).toBe(201)
  expect(one.body).toMatchObject({
    credentials_id: 'c-1',
    refresh_token: 'r-1',
    country: 'GB',
    provider_name: 'Monzo',
    consent_expires_at: '2026-03-10T00:00:00.000Z',
    consent_created_at: '2025-12-10T00:00:00.000Z',
    revoked: false,
  })
  const many = await postJson(url, [
    { ...row, credentials_id: 'c-2', refresh_token: undefined, scopes: ['info'] },
    { ...row, credentials_id: 'c-3', refresh_token: 'r-3' },
  ])
  expect(many.body.connections).toMatchObject([
    { credentials_id: 'c-2', refresh_token: expect.any(String), scopes: ['info'] },
    { credentials_id: 'c-3' },
  ])
  expect((await get(url)).body.connections).toHaveLength(3)
  expect((await reauth(simulator, 'r-1')).status).toBe(200)
  expect((await postJson(`${url}/c-1/revoke`, {})).body.revoked).toBe(true)
  expect((await reauth(simulator, 'r-1')).status).toBe(401)
  expect((await get(`${url}/c-1`)).body.revoked).toBe(true)
  expect((await get(`${url}/c-9`)).status).toBe(404)
  expect((await fetch(`${url}/c-9/revoke`, { method: 'POST' })).status).toBe(404)

  const wrong: [unknown, RegExp][] = [
    [row, /credentials_id: c-1 is already there/],
    [{ ...row, credentials_id: 'c-4' }, /refresh_token: another connection/],
    [
      { ...row, credentials_id: 'c-4', refresh_token: 'r-4', expires_at: '2026-03-10' },
      /expires_at: expected an ISO 8601 instant/,
    ],
    [
      { ...row, credentials_id: 'c-4', refresh_token: 'r-4', country: 'Great Britain' },
      /country: expected a country code/,
    ],
    [{ ...row, credentials_id: 'c-4', refresh_token: 'r-4', redirect_uri: 'nowhere' }, /redirect_uri: /],
    [{ ...row, credentials_id: 'c-4', refresh_token: 'r-4', provider: 'x' }, /unknown field "provider"/],
    [[{ ...row, credentials_id: 'c-5', refresh_token: 'r-5' }, { country: 'GB' }], /provider_id: /],
    [null, /body: /],
  ]
  for (const [body, message] of wrong) {
    const answer = await postJson(url, body)
    expect([answer.status, answer.body.problems.join()]).toEqual([400, expect.stringMatching(message)])
  }
  expect((await get(url)).body.connections).toHaveLength(3)
})

test('switches of a single connection are set when it is made, changed, given up, and set on the page', async () => {
  const simulator = await aSimulator()
  const url = `${simulator.url}/_control/connections`
  const row = { provider_id: 'uk-ob-monzo', country: 'GB', redirect_uri: REDIRECT }
  const made = await postJson(url, {
    ...row,
    credentials_id: 'c-1',
    switches: { rotate_refresh_tokens: 'on-refresh', me_lag_seconds: 3600 },
  })
  expect(made.body.switches).toEqual({ rotate_refresh_tokens: 'on-refresh', me_lag_seconds: 3600 })
  expect((await postJson(url, { ...row, credentials_id: 'c-2' })).body.switches).toEqual({})
  const changed = await postJson(`${url}/c-1/switches`, { me_lag_seconds: null }, 'PATCH')
  expect(changed.body).toMatchObject({ credentials_id: 'c-1', switches: { rotate_refresh_tokens: 'on-refresh' } })
  expect((await get(`${url}/c-1`)).body.switches).toEqual({ rotate_refresh_tokens: 'on-refresh' })

  const press = async (fields: Record<string, string>): Promise<Response> =>
    fetch(`${url}/switches`, { method: 'POST', body: new URLSearchParams(fields), redirect: 'manual', ...html })
  const pressed = await press({ credentials_id: ' c-2 ', rotate_refresh_tokens: '', me_lag_seconds: '60' })
  expect([pressed.status, pressed.headers.get('location')]).toEqual([303, '/_control'])
  expect(simulator.connection('c-2')?.switches).toEqual({ me_lag_seconds: 60 })
  const page = (await get(`${simulator.url}/_control`, html)).body
  for (const part of ['2 of 2 connections have some', 'action="/_control/connections/switches"', 'c-2'])
    expect(page).toContain(part)
  await press({ credentials_id: 'c-2', rotate_refresh_tokens: '', me_lag_seconds: '' })
  expect(simulator.connection('c-2')?.switches).toEqual({})
  expect((await press({ credentials_id: 'c-9' })).status).toBe(404)
  expect((await press({ credentials_id: 'c-2', me_lag_seconds: 'long' })).status).toBe(400)

  const wrongName = await postJson(`${url}/c-1/switches`, { grace_days: 1 }, 'PATCH')
  expect([wrongName.status, wrongName.body.problems]).toEqual([400, ['unknown switch of a connection "grace_days"']])
  expect(wrongName.body.known).toEqual(['rotate_refresh_tokens', 'me_lag_seconds'])
  expect((await postJson(`${url}/c-9/switches`, {}, 'PATCH')).status).toBe(404)
  // All rows are read before the first connection is made.
  const wrongRow = { ...row, credentials_id: 'c-4', switches: { me_lag_seconds: 'long' } }
  const rows = await postJson(url, [{ ...row, credentials_id: 'c-3' }, wrongRow])
  expect([rows.status, rows.body.problems[0]]).toEqual([400, expect.stringMatching(/^me_lag_seconds: /)])
  expect((await get(`${url}/c-3`)).status).toBe(404)
})

test('the ledger is read by kind, outcome, connection and position', async () => {
  const simulator = await aSimulator()
  const [one, two] = [aConnection(simulator), aConnection(simulator)]
  await reauth(simulator, one.refreshToken)
  await reauth(simulator, two.refreshToken)
  await reauth(simulator, 'never-issued')
  const url = `${simulator.url}/_control/ledger`
  const seqs = async (query: string) =>
    (await get(`${url}?${query}`)).body.entries.map(({ seq }: { seq: number }) => seq)
  expect(await seqs('')).toEqual([1, 2, 3, 4, 5])
  expect(await seqs('what=reauthuri')).toEqual([3, 4, 5])
  expect(await seqs('what=reauthuri&outcome=ok')).toEqual([3, 4])
  expect(await seqs(`credentials_id=${two.credentialsId}`)).toEqual([2, 4])
  expect(await seqs('after=3')).toEqual([4, 5])
  expect(await seqs('after=1&limit=2')).toEqual([2, 3])
  expect((await get(`${url}?what=nothing`)).status).toBe(400)
  expect((await get(`${url}?after=-1`)).status).toBe(400)
  expect((await get(`${url}?since=1`)).body.known).toContain('after')
})

test('mails are read by recipient and cleared', async () => {
  const simulator = await aSimulator()
  const transport = createTransport(simulator.smtpUrl)
  for (const to of ['a@x.example', 'b@x.example'])
    await transport.sendMail({ from: 'c@x.example', to, subject: to, text: 'hello' })
  transport.close()
  const url = `${simulator.url}/_control/mails`
  expect((await get(`${url}?to=A@x.example`)).body.mails).toMatchObject([
    { subject: 'a@x.example', text: expect.stringContaining('hello') },
  ])
  expect((await get(`${url}?recipient=a`)).status).toBe(400)
  await get(url, { method: 'DELETE' })
  expect((await get(url)).body).toEqual({ received: 2, mails: [] })
})

test('play acts as the user, only at this bank', async () => {
  const simulator = await aSimulator()
  const { refreshToken } = aConnection(simulator)
  const url = `${simulator.url}/_control/play`
  const played = await postJson(url, { link: await aLink(simulator, refreshToken), as: 'approve' })
  expect(played.body).toMatchObject({
    kind: 'callback',
    method: 'GET',
    url: expect.stringMatching(/^https:\/\/company\.example\/callback\?code=[\w-]+&state=a-state$/),
  })
  expect((await postJson(url, { link: 'http://127.0.0.1:9/', as: 'approve' })).body.problems[0]).toMatch(
    /^link: expected an address that starts with/,
  )
  expect((await postJson(url, { link: `${simulator.url}/bank/x/authorise/y`, as: 'shrug' })).body.problems[0]).toMatch(
    /^as: .*somebody-else/,
  )
})
