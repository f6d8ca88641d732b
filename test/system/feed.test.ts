// The feed of running processes: the scheduler gives positions even when nobody reads, and the API tells a reader what
// to do.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { API_KEY, startCompany, until } from '../setup/company.ts'

let company: Awaited<ReturnType<typeof startCompany>>
beforeAll(async () => {
  company = await startCompany({ queue: 'redis', processes: [['web'], ['scheduler'], ['scheduler']] })
})
afterAll(async () => {
  await company.stop()
})

const get = async (
  query = '',
): Promise<{
  status: number
  body: { events: { cursor: string; consent_id: string }[]; next_cursor: string | null; error?: string }
}> => {
  const response = await fetch(new URL(`/v1/events${query}`, company.config.web.publicUrl), {
    headers: { authorization: `Bearer ${API_KEY}` },
  })
  return { status: response.status, body: (await response.json()) as never }
}

test('an event has its position soon after its commit, with two schedulers and no reader', async () => {
  const { id } = await company.addConsent({ expiresAt: company.clock.now().plus({ days: 60 }) })
  await until(
    'its place',
    async () => (await company.db.prisma.eventPosition.count({ where: { consentId: id } })) > 0 || undefined,
  )
  const { status, body } = await get()
  expect([status, body.events.map((event) => event.consent_id)]).toEqual([200, [id]])
  expect((await get(`?after=${body.next_cursor}`)).body).toEqual({ events: [], next_cursor: body.next_cursor })
})

test('a cursor of another database is refused, and so is a malformed one', async () => {
  const { body } = await get()
  const place = body.next_cursor?.split('-')[0]
  for (const cursor of [`${place}-0123456789abcdef`, '999-0123456789abcdef', '5.5'])
    expect(await get(`?after=${cursor}`)).toMatchObject({
      status: 409,
      body: { type: 'urn:problem-type:reconsent:cursor-unknown' },
    })
  for (const cursor of ['x', `${place}-`, '1'])
    expect(await get(`?after=${cursor}`)).toMatchObject({
      status: 400,
      body: { type: 'urn:problem-type:reconsent:invalid-request' },
    })
})
