// What REDIS_URL may contain, and that its mistakes are reported without any part of the password.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nearest } from '../../src/config/suggest.ts'
import { parseRedisUrl, hostList } from '../../src/queue/redis-url.ts'

const addressOf = (text: string) => {
  const parsed = parseRedisUrl(text, nearest)
  if ('problem' in parsed) throw new Error(parsed.problem)
  return parsed.address
}
const problemOf = (text: string): string => {
  const parsed = parseRedisUrl(text, nearest)
  return 'problem' in parsed ? parsed.problem : 'none'
}

describe('REDIS_URL', () => {
  const sound: Record<string, object> = {
    'redis://host': { topology: 'single', at: { host: 'host', port: 6379 }, db: 0, tls: false, login: {} },
    'redis://host/': { topology: 'single', db: 0 },
    'redis://:hush@host:1234/3': { at: { host: 'host', port: 1234 }, db: 3, login: { password: 'hush' } },
    'rediss://user:p%40ss%2F@[::1]:6380': {
      tls: true,
      at: { host: '::1', port: 6380 },
      login: { username: 'user', password: 'p@ss/' },
    },
    'redis://user@host': { login: { username: 'user', password: '' } },
    'REDIS://host?family=6': { family: 6 },
    'rediss://host?ca=/etc/ca.pem&cert=/etc/our.pem&key=/etc/our.key&servername=redis.example.com': {
      trust: { ca: '/etc/ca.pem', cert: '/etc/our.pem', key: '/etc/our.key', servername: 'redis.example.com' },
    },
    'redis-cluster://u:p@a,b:7001,[::1]:7002': {
      topology: 'cluster',
      nodes: [
        { host: 'a', port: 6379 },
        { host: 'b', port: 7001 },
        { host: '::1', port: 7002 },
      ],
      login: { username: 'u', password: 'p' },
    },
    'rediss-cluster://a/': { topology: 'cluster', tls: true },
    'redis-sentinel://:p@a,b:1/mymaster': {
      topology: 'sentinel',
      sentinels: [
        { host: 'a', port: 26379 },
        { host: 'b', port: 1 },
      ],
      primary: 'mymaster',
      db: 0,
      sentinelTls: false,
      sentinelLogin: {},
    },
    'rediss-sentinel://a/my-master/2?sentinel_user=s&sentinel_password=hu%26sh&sentinel_tls=false': {
      tls: true,
      primary: 'my-master',
      db: 2,
      sentinelTls: false,
      sentinelLogin: { username: 's', password: 'hu&sh' },
    },
    'redis-sentinel://a/m?sentinel_tls=true&ca=/etc/ca.pem': {
      tls: false,
      sentinelTls: true,
      trust: { ca: '/etc/ca.pem' },
    },
  }
  test.each(Object.entries(sound))('%s', (text, expected) => {
    expect(addressOf(text)).toMatchObject(expected)
  })

  const wrong: Record<string, RegExp> = {
    'http://host': /^must begin with redis:\/\/ or rediss:\/\//,
    'host:6379': /^must begin with/,
    'redis-clusters://host': /did you mean redis-cluster:\/\/\?/,
    'redis+sentinel://host/m': /did you mean redis-sentinel:\/\/\?/,
    'redis://': /names no host/,
    'redis://user:hush@': /names no host/,
    'redis://host:99999': /not a valid address/,
    'redis://user:hu/sh@host': /not a valid address.*%XX/,
    'redis://user:hu#sh@host': /#.*%23/,
    'redis://user:hu?sh=x@host': /not a valid address.*%XX/,
    'redis://user:hu%sh@host': /% that is not followed by two hex digits/,
    'redis://a,b': /several hosts.*redis-cluster:\/\/.*redis-sentinel:\/\//,
    'redis://host/db1': /database that is not a number/,
    'redis://host?tls=true': /unknown parameter tls: known are family/,
    'redis://host?famly=4': /unknown parameter famly: did you mean family\?/,
    'redis://host?family=5': /family, which must be 4 or 6/,
    'redis://host?family=4&family=6': /family twice/,
    'rediss://host?ca=': /ca without a value/,
    'rediss://host?rejectUnauthorized=false': /unknown parameter rejectUnauthorized/,
    'rediss://host?cert=/a': /cert and key/,
    'rediss://host?server_nme=x': /did you mean servername\?/,
    'redis://host?ca=/etc/ca.pem': /ca, which means something only with rediss:\/\//,
    'redis://host?sentinel_password=hush': /sentinel_password, which means something only with sentinels/,
    'redis-cluster://host/1': /a cluster has only one/,
    'redis-cluster://a,,b': /not a valid address/,
    'redis-cluster://u:hush@a:1,u:hush@b:2': /the login is written once/,
    'redis://u:hush@a,u:hush@b': /the login is written once/,
    'redis-sentinel://a,b': /must name the primary/,
    'redis-sentinel://a/m/x': /database that is not a number/,
    'redis-sentinel://a/m?sentinel_pasword=hush': /did you mean sentinel_password\?/,
    'redis-sentinel://a/m?sentinel_tls=yes': /must be true or false/,
  }
  test.each(Object.entries(wrong))('%s is refused', (text, words) => {
    expect(problemOf(text)).toMatch(words)
    expect(problemOf(text)).not.toContain('hush')
  })

  test('no problem repeats a password, wherever its odd characters are', () => {
    const password = fc
      .string({ unit: fc.constantFrom(...'abXY09@:/?#&=%,[] +'), minLength: 0, maxLength: 12 })
      .map((text) => `S3cr3t${text}S3cr3t`)
    const shape = fc.constantFrom(
      'redis://user:!@host:6379',
      'redis-cluster://:!@a,b',
      'redis-sentinel://u:!@a/m',
      'redis-sentinel://a/m?sentinel_password=!',
      'redis://host?!',
      'rediss://host?!=x',
    )
    fc.assert(
      fc.property(shape, password, (text, secret) => {
        const problem = problemOf(text.replace('!', () => secret))
        if (problem === 'none') return
        expect(problem).not.toMatch(/S3cr3t/i)
      }),
      { numRuns: 2_000 },
    )
  })

  test('its place holds hosts and ports only', () => {
    expect(hostList(addressOf('redis-sentinel://u:hush@a,[::1]:2/m?sentinel_password=hush'))).toBe('a:26379,[::1]:2')
  })
})
