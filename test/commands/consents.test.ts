// The commands on a real database and as real processes: what they print, their JSON, their exit codes.
import { execFileSync, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DateTime } from 'luxon'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { readMigrations } from '../../src/store/migrate.ts'
import { importFieldNames } from '../../src/import/fields.ts'
import { keyText } from '../crypto/keys.ts'
import { aLine, ndjson } from '../import/rows.ts'
import { createDatabase } from '../setup/database.ts'
import { environmentFor, type Ran, run as runProcess, runHere, start } from './reconsent.ts'

let env: Record<string, string>
let client: pg.Client
let cwd: string
beforeAll(async () => {
  const url = await createDatabase()
  env = environmentFor(url)
  client = new pg.Client({ connectionString: url })
  await client.connect()
  cwd = await mkdtemp(join(tmpdir(), 'reconsent-commands-'))
  await writeFile(
    join(cwd, 'worker.config.ts'),
    "export default { company: { name: 'Brightside' }, quietHours: false, spread: false }\n",
  )
})
afterAll(async () => client.end())

/** Runs the command as a real process, for what only a process can show: its standard input and its exit code. */
const runReal = async (
  args: readonly string[],
  over: Record<string, string | undefined> = {},
  input = '',
): Promise<Ran> => runProcess(args, { env: { ...env, ...over }, input, cwd })
const run = async (args: readonly string[], over: Record<string, string | undefined> = {}): Promise<Ran> =>
  runHere(args, { ...env, RECONSENT_CONFIG: join(cwd, 'worker.config.ts'), ...over })
const importLines = async (lines: readonly Record<string, unknown>[], ...options: string[]): Promise<Ran> => {
  const file = join(cwd, `${randomUUID()}.ndjson`)
  await writeFile(file, ndjson(lines))
  return run(['import', file, ...options])
}
const runJson = async (...args: string[]): Promise<Record<string, unknown>> => {
  const { stdout, stderr, code } = await run([...args, '--json'])
  if (stdout === '') throw new Error(`${args[0]} ended with ${code}: ${stderr}`)
  return JSON.parse(stdout) as Record<string, unknown>
}
const inDays = (days: number): string => DateTime.utc().plus({ days }).toISO()
const add = async (over: Record<string, unknown> = {}): Promise<string> => {
  const line = aLine({ expires_at: inDays(60), ...over })
  await importLines([line])
  return String(line['credentials_id'])
}
/** Everything that a read-only command must leave unchanged. */
const everything = async (): Promise<string> => {
  const tables = ['consents', 'renewals', 'authorisations', 'notifications', 'events', 'sweeps', 'message_hours']
  const rows: unknown[] = []
  for (const name of tables) rows.push(...(await client.query(`SELECT * FROM ${name} ORDER BY 1, 2`)).rows)
  return JSON.stringify(rows)
}

describe('import', () => {
  test('takes NDJSON from standard input, reports bad lines, and ends with 1 when there were any', async () => {
    const good = aLine({ expires_at: inDays(60) })
    const { code, stdout, stderr } = await runReal(
      ['import', '-'],
      {},
      ndjson([good, aLine({ refresh_token: 'top-secret', user_id: '' })]),
    )
    expect({ code, stdout, stderr }).toEqual({
      code: 1,
      stdout: '2 rows, 1 created, 0 updated, 0 repaired, 0 unchanged, 0 superseded, 1 bad\n',
      stderr: 'line 2: user_id: is missing\n',
    })
    expect(await importLines([good])).toMatchObject({ code: 0, stdout: expect.stringContaining('1 unchanged') })
  })

  test('takes CSV from a file by its name, and answers in JSON', async () => {
    const line = aLine({ expires_at: inDays(60) })
    const file = join(cwd, 'consents.csv')
    await writeFile(file, `${Object.keys(line).join(',')}\n${Object.values(line).join(',')}\nonly,three,columns\n`)
    const { code, stdout } = await runReal(['import', file, '--json'])
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toEqual({
      rows: 2,
      created: 1,
      unchanged: 0,
      updated: 0,
      repaired: 0,
      superseded: 0,
      bad: 1,
      warnings: 0,
      problems: [{ line: 3, what: 'has 3 columns where the header has 8' }],
      problems_left_off: 0,
    })
  })

  test('of a file that is no import file ends with 1 and says why; without keys with 2', async () => {
    expect(await runReal(['import', '-'], {}, '[{"credentials_id":"x"}]')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('one object per line'),
    })
    expect(await run(['import', '-'], { ENCRYPTION_KEYS: undefined })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('ENCRYPTION_KEYS'),
    })
  })

  test('reads a named pipe; says that a folder is a folder, and that nothing was read from an empty file', async () => {
    const pipe = join(cwd, 'pipe.csv')
    execFileSync('mkfifo', [pipe])
    const line = aLine({ expires_at: inDays(60) })
    const [ran] = await Promise.all([
      runReal(['import', pipe]),
      writeFile(pipe, `${Object.keys(line).join('\t')}\r${Object.values(line).join('\t')}\r`),
    ])
    expect(ran).toMatchObject({ code: 0, stdout: expect.stringContaining('1 row, 1 created'), stderr: '' })
    expect(await run(['import', cwd])).toMatchObject({ code: 2, stderr: expect.stringContaining('folder') })
    expect(await run(['import', join(cwd, 'nowhere.csv')])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('does not exist'),
    })
    const header = join(cwd, 'header.csv')
    await writeFile(header, Object.keys(line).join(';'))
    for (const empty of ['/dev/null', header])
      expect(await run(['import', empty])).toMatchObject({
        code: 0,
        stdout: expect.stringContaining('0 rows'),
        stderr: expect.stringContaining('nothing but a header'),
      })
  })

  test('demands https when the provider is TrueLayer’s production', async () => {
    const line = aLine({ expires_at: inDays(60), redirect_uri: 'http://127.0.0.1:3000/callback' })
    expect(
      await runReal(['import', '-'], { TRUELAYER_AUTH_URL: undefined, TRUELAYER_API_URL: undefined }, ndjson([line])),
    ).toMatchObject({ code: 1, stderr: 'line 1: redirect_uri: must begin with https://\n' })
    expect(await importLines([line])).toMatchObject({ code: 0 })
  })

  test('of a sheet that has shortened its ids refuses those rows, so that no consent replaces another', async () => {
    const header = 'credentials_id;refresh_token;provider_id;country;redirect_uri;user_id;expires_at;name'
    const row = (id: string, user: string, days: number): string =>
      `${id};t${days};uk-ob-monzo;GB;https://app.example.com/cb;${user};${inDays(days)};`
    const sheet = [
      `sep=;`,
      header,
      row('sheet-alice', '1,23457E+15', 30),
      row('sheet-bob', '1,23457E+15', 60),
      row('1.23457E+15', 'carol', 60),
      ';;;;;;;',
      row('sheet-dan', 'dan', 60),
    ]
    const { code, stdout, stderr } = await runReal(['import', '-'], {}, `\uFEFF${sheet.join('\r\n')}`)
    expect({ code, stdout }).toEqual({
      code: 1,
      stdout: '4 rows, 1 created, 0 updated, 0 repaired, 0 unchanged, 0 superseded, 3 bad\n',
    })
    expect(stderr).toMatch(
      /\bline 3: user_id: looks like a number that a spreadsheet shortened.*as text in the spreadsheet/,
    )
    expect(stderr).toMatch(/\nline 4: user_id: .*\nline 5: credentials_id: /)
    expect((await run(['show', 'sheet-alice'])).code).toBe(1)
  })

  test('with nothing but warnings ends with 0, and keeps the stored values', async () => {
    const line = aLine({ expires_at: inDays(60), name: 'Ada' })
    await importLines([line])
    const { code, stdout, stderr } = await importLines([
      { ...line, email: 'ada at example', name: '#REF!', scopes: 7, locale: 'tlh' },
    ])
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: '1 row, 0 created, 0 updated, 0 repaired, 1 unchanged, 0 superseded, 0 bad, 4 warnings\n',
    })
    expect(stderr.match(/^line 1: warning: (?:email|name|scopes|locale): .* left out/gm)).toHaveLength(4)
    const stored = await client.query('SELECT email, name FROM consents WHERE credentials_id = $1', [
      line['credentials_id'],
    ])
    expect(stored.rows).toEqual([{ email: 'ada@example.com', name: 'Ada' }])
  })

  test('of two logins at one bank keeps both, and closes the one that a later row supersedes', async () => {
    const older = aLine({ user_id: 'two-logins', expires_at: inDays(30) })
    const newer = aLine({ user_id: 'two-logins', expires_at: inDays(80) })
    expect(await importLines([older, newer])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('2 created, 0 updated, 0 repaired, 0 unchanged, 0 superseded'),
    })
    expect(await importLines([{ ...newer, supersedes: older['credentials_id'] }])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('1 updated, 0 repaired, 0 unchanged, 1 superseded'),
    })
    expect(await runJson('show', String(older['credentials_id']))).toMatchObject({ status: 'superseded' })
    expect(await importLines([aLine({ expires_at: inDays(80), supersedes: older['credentials_id'] })])).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(
        /line 1: warning: supersedes: names the connection of another user \(consent [0-9a-f-]{36}\), left out: /,
      ),
    })
  })

  test('names a workbook as such; refuses a policy that still has supersedeOlder by name', async () => {
    const file = join(cwd, 'consents.xlsx')
    await writeFile(file, 'PK\x03\x04rest of it')
    expect(await run(['import', file])).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('Excel workbook'),
    })
    const old = join(cwd, 'old.config.json')
    await writeFile(old, JSON.stringify({ company: { name: 'Brightside' }, import: { supersedeOlder: false } }))
    expect(await run(['list'], { RECONSENT_CONFIG: old })).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/import.supersedeOlder[^]*field supersedes[^]*reconsent unsupersede/),
    })
  })

  test('with --correct moves an expiry back', async () => {
    const id = await add()
    const { user_id, expires_at: before } = await runJson('show', id)
    const row = aLine({ credentials_id: id, user_id, expires_at: inDays(20) })
    // Its token is another one, and waits beside ours.
    expect(await importLines([row])).toMatchObject({ code: 0, stdout: expect.stringContaining('1 updated') })
    expect(await importLines([row])).toMatchObject({ code: 0, stdout: expect.stringContaining('1 unchanged') })
    expect(await runJson('show', id)).toMatchObject({ has_candidate_token: true, expires_at: before })
    expect(await importLines([row], '--correct')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('1 updated'),
    })
    expect(await runJson('show', id)).toMatchObject({ expires_at: row['expires_at'] })
  })
})

describe('list and show', () => {
  test('list answers an array of consents with the fixed keys, filtered', async () => {
    const id = await add({ user_id: 'listed-user', expires_at: inDays(5) })
    const { code, stdout } = await run(['list', '--user', 'listed-user', '--json'], { ENCRYPTION_KEYS: undefined })
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject([
      {
        id: expect.any(String),
        credentials_id: id,
        user_id: 'listed-user',
        provider_id: 'uk-ob-monzo',
        status: 'active',
        phase: 'due',
        cycle: 1,
        expires_at: expect.stringMatching(/Z$/),
        next_action_at: expect.any(String),
        next_action_reason: expect.any(String),
      },
    ])
    expect(JSON.parse((await run(['list', '--user', 'nobody', '--json'])).stdout)).toEqual([])
    expect(
      JSON.parse((await run(['list', '--user', 'listed-user', '--expires-before', '4d', '--json'])).stdout),
    ).toEqual([])
    const table = await run(['list', '--user', 'listed-user', '--expires-before', '6d'])
    expect(table.stdout).toMatch(new RegExp(`^ID .*\\n.* ${id} .* active +due `))
  })

  test('list ends quietly when its reader closes the pipe early', async () => {
    await importLines(Array.from({ length: 1500 }, () => aLine({ expires_at: inDays(60) })))
    const child = start(['list', '--json'], { env, cwd })
    const stderr: string[] = []
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk.toString()))
    const head = spawn('head', ['-c', '100'], { stdio: ['pipe', 'ignore', 'ignore'] })
    head.stdin.on('error', () => undefined)
    child.stdout.pipe(head.stdin)
    head.once('close', () => child.stdout.destroy())
    const [code] = (await once(child, 'close')) as [number | null]
    expect({ code, stderr: stderr.join('') }).toEqual({ code: 0, stderr: '' })
    const all = JSON.parse((await run(['list', '--json'])).stdout) as unknown[]
    expect(all.length).toBeGreaterThan(1500)
    expect(JSON.parse((await run(['list', '--json', '--limit', '1100'])).stdout)).toHaveLength(1100)
  })

  test('show answers the whole history, by either id, without a secret or an address', async () => {
    const id = await add({ refresh_token: 'top-secret-token', email: 'ada@example.org' })
    const shown = await runJson('show', id)
    expect(shown).toMatchObject({
      credentials_id: id,
      renewals: [],
      notifications: [],
      events: [{ seq: 1, type: 'consent.imported', at: expect.any(String), actor: 'company', reason: null }],
    })
    expect(await runJson('show', String(shown['id']))).toEqual(shown)
    const { stdout } = await run(['show', id])
    for (const text of [stdout, JSON.stringify(shown)]) {
      expect(text).not.toContain('top-secret-token')
      expect(text).not.toContain('ada@example.org')
    }
    expect(stdout).toContain('Renewals: none')
  })

  test('show tells every field of an import, but for these', async () => {
    const secretOrPrivate = ['refresh_token', 'redirect_uri', 'email', 'phone', 'name', 'scopes']
    // The day of the expiry is told, the rest by the JSON or the events. When a token was issued decides an order only.
    const otherwise = ['expires_at', 'consented_at', 'supersedes', 'locale', 'time_zone', 'channels', 'token_issued_at']
    const told = importFieldNames.filter((name) => ![...secretOrPrivate, ...otherwise].includes(name))
    const texts = Object.fromEntries(told.map((name) => [name, `the ${name}`]))
    const line: Record<string, unknown> = { ...texts, ...aLine({ expires_at: inDays(60) }) }
    await importLines([line])
    const { stdout } = await run(['show', String(line['credentials_id'])])
    expect(told.filter((name) => !stdout.includes(String(line[name])))).toEqual([])
  })

  test('an unknown id ends with 1 and one line', async () => {
    expect(await runReal(['show', 'nobody'])).toEqual({
      code: 1,
      stdout: '',
      stderr: 'there is no consent with this id or credentials_id\n',
    })
  })
})

describe('explain', () => {
  test('shows every rule looked at, the next action and its date, each rung, and what was suppressed why', async () => {
    const id = await add({ expires_at: inDays(2) })
    const before = await everything()
    const explained = await runJson('explain', id)
    expect(explained).toMatchObject({
      consent: { credentials_id: id },
      phase: 'due',
      next: { action: 'renew', makes_link: true, message: '-3d', routes: ['reauth'] },
    })
    const trail = explained['trail'] as { rule: string; decided: boolean }[]
    expect(trail.map(({ rule }) => rule)).toEqual([
      'status',
      'exchange in progress',
      'user at the bank',
      'grace window',
      'renewal window',
      'routes of the bank',
      'channel',
      'back-off',
      'owed',
    ])
    expect(trail.filter(({ decided }) => decided)).toMatchObject([{ rule: 'owed' }])
    const rungs = explained['rungs'] as { rung: string; state: string }[]
    expect(rungs.map(({ rung, state }) => `${rung} ${state}`)).toEqual([
      '-14d passed-over',
      '-7d passed-over',
      '-3d owed',
      '-1d coming',
      '0d coming',
      '+7d coming',
      '+30d coming',
      '+60d coming',
      '+83d coming',
    ])
    expect(explained['suppressed']).toEqual([
      '-14d was passed over: rung -3d was due by then: only one message is sent',
      '-7d was passed over: rung -3d was due by then: only one message is sent',
    ])
    const { stdout } = await run(['explain', id])
    expect(stdout).toContain('Next: make a link (reauth), send message -3d')
    expect(await everything()).toBe(before)
  })

  test('of a paused consent says why nothing happens', async () => {
    const id = await add({ expires_at: inDays(2) })
    await run(['pause', id])
    const explained = await runJson('explain', id)
    expect(explained).toMatchObject({ next: { action: 'none', reason: 'the consent is paused' } })
    expect((explained['rungs'] as { state: string }[]).map(({ state }) => state)).toEqual([
      'passed-over',
      'passed-over',
      'stopped',
      'stopped',
      'stopped',
      'stopped',
      'stopped',
      'stopped',
      'stopped',
    ])
  })
})

describe('changing a consent', () => {
  test('pause, resume, renew and close print what they did; the events hold it with its reason', async () => {
    const id = await add()
    expect(await runJson('pause', id, '--reason', 'on holiday')).toMatchObject({
      result: 'done',
      consent: { status: 'paused', next_action_at: null },
    })
    expect(await runJson('pause', id)).toMatchObject({ result: 'unchanged' })
    expect(await run(['renew', id, '--reason', 'called'])).toMatchObject({
      code: 1,
      stdout: '',
      stderr: 'refused: it is paused: resume it first\n',
    })
    expect(await run(['resume', id])).toMatchObject({ code: 0, stdout: expect.stringContaining('resumed') })
    expect(await runJson('renew', id, '--reason', 'called')).toMatchObject({
      result: 'done',
      consent: { status: 'active' },
    })
    expect(await runJson('close', id, '--as', 'opted-out', '--reason', 'had enough')).toMatchObject({
      result: 'done',
      consent: { status: 'opted_out' },
    })
    const { events } = (await runJson('show', id)) as {
      events: { type: string; actor: string; reason: string; seq: number }[]
    }
    expect(events.map(({ type, actor, reason }) => `${type} by ${actor}: ${reason}`)).toEqual([
      'consent.imported by company: null',
      'consent.paused by operator: on holiday',
      'consent.resumed by operator: resumed at the command line',
      'renewal.opened by operator: called',
      'renewal.requested by operator: called',
      'consent.closed by operator: had enough',
    ])
    expect(events.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6])
    expect((await runReal(['resume', id, '--json'])).code).toBe(1)
  })

  test('release takes it out of quarantine', async () => {
    const id = await add()
    await client.query(
      `UPDATE consents SET status = 'quarantined', next_action_at = NULL, mismatches = 3 WHERE credentials_id = $1`,
      [id],
    )
    expect(await runJson('release', id)).toMatchObject({ result: 'done', consent: { status: 'active', mismatches: 0 } })
  })

  test('token prints only the token, after recording an event', async () => {
    const id = await add({ refresh_token: 'shown-token' })
    expect(await runReal(['token', id, '--reason', 'moving'])).toEqual({
      code: 0,
      stdout: 'shown-token\n',
      stderr: '',
    })
    expect(await runJson('show', id)).toMatchObject({
      events: [{}, { type: 'token.shown', actor: 'operator', reason: 'moving' }],
    })
    const { user_id } = await runJson('show', id)
    await importLines([aLine({ credentials_id: id, user_id, refresh_token: 'token-of-an-import' })])
    expect(await run(['token', id])).toMatchObject({
      code: 0,
      stdout: 'token-of-an-import\n',
      stderr: expect.stringContaining('the provider has not accepted it yet'),
    })
    expect(await runJson('token', id)).toMatchObject({ refresh_token: 'token-of-an-import', candidate: true })
    const wrong = await run(['token', id], { ENCRYPTION_KEYS: `k1:${keyText('other')}` })
    expect(wrong).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('decryption-failed') })
  })
})

describe('sweep', () => {
  test('--dry-run says what would be done to which consent and why, and changes nothing', async () => {
    const id = await add({ user_id: 'due-user', expires_at: inDays(2) })
    const before = await everything()
    const { consents, counts } = (await runJson('sweep', '--dry-run')) as {
      consents: Record<string, unknown>[]
      counts: Record<string, number>
    }
    expect(consents.find((one) => one['credentials_id'] === id)).toMatchObject({
      user_id: 'due-user',
      action: 'renew',
      message: '-3d',
      makes_link: true,
      reason: expect.stringContaining('-3d is owed'),
    })
    expect(counts['consents']).toBe(consents.length)
    const { code, stdout, stderr } = await run(['sweep', '--dry-run'])
    expect(code).toBe(0)
    expect(stdout).toMatch(
      new RegExp(`${id} +due-user +uk-ob-monzo +make a link \\(reauth\\), send message -3d +due: message -3d is owed`),
    )
    expect(stderr).toContain('Nothing was changed.')
    expect(await everything()).toBe(before)
  })

  test('enqueues what is due, and says how much', async () => {
    await add({ expires_at: inDays(2) })
    const { code, stdout, stderr } = await runReal(['sweep'], { QUEUE: 'postgres' })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^dispatched [1-9]\d* consents/)
    const { rows } = await client.query<{ dispatched: number }>(
      'SELECT count(*)::int AS dispatched FROM consents WHERE queued_until IS NOT NULL',
    )
    expect(rows[0]?.dispatched).toBeGreaterThan(0)
  })
})

describe('migrate', () => {
  test('makes the tables of an empty database, and says when there is nothing to do', async () => {
    const admin = new pg.Client({ connectionString: inject('postgresUrl') })
    await admin.connect()
    const name = `empty_${Date.now()}`
    await admin.query(`CREATE DATABASE ${name}`)
    await admin.end()
    const url = new URL(env['DATABASE_URL'] ?? '')
    url.pathname = `/${name}`
    const there = { DATABASE_URL: url.href }
    expect(await run(['list'], there)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('run reconsent migrate'),
    })
    expect(JSON.parse((await run(['migrate', '--json'], there)).stdout)).toMatchObject({
      applied: (await readMigrations()).map(({ name: migration }) => migration),
    })
    expect(await run(['migrate'], there)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('the database is up to date'),
      stderr: '',
    })
    expect(await run(['list'], there)).toMatchObject({ code: 0 })
  })
})
