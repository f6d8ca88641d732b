import { expect, test } from 'vitest'
import { expectClean, subject } from './planted.ts'
import { afterRequest, answering, refusedPort, response, tcpServer } from './scripted-server.ts'

/** A provider with one answer for refresh tokens and one for codes, and a list of two banks. */
const provider = (byToken: string, byCode: string) =>
  tcpServer((socket) => {
    let asked = ''
    socket.on('data', (bytes) => {
      asked += bytes.toString()
    })
    afterRequest(() => {
      if (asked.startsWith('GET /api/providers?clientId=reconsent-test '))
        return void socket.end(response(200, '[{},{}]'))
      const error = asked.includes('grant_type=refresh_token') ? byToken : byCode
      socket.end(response(400, JSON.stringify({ error })))
    })(socket)
  })

const check = async (url: string) => {
  const it = subject(url)
  const answer = await it.provider.checkCredentials()
  expectClean(answer, it)
  return answer
}

test('a refused made-up token proves that the client is accepted', async () => {
  const answer = await check((await provider('invalid_grant', 'never asked')).url)
  expect(answer.ok).toBe(true)
  expect(answer.detail).toContain('lists 2 banks')
})

test('invalid_client for the made-up token alone does not prove a rejection', async () => {
  const answer = await check((await provider('invalid_client', 'invalid_authorization_code')).url)
  expect(answer.ok).toBe(true)
  expect(answer.detail).toContain('answered invalid_client to a made-up refresh token')
})

test('invalid_client for both the token and the code does', async () => {
  const answer = await check((await provider('invalid_client', 'invalid_client')).url)
  expect(answer.ok).toBe(false)
  expect(answer.detail).toMatch(/^rejected \(invalid_client\)/)
})

test('an unclear answer is not called a rejection', async () => {
  expect(await check(await refusedPort())).toEqual({
    ok: false,
    detail: 'could not be found out: the provider could not be reached',
  })
  const failing = await answering(503, '<html></html>')
  expect(await check(failing.url)).toEqual({
    ok: false,
    detail: 'could not be found out: the provider answered with a server error',
  })
  expect((await check((await provider('invalid_client', 'odd_error')).url)).detail).toMatch(/^could not be found out/)
})
