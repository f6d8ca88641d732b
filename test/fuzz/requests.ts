// Malformed requests: altered, cut, doubled and forged ones for every address that is open to the internet. fast-check
// draws them, so that a seed repeats them.
import fc from 'fast-check'

/** Part of every value that a sender would keep secret: no log and no answer may ever contain it. */
export const PLANTED = 'pl4nted'

export interface FuzzRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD' | 'OPTIONS' | 'PATCH'
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Buffer | undefined
}

/** The values of genuine requests; most fuzzed requests use these in altered form. */
export interface Honest {
  readonly startTokens: readonly string[]
  readonly states: readonly string[]
  readonly codes: readonly string[]
  readonly doneIds: readonly string[]
  readonly consentIds: readonly string[]
  readonly apiKey: string
  readonly login: string
}

const hostile = fc.constantFrom(
  '',
  ' ',
  '.',
  '..',
  '../../etc/passwd',
  '..\\..\\',
  '\u0000',
  '\r\nset-cookie: a=b',
  '\r\n\r\n',
  "' OR 1=1 --",
  '"; DROP TABLE consents; --',
  '$(id)',
  '`id`',
  '{{7*7}}',
  '${7*7}',
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  'javascript:alert(1)',
  '//evil.example',
  'https://evil.example/',
  '\\\\evil.example',
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'null',
  'undefined',
  'NaN',
  'true',
  '-1',
  '0',
  '1e999',
  '9007199254740993',
  '[object Object]',
  '[]',
  '{}',
  '\uFEFF',
  '\u202E',
  'é',
  'ﬀ',
  '💥',
  '\uD800',
  '%',
  '%%',
  '%00',
  '%ff',
  '%c0%af',
  '%2e%2e%2f',
  '%u0000',
)
const text = fc.oneof(
  hostile,
  fc.string({ maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(1, 42, 43, 44, 200, 201, 512, 513, 4096, 4097, 9000).map((length) => 'a'.repeat(length)),
)

/** The value itself, or the value cut, doubled, with one character replaced, or with other text inserted. */
const bent = (values: readonly string[]): fc.Arbitrary<string> =>
  fc.tuple(fc.constantFrom(...values), fc.nat(7), fc.nat(200), text).map(([value, how, at, junk]) => {
    const place = value === '' ? 0 : at % value.length
    switch (how) {
      case 0:
        return value
      case 1:
        return value.slice(0, place)
      case 2:
        return `${value}${value}`
      case 3:
        return `${value.slice(0, place)}${value[place] === 'A' ? 'B' : 'A'}${value.slice(place + 1)}`
      case 4:
        return `${value.slice(0, place)}${junk}${value.slice(place)}`
      case 5:
        return value.toUpperCase()
      case 6:
        return `${value}=`
      default:
        return value.slice(place)
    }
  })

const percent = (value: string): string => encodeURIComponent(value.toWellFormed())
/** The value itself where an address can hold it, otherwise escaped; `raw` keeps invalid escapes. */
const written = (value: string, raw: boolean): string =>
  raw && /^[!-~]*$/.test(value) ? value.replaceAll(/[?#]/g, '') : percent(value)

const planted = fc.string({ maxLength: 12 }).map((rest) => `${PLANTED}-${rest.replaceAll(/[^\w-]/g, '')}`)
const field = (values: readonly string[]): fc.Arbitrary<string> =>
  fc.oneof({ weight: 3, arbitrary: bent(values) }, { weight: 2, arbitrary: planted }, { weight: 2, arbitrary: text })

/** Names and values, some of them doubled, missing or with brackets. */
const parameters = (honest: Honest): fc.Arbitrary<[string, string][]> =>
  fc.array(
    fc.oneof(
      fc.tuple(fc.constantFrom('state', 'state', 'state', 'state[]', 'State', 'state[a]'), field(honest.states)),
      fc.tuple(fc.constantFrom('code', 'code', 'code', 'code[]'), field(honest.codes)),
      fc.tuple(
        fc.constantFrom('error', 'error_description', 'scope', '__proto__', 'iss'),
        fc.oneof(fc.constant('access_denied'), planted, text),
      ),
      fc.tuple(text, text),
    ),
    { maxLength: 5 },
  )
const wellFormed = (honest: Honest): fc.Arbitrary<[string, string][]> =>
  fc.tuple(field(honest.states), field(honest.codes)).map(([state, code]) => [
    ['state', state],
    ['code', code],
  ])
const query = (honest: Honest): fc.Arbitrary<string> =>
  fc.oneof(
    {
      weight: 9,
      arbitrary: fc
        .tuple(
          fc.oneof({ weight: 2, arbitrary: parameters(honest) }, { weight: 3, arbitrary: wellFormed(honest) }),
          fc.boolean(),
        )
        .map(([pairs, raw]) => pairs.map(([name, value]) => `${written(name, raw)}=${written(value, raw)}`).join('&')),
    },
    { weight: 1, arbitrary: fc.string({ maxLength: 60 }).map((any) => written(any, true)) },
  )

const json = (honest: Honest): fc.Arbitrary<string> =>
  fc.oneof(
    fc.tuple(field(honest.states), field(honest.codes)).map(([state, code]) => JSON.stringify({ state, code })),
    fc.tuple(field(honest.states), fc.oneof(planted, text)).map(([state, error]) => JSON.stringify({ state, error })),
    fc
      .dictionary(fc.constantFrom('state', 'code', 'error', '__proto__', 'x'), fc.oneof(fc.jsonValue(), planted))
      .map((value) => JSON.stringify(value)),
    fc.json(),
    fc.string({ maxLength: 50 }),
    fc.constantFrom(
      '{',
      '[',
      '"',
      '{"state":',
      '{"__proto__":{"state":"a"}}',
      '[]',
      'null',
      '1',
      '['.repeat(5_000),
      '{"a":'.repeat(3_000),
    ),
  )

const types = fc.constantFrom(
  'application/x-www-form-urlencoded',
  'application/json',
  'application/json; charset=utf-8',
  'text/plain',
  'multipart/form-data; boundary=x',
  'application/xml',
  'application/json; charset=bad"',
  'x',
  '',
)
const FORM = 'application/x-www-form-urlencoded'
const mostly = (type: string): fc.Arbitrary<string> =>
  fc.oneof({ weight: 5, arbitrary: fc.constant(type) }, { weight: 1, arbitrary: types })
const headers: fc.Arbitrary<Record<string, string>> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({}) },
  {
    weight: 3,
    arbitrary: fc.dictionary(
      fc.constantFrom(
        'accept-language',
        'origin',
        'referer',
        'sec-fetch-site',
        'x-forwarded-for',
        'x-forwarded-host',
        'x-http-method-override',
        'range',
        'if-none-match',
        'cookie',
        'accept',
        'content-type',
        'expect-ct',
      ),
      fc.oneof(
        fc.constantFrom(
          'de',
          'xx;q=9',
          'en-GB,en;q=0.9,*;q=0.1',
          'cross-site',
          'same-origin',
          'none',
          'https://evil.example',
          'N:x',
          '*/*',
          'bytes=0-',
          'application/json',
          `a=${PLANTED}`,
        ),
        fc.string({ maxLength: 30 }).map((any) => any.replaceAll(/[^ -~]/g, '')),
      ),
      { maxKeys: 3 },
    ),
  },
)
const anyMethod = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH')

const withHeaders = (
  request: fc.Arbitrary<Omit<FuzzRequest, 'headers'> & { headers?: Record<string, string> }>,
): fc.Arbitrary<FuzzRequest> =>
  fc.tuple(request, headers).map(([one, more]) => ({ ...one, headers: { ...more, ...one.headers } }))

const none = fc.constant(undefined)
const callbacks = (honest: Honest) =>
  fc.oneof(
    {
      weight: 3,
      arbitrary: query(honest).map((text) => ({ method: 'GET', url: `/callback?${text}`, body: undefined }) as const),
    },
    {
      weight: 3,
      arbitrary: fc
        .tuple(query(honest), mostly(FORM))
        .map(
          ([body, type]) => ({ method: 'POST', url: '/callback', body, headers: { 'content-type': type } }) as const,
        ),
    },
    {
      weight: 1,
      arbitrary: fc.uint8Array({ maxLength: 200 }).map(
        (bytes) =>
          ({
            method: 'POST',
            url: '/callback',
            body: Buffer.from(bytes),
            headers: { 'content-type': FORM },
          }) as const,
      ),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(anyMethod, query(honest))
        .map(([method, text]) => ({ method, url: `/callback?${text}`, body: undefined }) as const),
    },
  )
const starts = (honest: Honest) =>
  fc
    .tuple(
      fc.constantFrom('GET', 'GET', 'POST', 'HEAD', 'PUT'),
      field(honest.startTokens),
      fc.boolean(),
      fc.oneof({ weight: 4, arbitrary: none }, { weight: 1, arbitrary: text }),
      types,
    )
    .map(([method, token, raw, body, type]) => {
      const sent = method === 'GET' || method === 'HEAD' ? undefined : body
      return {
        method,
        url: `/r/${written(token, raw)}`,
        body: sent,
        ...(sent === undefined ? {} : { headers: { 'content-type': type } }),
      } as const
    })
const dones = (honest: Honest) =>
  fc
    .tuple(field(honest.doneIds), fc.boolean())
    .map(([id, raw]) => ({ method: 'GET', url: `/done/${written(id, raw)}`, body: undefined }) as const)
const api = (honest: Honest) => {
  const authorized = fc.oneof(
    { weight: 5, arbitrary: fc.constant(`Bearer ${honest.apiKey}`) },
    { weight: 1, arbitrary: bent([`Bearer ${honest.apiKey}`]).map((any) => any.replaceAll(/[^ -~]/g, '')) },
    { weight: 1, arbitrary: fc.constantFrom('', 'Bearer', 'Bearer ', 'Basic x', 'bearer a b') },
  )
  return fc.oneof(
    {
      weight: 4,
      arbitrary: fc
        .tuple(json(honest), mostly('application/json'), authorized)
        .map(
          ([body, type, authorization]) =>
            ({ method: 'POST', url: '/v1/callbacks', body, headers: { 'content-type': type, authorization } }) as const,
        ),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(field(honest.consentIds), authorized).map(
        ([id, authorization]) =>
          ({
            method: 'GET',
            url: `/v1/consents/${written(id, false)}`,
            body: undefined,
            headers: { authorization },
          }) as const,
      ),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(text, text, authorized).map(
        ([after, limit, authorization]) =>
          ({
            method: 'GET',
            url: `/v1/events?after=${percent(after)}&limit=${percent(limit)}`,
            body: undefined,
            headers: { authorization },
          }) as const,
      ),
    },
  )
}
const boards = (honest: Honest) =>
  fc
    .tuple(
      fc.constantFrom('GET', 'GET', 'GET', 'PUT', 'POST', 'PATCH', 'DELETE'),
      fc.constantFrom(
        '',
        '/',
        '/api/queues',
        '/api/queues?page=',
        '/api/queues?activeQueue=reauth&status=failed&jobsPerPage=',
        '/api/queues/reauth/',
        '/api/queues/',
        '/api/job-schedulers?',
        '/static/',
        '/queue/',
      ),
      field(['reauth', 'failed', '1', 'no-such-job-1', 'pause', 'clean/failed']),
      fc.oneof(
        { weight: 1, arbitrary: fc.constant({ authorization: honest.login }) },
        {
          weight: 2,
          arbitrary: fc.constantFrom<Record<string, string>[]>(
            {},
            { authorization: 'Basic' },
            { authorization: 'Basic !!' },
            { authorization: `Basic ${PLANTED}` },
            { authorization: honest.login.slice(0, -4) },
          ),
        },
      ),
    )
    .map(
      ([method, path, value, login]) =>
        ({ method, url: `/ops/queues${path}${percent(value)}`, body: undefined, headers: login }) as const,
    )
const nowhere = fc
  .tuple(anyMethod, text)
  .map(([method, path]) => ({ method, url: `/${written(path, true)}`, body: undefined }) as const)

export const aRequest = (honest: Honest): fc.Arbitrary<FuzzRequest> =>
  fc.oneof(
    { weight: 8, arbitrary: withHeaders(callbacks(honest)) },
    { weight: 5, arbitrary: withHeaders(starts(honest)) },
    { weight: 5, arbitrary: withHeaders(api(honest)) },
    { weight: 2, arbitrary: withHeaders(dones(honest)) },
    { weight: 2, arbitrary: withHeaders(boards(honest)) },
    { weight: 1, arbitrary: withHeaders(nowhere) },
  )
