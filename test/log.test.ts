// What a log line holds and, above all, what it does not hold: a planted secret must not appear, wherever it was
// planted.
import { createSecretKey } from 'node:crypto'
import { AsyncLocalStorage } from 'node:async_hooks'
import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { DateTime, Duration } from 'luxon'
import { describe, expect, test } from 'vitest'
import { DecryptionFailed } from '../src/crypto/envelope.ts'
import { PermanentError, TransientError } from '../src/errors.ts'
import { makeLog } from '../src/log.ts'
import type { LogFields, LogLevel } from '../src/log.ts'
import { clean, scrub } from '../src/log/clean.ts'
import { Secret } from '../src/secret.ts'

/** A log that keeps its lines in memory. */
const aLog = (level: LogLevel = 'debug') => {
  const lines: string[] = []
  const log = makeLog({ level, to: { write: (line: string) => void lines.push(line) } })
  return { log, lines, entries: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) }
}

const logged = (fields: object): Record<string, unknown> => {
  const { log, entries } = aLog()
  log.info(fields as LogFields, 'what happened')
  return entries()[0] ?? {}
}

const words = (text: string): string[] => text.trim().split(/\s+/)

const planted = 'pLaNtEd0123456789'

describe('a log line', () => {
  test('is JSON with its level by name, its time, the fields and the message', () => {
    expect(logged({ consentId: 'c-1', attempts: 3 })).toMatchObject({
      level: 'info',
      consentId: 'c-1',
      attempts: 3,
      msg: 'what happened',
    })
    expect(logged({})['time']).toMatch(/^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/)
  })

  test('below the level is not written', () => {
    const { log, lines } = aLog('warn')
    log.debug({}, 'no')
    log.info({}, 'no')
    log.warn({}, 'yes')
    log.error({}, 'yes')
    expect(lines).toHaveLength(2)
    const silent = aLog('silent')
    silent.log.error({}, 'no')
    expect(silent.lines).toEqual([])
  })

  test('of a child has the fields of all its parents, cleaned', () => {
    const { log, entries } = aLog()
    log.child({ role: 'worker' }).child({ token: planted, consentId: 'c-1' }).warn({ code: 'cycle-closed' }, 'lost it')
    expect(entries()[0]).toMatchObject({
      role: 'worker',
      token: '[censored]',
      consentId: 'c-1',
      code: 'cycle-closed',
      msg: 'lost it',
    })
  })

  test('shows dates and durations readably', () => {
    expect(
      logged({
        at: DateTime.utc(2026, 11, 23),
        took: Duration.fromObject({ minutes: 5 }),
        on: new Date(0),
        big: 5n,
        not: new Date(NaN),
      }),
    ).toMatchObject({
      at: '2026-11-23T00:00:00.000Z',
      took: 'PT5M',
      on: '1970-01-01T00:00:00.000Z',
      big: '5',
      not: 'invalid date',
    })
  })

  test('shows a Secret as a mark, wherever it is', () => {
    const secret = new Secret(planted)
    expect(logged({ secret, list: [secret], deep: { token: secret } })).toMatchObject({
      secret: '[secret]',
      list: ['[secret]'],
      deep: { token: '[secret]' },
    })
  })
})

describe('errors', () => {
  test('our own have name, code and the message of their code', () => {
    expect(logged({ err: new TransientError('provider-timeout') })['err']).toEqual({
      name: 'TransientError',
      code: 'provider-timeout',
      message: 'the provider did not answer in time',
    })
  })

  test('a sealed column that does not open is logged with the cause', () => {
    expect(logged({ err: new DecryptionFailed('unknown-key', 'k1') })['err']).toMatchObject({
      code: 'decryption-failed',
      reason: 'unknown-key',
    })
  })

  test('foreign ones have name, code and the place in our source, and nothing else', () => {
    const error = Object.assign(new TypeError(`cannot send ${planted}`, { cause: new Error(planted) }), {
      code: 'ECONNREFUSED',
      options: { headers: { authorization: planted } },
      config: { url: planted },
      response: { body: planted },
      stack: undefined,
    })
    expect(logged({ err: error })['err']).toEqual({ name: 'TypeError', code: 'ECONNREFUSED' })
  })

  test('thrown in our source are logged with the place there', () => {
    const error = (() => {
      try {
        return scrub(undefined as unknown as string)
      } catch (thrown) {
        return Object.assign(thrown as Error, { name: 'RenamedError' })
      }
    })()
    const { name, at } = clean(error) as { name: string; at: string[] }
    expect(name).toBe('RenamedError')
    expect(at[0]).toMatch(/^src\/log\/clean\.ts:\d+$/)
  })

  test('a message that imitates a stack is not taken for a stack', () => {
    const forged = new Error(`x\n    at f (/home/src/${planted.toLowerCase().replaceAll(/\d/g, '')}.ts:1:1)`)
    expect(JSON.stringify(clean(forged))).not.toContain('planted')
    const reworded = new Error('short')
    for (const message of ['short', '']) {
      reworded.message = message
      reworded.stack = `Error: other\n    at f (/home/src/planted.ts:1:1)`
      expect(JSON.stringify(clean(reworded))).not.toContain('planted')
    }
  })

  test.each(['name', 'message', 'stack', 'code', 'cause', 'options', 'input', 'errno', 'detail', 'response'])(
    'a secret in the %s stays out',
    (property) => {
      for (const value of [planted, { [planted]: planted }, [planted]]) {
        const error = Object.assign(new Error('x'), { [property]: value })
        const { log, lines } = aLog()
        log.error(error, 'as the fields')
        log.error({ err: error }, 'as err')
        log.error({ list: [{ inner: error }] }, 'deep')
        expect(lines).toHaveLength(3)
        expect(lines.join()).not.toContain(planted)
      }
    },
  )

  test('passed as the fields themselves are logged as err', () => {
    expect(logged(new PermanentError('no-channel'))['err']).toMatchObject({ code: 'no-channel' })
  })
})

const sensitive = words(`
  refresh_token refreshToken access_token id_token token tokens code state email e-mail phone authorization
  Authorization url URL link startLink to cookie set-cookie password OPS_PASSWORD client_secret codeVerifier
  code_verifier body query headers options config cause SMTP_URL databaseUrl redirect_uri user_input_link name
  recipient html text subject exchange_code userEmail phone_number apiKey ENCRYPTION_KEYS
`)

describe('keys whose values are sensitive', () => {
  test.each(sensitive)('%s is censored at any depth', (key) => {
    for (const value of [planted, { a: planted }, [planted], 447_700_900_123]) {
      expect(logged({ [key]: value })[key]).toBe('[censored]')
      expect(logged({ a: [{ b: { [key]: value } }] })['a']).toEqual([{ b: { [key]: '[censored]' } }])
    }
  })

  test('harmless values are shown all the same: our own error codes, counts, yes and no', () => {
    const fields = { code: 'message-refused', state: null, email: true, links: 3, token: undefined }
    expect(logged(fields)).toMatchObject({ code: 'message-refused', state: null, email: true, links: 3 })
    expect(logged({ code: 550 })['code']).toBe(550)
  })

  test('ids, words and counts that are not sensitive are shown', () => {
    const fields = {
      consentId: '0198a6c2-1234-7abc-8def-0123456789ab',
      queue: 'reauth',
      status: 'issued',
      tokenVersion: 4,
      fencingToken: 5,
      rung: '-14d',
    }
    expect(logged(fields)).toMatchObject(fields)
  })

  test('a secret under a sensitive key stays out at any nesting of objects and lists', () => {
    const inside = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.constant(planted),
        fc.dictionary(fc.string(), tie('value')),
        fc.array(tie('value'), { maxLength: 3 }),
      ),
    })).value
    fc.assert(
      fc.property(
        fc.constantFrom(...sensitive),
        inside,
        fc.array(fc.constantFrom('a', 'job', 'data'), { maxLength: 4 }),
        (key, value, above) => {
          const fields = above.reduce<object>((inner, name) => ({ [name]: inner }), { [key]: value })
          expect(JSON.stringify(logged(fields))).not.toContain(planted)
        },
      ),
    )
  })
})

describe('foreign objects', () => {
  test('are named, not shown', () => {
    class Client {
      readonly password = planted
      toJSON() {
        return planted
      }
    }
    const map = new Map([[planted, planted]])
    const all = [
      new Client(),
      map,
      new Set([planted]),
      Buffer.from(planted),
      new URL(`https://x.example/${planted}`),
      createSecretKey(Buffer.from(planted)),
    ]
    for (const value of [...all, new AsyncLocalStorage()]) expect(clean({ value })).toEqual({ value: '[object]' })
    expect(logged(new Client())['fields']).toBe('[object]')
  })

  test('functions, symbols, getters, loops and depth do no harm', () => {
    const loop: Record<string, unknown> = { fn: () => planted, symbol: Symbol(planted) }
    loop['self'] = loop
    Object.defineProperty(loop, 'getter', {
      enumerable: true,
      get: () => {
        throw new Error(planted)
      },
    })
    expect(clean(loop)).toEqual({ self: '[circular]', getter: '[censored]' })
    const deep = Array.from({ length: 50 }).reduce<object>((inner) => ({ inner }), { planted })
    expect(JSON.stringify(clean(deep))).toContain('[too deep]')
    expect((clean(Array.from({ length: 10_000 }, () => 1)) as unknown[]).length).toBe(100)
  })

  test('any value at all can be logged', () => {
    fc.assert(
      fc.property(
        fc.anything({
          withBigInt: true,
          withDate: true,
          withMap: true,
          withNullPrototype: true,
          withSparseArray: true,
          withTypedArray: true,
        }),
        (value) => {
          const { log, lines } = aLog()
          log.info({ value }, 'anything')
          expect(() => JSON.parse(lines[0] ?? '') as unknown).not.toThrow()
        },
      ),
    )
  })
})

describe('free text, also the message', () => {
  test.each([
    ['an address', 'mail to ann.other+x@mail.example.co.uk failed', 'mail to [censored] failed'],
    ['an address in brackets', 'to "Ann" <ann@example.com>', 'to "Ann" <[censored]>'],
    ['a link of ours', 'GET https://consents.example.com/r/abcDEF', 'GET https://consents.example.com/…'],
    ['a link of a bank', 'https://bank.example?a=b#c', 'https://bank.example/…'],
    ['a server with a password', 'postgres://user:p%40ss@db:5432/reconsent', 'postgres://db:5432/…'],
    ['where we listen', 'listening on http://127.0.0.1:3000', 'listening on http://127.0.0.1:3000'],
    ['a JSON Web Token', 'Bearer eyJhbGciOi.eyJzdWIi.sIgN-a_', 'Bearer [censored]'],
    ['a sealed cell', 'v1.k1.AAAAAAAAAAAAAAAA.BBBB_-BB left', '[censored] left'],
    ['a query', 'POST ?code=abc123&state=xyz', 'POST ?code=[censored]&state=[censored]'],
  ])('%s is taken out', (_, text, shown) => {
    expect(scrub(text)).toBe(shown)
    expect(logged({ detail: text, list: [text], [text]: 1 })).toMatchObject({
      detail: shown,
      list: [shown],
      [shown]: 1,
    })
    const { log, entries } = aLog()
    log.warn({}, text)
    expect(entries()[0]?.['msg']).toBe(shown)
  })

  test('is cut at 2000 characters, between words, and never slow', () => {
    const long = `${'x'.repeat(1990)} ann@example.com`
    expect(scrub(long)).toBe(`${'x'.repeat(1990)} …`)
    for (const character of ['a', '@', '.', 'a@', 'a.', '://', 'eyJ.', 'v1.'])
      expect(scrub(character.repeat(1_000_000)).length).toBeLessThan(10_000)
  })
})

describe('on a terminal', () => {
  const script = `
    import { makeLog } from ${JSON.stringify(new URL('../src/log.ts', import.meta.url).href)}
    const log = makeLog({ level: 'info', pretty: process.argv[1] === 'pretty' })
    log.info({ consentId: 'c-1', token: 'planted' }, 'hello')`
  const run = (how: string): string =>
    execFileSync(process.execPath, ['--input-type=module', '-e', script, how], { encoding: 'utf8' })

  test('lines are pretty, and cleaned; elsewhere they are JSON', () => {
    expect(run('pretty')).toMatch(/INFO.*hello[^]*consentId: "c-1"[^]*token: "\[censored\]"/)
    expect(JSON.parse(run('json'))).toMatchObject({ msg: 'hello', token: '[censored]' })
  })
})
