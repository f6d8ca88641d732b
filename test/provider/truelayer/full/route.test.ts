import { describe, expect, test } from 'vitest'
import { expectClean, planted, subject } from '../planted.ts'

describe('route full', () => {
  const fullLink = async (
    over: Parameters<ReturnType<typeof subject>['link']>[0] = {},
    url = 'https://auth.truelayer.com',
  ) => {
    const it = subject(url)
    const answer = await it.link({ route: 'full', ...over })
    expectClean(answer, it)
    if (answer.kind !== 'link') throw new Error(`expected a link, got ${answer.kind}`)
    return answer.url.reveal()
  }

  test('is built without a call, with every field', async () => {
    const link = await fullLink()
    expect(link.startsWith('https://auth.truelayer.com/?response_type=code&client_id=reconsent-test&')).toBe(true)
    expect(Object.fromEntries(new URL(link).searchParams)).toEqual({
      response_type: 'code',
      client_id: 'reconsent-test',
      redirect_uri: 'https://company.example/callback',
      scope: 'accounts balance offline_access',
      providers: 'uk-ob-monzo',
      provider_id: 'uk-ob-monzo',
      state: planted.state,
      code_challenge: 'the-challenge',
      code_challenge_method: 'S256',
    })
  })

  test('spaces are %20 and a plus stays a plus', async () => {
    const link = await fullLink({ redirectUri: 'https://company.example/a+b' })
    expect(link).toContain('scope=accounts%20balance%20offline_access')
    expect(new URL(link).searchParams.get('redirect_uri')).toBe('https://company.example/a+b')
  })

  test('offline_access is asked for once; without known scopes the usual ones', async () => {
    const scopeOf = async (scopes: string[]) => new URL(await fullLink({ scopes })).searchParams.get('scope')
    expect(await scopeOf(['offline_access', 'info'])).toBe('offline_access info')
    expect(await scopeOf([])).toBe('info accounts balance transactions offline_access')
  })

  test('a value cannot add a parameter', async () => {
    const link = await fullLink({ providerId: 'x&redirect_uri=https://evil.example/' })
    expect(new URL(link).searchParams.getAll('redirect_uri')).toEqual(['https://company.example/callback'])
  })

  test('a trailing slash or a path of the auth host does no harm', async () => {
    expect(await fullLink({}, 'http://127.0.0.1:4000/tl/')).toMatch(
      /^http:\/\/127\.0\.0\.1:4000\/tl\/\?response_type=code&/,
    )
  })
})
