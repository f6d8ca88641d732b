// The search must find secrets however they are wrapped, and must not take ids for secrets; every token that a
// connection ever had counts.
import { randomBytes, randomUUID } from 'node:crypto'
import { DateTime } from 'luxon'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../simulator/src/start-simulator.ts'
import { makeSuspects, secretWords } from './suspects.ts'
import { watchTokens } from './tokens-seen.ts'

const secret = randomBytes(32).toString('base64url')
const foundIn = (text: string): boolean => {
  const suspects = makeSuspects()
  suspects.note('a log', text)
  return suspects
    .judge(new Set([secret, randomBytes(16).toString('base64url')]))
    .some((one) => one.secret === secret && one.where === 'a log')
}

describe('a secret in a text', () => {
  test.each<[string, string]>([
    ['by itself', secret],
    ['in JSON', JSON.stringify({ code: secret })],
    ['glued to a word before it', `code_${secret}`],
    ['glued to words on both sides', `${randomUUID()}-${secret}-x`],
    ['glued to another secret', `${randomBytes(40).toString('base64url')}${secret}`],
  ])('%s is found', (_name, text) => {
    expect(foundIn(text)).toBe(true)
  })

  test.each<[string, string]>([
    ['an id', randomUUID()],
    ['the id of a job', `${randomUUID()}-12`],
    ['a part of it', secret.slice(0, 42)],
    ['another secret', randomBytes(32).toString('base64url')],
  ])('%s is none', (_name, text) => {
    expect(foundIn(text)).toBe(false)
  })

  test('what dots divide are words of their own', () => {
    expect(secretWords(`${secret}.${randomUUID()}.short`)).toHaveLength(2)
  })
})

describe('tokens of connections', () => {
  let simulator: Simulator
  const redirectUri = 'http://127.0.0.1:1/callback'
  beforeAll(async () => {
    simulator = await startSimulator({
      clientId: 'client',
      clientSecret: 'secret',
      redirectUris: [redirectUri],
      switches: { rotate_refresh_tokens: 'always' },
    })
  })
  afterAll(async () => simulator.close())

  test('those that were replaced are known as well', async () => {
    const { credentialsId, refreshToken = '' } = simulator.seedConnection({
      providerId: 'uk-ob-monzo',
      country: 'GB',
      redirectUri,
      expiresAt: DateTime.utc().plus({ days: 10 }),
    })
    const tokens = watchTokens(simulator)
    const refresh = async (token: string): Promise<string> => {
      const body = new URLSearchParams({
        grant_type: 'refresh_token',
        client_id: 'client',
        client_secret: 'secret',
        refresh_token: token,
      })
      const answer = (await (await fetch(`${simulator.url}/connect/token`, { method: 'POST', body })).json()) as {
        refresh_token: string
      }
      return answer.refresh_token
    }
    const second = await refresh(refreshToken)
    const third = await refresh(second)
    const fourth = await refresh(third)
    tokens.stop()
    expect(new Set([refreshToken, second, third, fourth]).size).toBe(4)
    expect([...tokens.all()]).toEqual(expect.arrayContaining([refreshToken, second, third, fourth]))
    expect(simulator.connection(credentialsId)?.refreshToken).toBe(fourth)
  })
})
