// DATABASE_URL in the spellings that people use: what each part becomes, and that a part we cannot honour is refused by
// name instead of ignored.
import { mkdtemp, chmod } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { startEmbeddedPostgres } from '../../simulator/embedded/postgres.ts'
import { parsePostgresAddress } from '../../src/postgres/address.ts'
import { environmentFor, runHere } from '../commands/reconsent.ts'

const partsOf = (text: string): unknown => {
  const parsed = parsePostgresAddress(text)
  if ('problems' in parsed) return parsed.problems
  const { host, port, user, password, database, schema } = parsed.address
  return [host, port, user, password?.reveal(), database, schema]
}

test.each<[string, unknown]>([
  ['postgres://app:secret@db.internal:5433/reconsent', ['db.internal', 5433, 'app', 'secret', 'reconsent', undefined]],
  ['postgresql://app@db/reconsent', ['db', 5432, 'app', undefined, 'reconsent', undefined]],
  ['postgres://a%40b:p%2Fw%23%3F%25%3A@db/r%20s', ['db', 5432, 'a@b', 'p/w#?%:', 'r s', undefined]],
  ['postgres://app@[::1]:5433/reconsent', ['::1', 5433, 'app', undefined, 'reconsent', undefined]],
  [
    'postgres://app@[fe80::1%25eth0]/reconsent',
    [
      'is not a valid address such as postgres://user:password@host: in user and password, write special ' +
        'characters as %XX',
    ],
  ],
  [
    'postgres://app@/reconsent?host=/var/run/postgresql',
    ['/var/run/postgresql', 5432, 'app', undefined, 'reconsent', undefined],
  ],
  [
    'postgres:///reconsent?host=/var/run/postgresql&port=5433',
    ['/var/run/postgresql', 5433, userInfo().username, undefined, 'reconsent', undefined],
  ],
  [
    'postgres://app:x@localhost/reconsent?host=/var/run/postgresql',
    ['/var/run/postgresql', 5432, 'app', 'x', 'reconsent', undefined],
  ],
  [
    'postgres://app@%2Fvar%2Frun%2Fpostgresql/reconsent',
    ['/var/run/postgresql', 5432, 'app', undefined, 'reconsent', undefined],
  ],
  ['postgres://app@db', ['db', 5432, 'app', undefined, 'app', undefined]],
  ['postgres://app@db/r?schema=consents_app', ['db', 5432, 'app', undefined, 'r', 'consents_app']],
  ['postgres://app@db/r?schema=My%20Consents', ['db', 5432, 'app', undefined, 'r', 'My Consents']],
  [
    'postgres://app@h1:5432,h2:5432/r',
    ['names several hosts: name one, the primary, or a proxy or DNS name that leads to it'],
  ],
  ['postgres://app@h1,h2/r', ['names several hosts: name one, the primary, or a proxy or DNS name that leads to it']],
  [
    'postgres://app@h1:5432,h2',
    ['names several hosts: name one, the primary, or a proxy or DNS name that leads to it'],
  ],
  ['postgres://app:a,b@db/r', ['db', 5432, 'app', 'a,b', 'r', undefined]],
  ['postgres://a,b:c@db:5433', ['db', 5433, 'a,b', 'c', 'a,b', undefined]],
  ['postgres://app:a%00b@db/r', ['has a %00 in it, which no server takes']],
  ['postgres://app@db/r?application_name=a%00b', ['has a %00 in it, which no server takes']],
  ['postgres://app@db/r?schema=100%', ['has a % that is not followed by two hex digits: write % itself as %25']],
  [
    'postgres://app@db/r?schema=$user',
    ['schema must be a name: with none, the search_path of the role may lead to a schema named like the role'],
  ],
  ['postgres://app@/r?host=h1,h2', ['names several hosts: name one, the primary']],
  ['postgres://app@db/r#x', ['has a # in it: write # itself as %23']],
  ['postgres://app@db/r?schema=', ['has the parameter schema without a value']],
  ['postgres://app@db/r?schema=a&schema=b', ['has the parameter "schema" more than once']],
  ['postgres://app@db/r?schema=a,b', ['schema must be one name']],
  ['postgres://app@db/r?schema=pg_catalog', ["schema must not be one of PostgreSQL's own"]],
  [`postgres://app@db/r?schema=${'x'.repeat(64)}`, ['schema must be a name of at most 63 bytes without quotes']],
  ['postgres://app@db/r?connect_timeout=soon', ['connect_timeout must be whole seconds from 1 to 999']],
  ['postgres://app@db/r?pgbouncer=yes', ['pgbouncer must be true or false']],
  ['postgres://app@db/r?port=0', ['port must be a whole number from 1 to 65535']],
  [
    'postgres://app@db/r?pgbouncer=true&sslmode=disable&application_name=us&connect_timeout=5',
    ['db', 5432, 'app', undefined, 'r', undefined],
  ],
])('%s', (text, parts) => {
  expect(partsOf(text)).toEqual(parts)
})

describe('a parameter that would be ignored is refused by name', () => {
  test.each<[string, RegExp]>([
    ['shema=x', /^has an unknown parameter "shema": did you mean schema\?$/],
    ['sslMode=require', /^has an unknown parameter "sslMode": did you mean sslmode\?$/],
    ['ssl_mode=require', /did you mean sslmode\?$/],
    ['ssl-root-cert=x', /did you mean sslrootcert\?$/],
    ['aplication_name=x', /did you mean application_name\?$/],
    ['connection_timeout=5', /did you mean connect_timeout\?$/],
    ['colour=red', /^has an unknown parameter "colour": known are schema, /],
    [
      'connection_limit=5',
      /^has the parameter connection_limit, which means nothing here: .* the pool follows from timing\.concurrency$/,
    ],
    ['search_path=x', /say schema=NAME$/],
    ['options=-csearch_path%3Dx', /poolers refuse it: say schema=NAME for a search_path/],
    ['statement_timeout=5', /the program sets its own time limits$/],
    ['ssl=true', /say sslmode=require, verify-ca or verify-full$/],
    ['sslaccept=strict', /say sslmode/],
    ['target_session_attrs=read-write', /name the primary alone$/],
    ['channel_binding=require', /^channel_binding=require cannot be kept/],
    ['timezone=UTC', /sessions are always in UTC$/],
    ['password=planted', /write it before the @/],
    ['pla%20nted=1', /^has an unknown parameter whose name is no word/],
  ])('%s', (parameter, words) => {
    const problems = partsOf(`postgres://app@db/r?${parameter}`) as string[]
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatch(words)
    expect(problems[0]).not.toMatch(/planted|pla nted/)
  })

  test('by every command, with exit code 2, all at once and with the variable', async () => {
    const env = environmentFor('postgres://app:planted@127.0.0.1:1/r?shema=x&connection_limit=5')
    for (const args of [['list'], ['migrate'], ['verify'], ['doctor']]) {
      const { code, stdout, stderr } = await runHere(args, {
        ...env,
        MIGRATE_DATABASE_URL: 'postgres://owner:planted@127.0.0.1:1/r?sslmod=require',
      })
      expect(code).toBe(args[0] === 'doctor' ? 1 : 2)
      const said = stdout + stderr
      for (const words of [
        /DATABASE_URL:? has an unknown parameter "shema": did you mean schema\?/,
        /connection_limit, which means nothing here/,
        /MIGRATE_DATABASE_URL:? has an unknown parameter "sslmod": did you mean sslmode\?/,
      ])
        expect(said).toMatch(words)
      expect(said).not.toContain('planted')
    }
  })

  test('so is another schema for the owner', async () => {
    const { code, stderr } = await runHere(['migrate'], {
      ...environmentFor('postgres://app@127.0.0.1:1/r?schema=a'),
      MIGRATE_DATABASE_URL: 'postgres://owner@127.0.0.1:1/r?schema=b',
    })
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('MIGRATE_DATABASE_URL: names another schema than DATABASE_URL'),
    ])
  })
})

test('a Unix socket works, and a missing one is reported', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-socket-'))
  await chmod(folder, 0o777)
  const server = await startEmbeddedPostgres({ settings: { unix_socket_directories: folder } })
  const { port } = new URL(server.url)
  const url = `postgres://postgres:embedded@/reconsent?host=${folder}&port=${port}&schema=consents_app&sslmode=require`
  expect(await runHere(['migrate'], environmentFor(url))).toMatchObject({ code: 0 })
  expect(await runHere(['verify'], environmentFor(url))).toMatchObject({ code: 0 })
  await server.stop()
  const gone = await runHere(['list'], environmentFor(url))
  expect([gone.code, gone.stderr]).toEqual([
    1,
    expect.toBeOneOf([
      'the database could not be reached: there is no socket of PostgreSQL in the folder that DATABASE_URL names ' +
        'as host (ENOENT)\n',
      'the database could not be reached: nothing listens at DATABASE_URL (ECONNREFUSED)\n',
    ]),
  ])
})
