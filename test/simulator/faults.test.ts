// Every HTTP fault, over real sockets: what the client sees, and what was processed according to the ledger.
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { makeFaults } from '../../simulator/src/faults.ts'
import type { FaultOrder } from '../../simulator/src/faults.ts'
import { aCode, aConnection, aLink, aSimulator, exchange, get, me, reauth, refresh } from './a-simulator.ts'

const processedBy = async (order: Omit<FaultOrder, 'endpoint'> & Record<string, unknown>) => {
  const simulator = await aSimulator()
  const { refreshToken, credentialsId } = aConnection(simulator)
  const code = await aCode(simulator, refreshToken)
  simulator.faults.add({ endpoint: 'exchange', count: 1, ...order } as FaultOrder)
  const answer = await exchange(simulator, code).catch((error: Error) => error)
  const [entry] = simulator.ledger.entries({ what: 'exchange' })
  return {
    simulator,
    code,
    answer,
    entry,
    renewals: simulator.ledger.count({ what: 'renewed', credentials_id: credentialsId }),
  }
}

test('rate-limited: 429, with Retry-After when asked for, not processed', async () => {
  const bare = await processedBy({ kind: 'rate-limited' })
  expect(bare.answer).toMatchObject({ status: 429, body: { error: 'provider_too_many_requests' } })
  expect(bare.answer instanceof Error || bare.answer.headers.has('retry-after')).toBe(false)
  expect(bare.entry).toMatchObject({ outcome: 'not-processed', fault: 'rate-limited' })
  expect((await exchange(bare.simulator, bare.code)).status).toBe(200)

  for (const retry_after of [30, 'Wed, 21 Oct 2026 07:28:00 GMT']) {
    const { answer } = await processedBy({ kind: 'rate-limited', retry_after })
    expect(answer instanceof Error ? answer : answer.headers.get('retry-after')).toBe(String(retry_after))
  }
})

test('error-json: 500 JSON, processed only when asked for', async () => {
  const before = await processedBy({ kind: 'error-json' })
  expect(before.answer).toMatchObject({ status: 500, body: { error: 'internal_server_error' } })
  expect([before.renewals, before.entry?.outcome]).toEqual([0, 'not-processed'])
  const after = await processedBy({
    kind: 'error-json',
    status: 503,
    error: 'temporarily_unavailable',
    processed: true,
  })
  expect(after.answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } })
  expect([after.renewals, after.entry?.outcome, after.entry?.fault]).toEqual([1, 'ok', 'error-json'])
})

test('error-html: the 502 page of a gateway', async () => {
  const { answer, renewals } = await processedBy({ kind: 'error-html' })
  expect(answer).toMatchObject({ status: 502, body: expect.stringContaining('<h1>Bad Gateway</h1>') })
  expect(renewals).toBe(0)
  expect((await processedBy({ kind: 'error-html', processed: true })).renewals).toBe(1)
})

test('slow: the answer comes late; a client that gives up does not stop the work', async () => {
  const simulator = await aSimulator()
  const { refreshToken } = aConnection(simulator)
  simulator.faults.add({ endpoint: 'reauthuri', kind: 'slow', ms: 120, count: 1 })
  const started = performance.now()
  expect((await reauth(simulator, refreshToken)).status).toBe(200)
  expect(performance.now() - started).toBeGreaterThan(115)

  simulator.faults.add({ endpoint: 'reauthuri', kind: 'slow', ms: 600_000, processed: true })
  const givesUp = new AbortController()
  const gaveUp = get(`${simulator.url}/v1/reauthuri`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      response_type: 'code',
      refresh_token: refreshToken,
      redirect_uri: 'https://company.example/callback',
    }),
    signal: givesUp.signal,
  })
  const givesUpWhenSeen = async (): Promise<void> => {
    await expect.poll(() => simulator.ledger.count({ what: 'reauthuri' })).toBe(2)
    givesUp.abort()
  }
  await Promise.all([expect(gaveUp).rejects.toThrow(), givesUpWhenSeen()])
  expect(simulator.ledger.entries({ what: 'reauthuri' })).toMatchObject([
    { outcome: 'ok', fault: 'slow', late_ms: 120 },
    { outcome: 'ok', fault: 'slow', late_ms: 600_000 },
  ])
  // if closing waited for the pause, it would take ten minutes at the end of this test
})

test('drip: a complete, correct answer, byte by byte', async () => {
  const simulator = await aSimulator()
  const { refreshToken } = aConnection(simulator)
  simulator.faults.add({ endpoint: 'refresh', kind: 'drip', interval_ms: 1 })
  const started = performance.now()
  const { status, body, headers } = await refresh(simulator, refreshToken)
  expect([status, body.token_type]).toEqual([200, 'Bearer'])
  expect(performance.now() - started).toBeGreaterThan(Number(headers.get('content-length')) * 0.8)
  expect(simulator.ledger.entries({ what: 'refresh' })).toMatchObject([
    { outcome: 'ok', fault: 'drip', late_ms: Number(headers.get('content-length')) - 1 },
  ])
})

test('reset-before: the connection is reset and nothing was processed', async () => {
  const { answer, entry, renewals, simulator, code } = await processedBy({ kind: 'reset-before' })
  expect(answer).toBeInstanceOf(Error)
  expect(entry).toMatchObject({ outcome: 'not-processed', fault: 'reset-before' })
  expect(renewals).toBe(0)
  expect((await exchange(simulator, code)).status).toBe(200)
})

test('reset-after: the connection is reset and everything was processed', async () => {
  const { answer, entry, renewals, simulator, code } = await processedBy({ kind: 'reset-after' })
  expect(answer).toBeInstanceOf(Error)
  expect(entry).toMatchObject({ outcome: 'ok', fault: 'reset-after', code_no: 1 })
  expect(renewals).toBe(1)
  expect((await exchange(simulator, code)).body.error_details.reason).toBe('reused')
})

test('a reset is a TCP reset, not a polite end', async () => {
  const simulator = await aSimulator()
  simulator.faults.add({ endpoint: 'me', kind: 'reset-after' })
  const { hostname, port } = new URL(simulator.url)
  const socket = connect(Number(port), hostname, () => socket.write('GET /data/v1/me HTTP/1.1\r\nHost: x\r\n\r\n'))
  const error = await new Promise<NodeJS.ErrnoException>((resolve) => socket.on('error', resolve))
  expect(error.code).toBe('ECONNRESET')
})

test('bad-json: 200 with half a body, processed unless said otherwise', async () => {
  const simulator = await aSimulator()
  const { refreshToken } = aConnection(simulator)
  simulator.faults.add({ endpoint: 'reauthuri', kind: 'bad-json', count: 1 })
  const response = await fetch(`${simulator.url}/v1/reauthuri`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      response_type: 'code',
      refresh_token: refreshToken,
      redirect_uri: 'https://company.example/callback',
    }),
  })
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8'])
  const text = await response.text()
  expect(text).toMatch(/^\{"result":"http/)
  expect(() => JSON.parse(text)).toThrow()
  expect(simulator.ledger.entries({ what: 'reauthuri' })).toMatchObject([{ outcome: 'ok', fault: 'bad-json' }])

  simulator.faults.add({ endpoint: 'reauthuri', kind: 'bad-json', processed: false })
  await expect(reauth(simulator, refreshToken)).rejects.toThrow(SyntaxError)
  expect(simulator.ledger.count({ what: 'reauthuri', outcome: 'not-processed' })).toBe(1)
})

test('every endpoint can fail, the bank page and its decision too', async () => {
  const simulator = await aSimulator()
  const { refreshToken } = aConnection(simulator)
  const link = await aLink(simulator, refreshToken)
  const full = `${simulator.url}/?response_type=code`
  for (const endpoint of [
    'reauthuri',
    'exchange',
    'refresh',
    'me',
    'delete',
    'providers',
    'bank',
    'decision',
    'full-link',
  ] as const) {
    simulator.faults.add({ endpoint, kind: 'error-html', count: 1 })
  }
  const statuses = [
    await reauth(simulator, refreshToken),
    await exchange(simulator, 'any'),
    await refresh(simulator, refreshToken),
    await me(simulator, 'any'),
    await get(`${simulator.url}/api/delete`, { method: 'DELETE' }),
    await get(`${simulator.url}/api/providers?clientId=sandbox-test`),
    await get(link),
    await get(link, { method: 'POST', body: new URLSearchParams({ decision: 'approve' }) }),
    await get(full),
  ].map(({ status }) => status)
  expect(statuses).toEqual(Array(9).fill(502))
  expect((await get(link)).status).toBe(200)
})

test('an approval whose answer is lost has issued its code: the user approved and received no answer', async () => {
  const simulator = await aSimulator()
  const link = await aLink(simulator, aConnection(simulator).refreshToken)
  simulator.faults.add({ endpoint: 'decision', kind: 'reset-after', count: 1 })
  await expect(simulator.play({ link, as: 'approve' })).rejects.toThrow()
  expect(simulator.ledger.count({ what: 'code' })).toBe(1)
  expect(await simulator.play({ link, as: 'approve' })).toEqual({ kind: 'refused', status: 410 })
})

test('count, skip and only choose which requests meet a fault', async () => {
  const simulator = await aSimulator()
  const [one, two] = [aConnection(simulator), aConnection(simulator)]
  const { id } = simulator.faults.add({
    endpoint: 'refresh',
    kind: 'error-json',
    only: one.credentialsId,
    skip: 1,
    count: 2,
  })
  const seen: number[] = []
  for (let round = 0; round < 4; round++) {
    seen.push((await refresh(simulator, one.refreshToken)).status)
    expect((await refresh(simulator, two.refreshToken)).status).toBe(200)
  }
  expect(seen).toEqual([200, 500, 500, 200])
  expect(simulator.faults.list()).toMatchObject([{ id, endpoint: 'refresh', fired: 2 }])
  expect([simulator.faults.remove(id), simulator.faults.remove(id)]).toEqual([true, false])
})

test('a rate is repeatable with the same seed and different with another', () => {
  const draws = (seed: number): string => {
    const faults = makeFaults({ seed })
    faults.add({ endpoint: 'me', kind: 'reset-before', rate: 0.3 })
    return Array.from({ length: 1000 }, () => (faults.take('me', []) === undefined ? '.' : 'x')).join('')
  }
  expect(draws(7)).toBe(draws(7))
  expect(draws(7)).not.toBe(draws(8))
  const share = draws(7).replaceAll('.', '').length / 1000
  expect(share).toBeGreaterThan(0.25)
  expect(share).toBeLessThan(0.35)
})

test('the first fault that fires wins, in the order they were added', () => {
  const faults = makeFaults({ seed: 1 })
  faults.add({ endpoint: 'me', kind: 'reset-before', count: 1 })
  faults.add({ endpoint: 'me', kind: 'reset-after', count: 1 })
  expect([1, 2, 3].map(() => faults.take('me', [])?.kind)).toEqual(['reset-before', 'reset-after', undefined])
  faults.add({ endpoint: 'me', kind: 'reset-after' })
  faults.clear()
  expect(faults.take('me', [])).toBeUndefined()
})

const wrongOrders: Record<string, [unknown, RegExp]> = {
  'an unknown endpoint': [{ endpoint: 'mee', kind: 'slow', ms: 1 }, /unknown endpoint "mee" \(known: reauthuri, /],
  'an unknown kind': [
    { endpoint: 'me', kind: 'slwo', ms: 1 },
    /unknown fault "slwo" at the endpoint "me" \(known: rate-limited, /,
  ],
  'a mail fault at an HTTP endpoint': [{ endpoint: 'me', kind: 'rcpt-4xx' }, /unknown fault "rcpt-4xx"/],
  'an HTTP fault at the inbox': [
    { endpoint: 'mail', kind: 'reset-after' },
    /unknown fault "reset-after" at the endpoint "mail" \(known: rcpt-4xx, /,
  ],
  'an unknown setting': [
    { endpoint: 'me', kind: 'slow', ms: 1, milliseconds: 1 },
    /unknown setting of the fault "slow" "milliseconds" \(known: .*ms/,
  ],
  'a missing setting': [{ endpoint: 'me', kind: 'slow' }, /^ms: /],
  'a rate of zero': [{ endpoint: 'me', kind: 'reset-after', rate: 0 }, /^rate: /],
  'a rate over one': [{ endpoint: 'me', kind: 'reset-after', rate: 2 }, /^rate: /],
  'half a count': [{ endpoint: 'me', kind: 'reset-after', count: 0.5 }, /^count: /],
  'no object': ['slow', /^body: /],
  'no kind': [{ endpoint: 'me' }, /^kind: /],
}
test.each(Object.keys(wrongOrders))('%s is refused with the reason', (key) => {
  const [order, message] = wrongOrders[key] ?? []
  const faults = makeFaults({ seed: 1 })
  expect(() => faults.add(order as FaultOrder)).toThrow(message)
  expect(faults.list()).toEqual([])
})
