import { describe, expect, inject, test } from 'vitest'
import { examineRedis, readInfo } from '../../src/queue/redis-info.ts'
import { Secret } from '../../src/secret.ts'

const info = (lines: Record<string, string>): string =>
  `# Server\r\n${Object.entries(lines)
    .map(([name, value]) => `${name}:${value}`)
    .join('\r\n')}\r\n`

describe('what Redis says of itself', () => {
  const versions: Record<string, boolean> = {
    '7.0.8': true,
    '7.0.7': false,
    '7.0.15': true,
    '6.2.14': false,
    '7.2.0': true,
    '8.0.0': true,
    '10.0.0': true,
    '': false,
  }
  test.each(Object.entries(versions))('version %s is recent enough: %s', (version, expected) => {
    expect(readInfo(info({ redis_version: version })).isRecentEnough).toBe(expected)
  })

  test('is read from INFO, for Valkey by its own name', () => {
    expect(
      readInfo(
        info({
          redis_version: '7.2.4',
          valkey_version: '8.1.1',
          maxmemory_policy: 'noeviction',
          aof_enabled: '1',
          role: 'master',
        }),
      ),
    ).toEqual({
      version: '8.1.1',
      isValkey: true,
      isRecentEnough: true,
      evictionPolicy: 'noeviction',
      persists: true,
      isReplica: false,
    })
    expect(readInfo(info({ redis_version: '7.0.15', role: 'slave' }))).toMatchObject({
      evictionPolicy: undefined,
      persists: undefined,
      isReplica: true,
    })
  })

  test('is read from a real server', async () => {
    const { trial, servers } = await examineRedis({ url: new Secret(inject('redisUrl')) })
    expect(trial).toEqual({ ok: true })
    expect(servers).toMatchObject([{ info: { isRecentEnough: true, evictionPolicy: 'noeviction' } }])
  })

  test('gives a reason without the login when there is no answer', async () => {
    const answer = await examineRedis({ url: new Secret('redis://user:hush@127.0.0.1:1') })
    expect(answer).toMatchObject({
      trial: { ok: false, word: 'ECONNREFUSED', detail: 'nothing listens there', server: '127.0.0.1:1' },
      servers: [],
    })
    expect(JSON.stringify(answer)).not.toContain('hush')
  })
})
