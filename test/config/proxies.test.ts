// The two kinds of proxy: which proxies are trusted to name a client's address, and through which proxy the provider is
// reached.
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { ConfigError, loadConfig } from '../../src/config.ts'
import { soundEnv } from './environment.ts'

const load = async (over: Record<string, string | undefined>) =>
  loadConfig({
    env: { ...soundEnv, ...over },
    cwd: '/',
    needs: ['web', 'provider'],
    policy: { company: { name: 'Brightside' } },
  })
const problemsOf = async (over: Record<string, string>): Promise<string[]> => {
  const error: unknown = await load(over).catch((reason: unknown) => reason)
  if (!(error instanceof ConfigError)) throw new Error('it was taken')
  return error.problems.map(({ where, what }) => `${where} ${what}`)
}

describe('TRUSTED_PROXIES', () => {
  test('names nobody unless it is set', async () => {
    expect((await load({})).web.trustedProxies).toEqual([])
    expect((await load({ TRUSTED_PROXIES: '  ' })).web.trustedProxies).toEqual([])
  })

  test('takes addresses, ranges and the names of private networks, by commas or spaces', async () => {
    const { trustedProxies } = (
      await load({
        TRUSTED_PROXIES: ' 10.0.0.1, 192.168.0.0/16 loopback,uniquelocal  linklocal,2001:db8::1,2001:db8::/32,',
      })
    ).web
    expect(trustedProxies).toEqual([
      '10.0.0.1',
      '192.168.0.0/16',
      'loopback',
      'uniquelocal',
      'linklocal',
      '2001:db8::1',
      '2001:db8::/32',
    ])
  })

  const everybody = ['::/0', '::ffff:0:0/96', '::ffff:0.0.0.0/96', '::/64', '::ffff:1.2.3.4/95', '::/1']
  test.each(everybody)('%s means every address of IPv4', async (range) => {
    expect(await problemsOf({ TRUSTED_PROXIES: range })).toEqual([expect.stringMatching(/entry 1 means everybody/)])
  })

  test.each(['::ffff:10.0.0.1', '::ffff:10.0.0.0/104', '2000::/3', '::1/128', 'fc00::/7'])(
    '%s does not',
    async (entry) => {
      expect((await load({ TRUSTED_PROXIES: entry })).web.trustedProxies).toEqual([entry])
    },
  )

  test('reports every wrong entry by its place, and repeats none', async () => {
    const problems = await problemsOf({ TRUSTED_PROXIES: '10.0.0.1, lb.internal, 1, 0.0.0.0/0, 10.0.0.0/40' })
    expect(problems).toEqual([
      expect.stringMatching(/^TRUSTED_PROXIES entry 2 is not an IP address, .*host names are not looked up/),
      expect.stringMatching(/^TRUSTED_PROXIES entry 3 .*a number of hops is not accepted/),
      expect.stringMatching(/^TRUSTED_PROXIES entry 4 means everybody/),
      expect.stringMatching(/^TRUSTED_PROXIES entry 5 has a range/),
    ])
    expect(problems.join()).not.toMatch(/lb\.internal|\/40/)
  })
})

describe('HTTPS_PROXY', () => {
  test('is none unless it is set', async () => {
    expect(
      (await load({ NO_PROXY: 'x', HTTP_PROXY: 'http://h', ALL_PROXY: 'socks5://h' })).provider.proxy,
    ).toBeUndefined()
  })

  test('is kept as a secret, with what NO_PROXY leaves out', async () => {
    const config = await load({
      HTTPS_PROXY: 'http://user:p%40ss@proxy.internal:3128',
      NO_PROXY: 'a.example, .b.example 10.0.0.0/8,',
    })
    expect(config.provider.proxy?.url.reveal()).toBe('http://user:p%40ss@proxy.internal:3128/')
    expect(config.provider.proxy?.bypass).toEqual(['a.example', '.b.example', '10.0.0.0/8'])
    expect(inspect(config, { depth: 9 }) + JSON.stringify(config)).not.toMatch(/p%40ss|proxy\.internal/)
  })

  test('in lower case comes first, as with curl', async () => {
    const { proxy } = (
      await load({
        HTTPS_PROXY: 'http://upper:1',
        https_proxy: 'https://lower:2',
        NO_PROXY: 'upper',
        no_proxy: 'lower',
      })
    ).provider
    expect([proxy?.url.reveal(), proxy?.bypass]).toEqual(['https://lower:2/', ['lower']])
  })

  test.each([
    ['HTTPS_PROXY', 'http://user:hush#me@proxy:3128'],
    ['HTTPS_PROXY', 'http://user:hush@proxy:3128/path'],
    ['HTTPS_PROXY', 'http://user:%hush@proxy'],
    ['https_proxy', 'socks5://user:hush@proxy'],
    ['https_proxy', 'hush'],
  ])('that cannot be used is refused by its name, without its value: %s=%s', async (name, value) => {
    const [problem, ...more] = await problemsOf({ [name]: value })
    expect(problem).toMatch(new RegExp(`^${name} `))
    expect([more, /hush/.test(problem ?? '')]).toEqual([[], false])
  })
})
