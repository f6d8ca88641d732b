import { describe, expect, test } from 'vitest'
import { expectClean, planted, subject } from './planted.ts'
import { answering, refusedPort, tcpServer } from './scripted-server.ts'

const html = '<html><body>no</body></html>'
const unavailable = (code: string, retryAfterMs?: number) => ({ kind: 'unavailable', code, retryAfterMs })

const whole = {
  client_id: 'reconsent-test',
  credentials_id: 'the-connection',
  consent_status: 'Authorised',
  consent_status_updated_at: '2026-11-02T10:00:00Z',
  consent_created_at: '2026-11-02T09:59:58.123Z',
  consent_expires_at: '2027-01-31T10:00:00.0000000Z',
  provider: { display_name: 'Monzo', logo_uri: 'https://x.example/logo.svg', provider_id: 'uk-ob-monzo' },
  scopes: ['info'],
}

const meFrom = async (body: unknown) => {
  const server = await answering(200, body)
  const it = subject(server.url)
  const answer = await it.me()
  expectClean(answer, it)
  if (answer.kind !== 'me') throw new Error(`expected me, got ${answer.kind}`)
  return answer.me
}

describe('what /me says', () => {
  test('a whole answer, asked with the access token', async () => {
    const server = await answering(
      200,
      { results: [whole], status: 'Succeeded' },
      { 'x-tl-correlation-id': 'correlation-1' },
    )
    const it = subject('https://auth.example', { apiUrl: `${server.url}/` })
    const answer = await it.me()
    if (answer.kind !== 'me') throw new Error(`expected me, got ${answer.kind}`)
    const { me } = answer
    expect(me).toMatchObject({ credentialsId: 'the-connection', providerId: 'uk-ob-monzo', providerName: 'Monzo' })
    expect(me.consentExpiresAt?.toISO()).toBe('2027-01-31T10:00:00.000Z')
    expect(me.consentCreatedAt?.toISO()).toBe('2026-11-02T09:59:58.123Z')
    expect(me.consentStatusUpdatedAt?.toISO()).toBe('2026-11-02T10:00:00.000Z')
    expect(server.received()).toMatch(/^GET \/data\/v1\/me HTTP\/1\.1\r$/m)
    expect(server.received()).toMatch(new RegExp(`^authorization: Bearer ${planted.accessToken}\r$`, 'im'))
    expect(it.logged()).toContain('correlation-1')
    expectClean(answer, it)
  })

  test('nothing at all', async () => {
    expect(Object.values(await meFrom({ results: [{}] })).every((value) => value === undefined)).toBe(true)
  })

  const noDates: readonly unknown[] = [
    undefined,
    null,
    '',
    '  ',
    'soon',
    '2026-13-45T00:00:00Z',
    '2026-02-30T00:00:00Z',
    1_790_000_000,
    {},
    '2026',
    '0001-01-01T00:00:00Z',
    '9999-12-31T23:59:59Z',
    '31/01/2027',
  ]
  for (const value of noDates) {
    test(`${JSON.stringify(value) ?? 'undefined'} is no date, and the rest is read`, async () => {
      const me = await meFrom({ results: [{ ...whole, consent_expires_at: value }] })
      expect(me.consentExpiresAt).toBeUndefined()
      expect(me.consentCreatedAt).toBeDefined()
    })
  }

  for (const [given, iso] of [
    ['2027-01-31T10:00:00', '2027-01-31T10:00:00.000Z'],
    ['2027-01-31T10:00:00+02:00', '2027-01-31T08:00:00.000Z'],
    ['2027-01-31', '2027-01-31T00:00:00.000Z'],
    [' 2027-01-31T10:00:00Z ', '2027-01-31T10:00:00.000Z'],
  ] as const) {
    test(`${given} is ${iso}`, async () => {
      const me = await meFrom({ results: [{ ...whole, consent_expires_at: given }] })
      expect(me.consentExpiresAt?.toUTC().toISO()).toBe(iso)
    })
  }

  test('fields of the wrong type are not there', async () => {
    const me = await meFrom({ results: [{ credentials_id: 42, provider: 'Monzo' }] })
    expect(me).toMatchObject({ credentialsId: undefined, providerId: undefined, providerName: undefined })
  })
})

describe('other answers', () => {
  const cases: readonly [
    name: string,
    status: number,
    body: unknown,
    expected: unknown,
    headers?: Record<string, string>,
  ][] = [
    ['401: the token is not the latest', 401, { error: 'invalid_token' }, { kind: 'token-rejected' }],
    ['403: the consent has expired', 403, { error: 'access_denied' }, { kind: 'denied' }],
    ['a 403 page of a firewall does not mean expired', 403, html, unavailable('provider-garbled')],
    ['a 401 page of a gateway does not reject the token', 401, html, unavailable('provider-garbled')],
    ['results missing', 200, { status: 'Succeeded' }, unavailable('provider-garbled')],
    ['results empty', 200, { results: [] }, unavailable('provider-garbled')],
    ['results no list', 200, { results: whole }, unavailable('provider-garbled')],
    ['results of text', 200, { results: ['x'] }, unavailable('provider-garbled')],
    ['a page', 200, html, unavailable('provider-garbled')],
    ['404', 404, { error: 'not_found' }, unavailable('provider-garbled')],
    [
      '429',
      429,
      { error: 'provider_too_many_requests' },
      unavailable('provider-rate-limited', 5000),
      { 'retry-after': '5' },
    ],
    ['503', 503, { error: 'temporarily_unavailable' }, unavailable('provider-failed')],
    ['504', 504, html, unavailable('provider-failed')],
    ['a redirect', 302, '', unavailable('provider-garbled'), { location: 'https://elsewhere.example/' }],
  ]
  for (const [name, status, body, expected, headers] of cases) {
    test(name, async () => {
      const server = await answering(status, body, headers)
      const it = subject(server.url)
      const answer = await it.me()
      expect(answer).toEqual(expected)
      expect(server.requests()).toBe(1)
      expectClean(answer, it)
    })
  }

  test('no server, or a server that does not answer', async () => {
    expect(await subject(await refusedPort()).me()).toEqual(unavailable('provider-unreachable'))
    const silent = await tcpServer(() => {})
    expect(await subject(silent.url, { requestTimeoutMs: 300 }).me()).toEqual(unavailable('provider-timeout'))
  })

  test('a correlation id that is not one is not logged', async () => {
    const server = await answering(500, '{}', { 'x-tl-correlation-id': 'a b <script>' })
    const it = subject(server.url)
    await it.me()
    expect(it.logged()).not.toContain('script')
  })
})
