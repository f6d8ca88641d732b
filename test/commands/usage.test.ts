// Everything about calling commands for which no database is needed.
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { catalogue, commandNames } from '../../src/commands/catalogue.ts'
import { readCall, UsageError } from '../../src/commands/command.ts'
import { runCommand } from '../../src/commands/run.ts'
import { importFieldNames } from '../../src/import/fields.ts'
import { keepingTerminal, run } from './reconsent.ts'

describe('help', () => {
  test('of import names every field that it reads', async () => {
    const { stdout } = await run(['import', '--help'])
    for (const name of importFieldNames) expect(stdout).toMatch(new RegExp(`\\b${name}\\b`))
  })

  test.each([
    ['start', ['web', 'worker', 'scheduler']],
    ['close', ['revoked', 'opted-out']],
  ])('of %s explains each of its words in a line of its own', async (name, words) => {
    const { stdout } = await run([name, '--help'])
    for (const word of words) expect(stdout).toMatch(new RegExp(`^  ${word} +\\S`, 'm'))
  })

  test('of the program names every command, also as a real process with exit code 0', async () => {
    const { code, stdout, stderr } = await run(['--help'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const name of commandNames) expect(stdout).toMatch(new RegExp(`^  ${name} +\\S`, 'm'))
  })

  test.each(commandNames)('of %s says how to call it, every option, and an example', async (name) => {
    const { command } = (await catalogue[name]?.load()) ?? {}
    for (const argv of [
      [name, '--help'],
      [name, '-h'],
      ['help', name],
    ]) {
      const { terminal, kept } = keepingTerminal()
      expect(await runCommand(argv, terminal)).toBe(0)
      const text = kept.stdout
      expect(text).toContain(`Usage: reconsent ${command?.usage}`)
      for (const option of Object.keys(command?.options ?? {})) expect(text).toContain(`--${option}`)
      expect(text).toContain(`  reconsent ${name}`)
      expect(kept.stderr).toBe('')
    }
  })

  test('without a command is on standard error, exit code 2', async () => {
    const { code, stdout, stderr } = await run([])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('Usage: reconsent COMMAND')
  })
})

describe('wrong usage', () => {
  const table: Record<string, [string[], RegExp]> = {
    'an unknown command names the nearest': [['lits'], /unknown command "lits": did you mean list\?/],
    'an unknown command that is like none': [['frobnicate'], /unknown command "frobnicate"\n/],
    'an unknown option names the nearest': [
      ['list', '--statu', 'active'],
      /unknown option --statu: did you mean --status\?/,
    ],
    'an option before the command': [['--json', 'list'], /--json comes before the command/],
    'a missing argument': [['show'], /ID is missing: reconsent show ID/],
    'an argument too many': [['show', 'a', 'b'], /"b" is one argument too many/],
    'a value for a switch': [['list', '--json=yes'], /--json takes no value/],
    'no value for an option': [['renew', 'a', '--reason'], /--reason needs a value/],
    'an empty value': [['renew', 'a', '--reason='], /--reason needs a value/],
    'another option for a value': [
      ['renew', 'a', '--reason', '--resend'],
      /--reason needs a value, but --resend follows/,
    ],
    'an option twice': [['list', '--user', 'a', '--user', 'b'], /--user is given twice/],
    'renew without a reason': [['renew', 'a'], /--reason is missing/],
    'close without --as': [['close', 'a'], /--as is missing/],
    'close as something else': [
      ['close', 'a', '--as', 'revokd'],
      /must be one of revoked, opted-out: did you mean revoked\?/,
    ],
    'list of an unknown status': [['list', '--status', 'activ'], /did you mean active\?/],
    'list before no date': [['list', '--expires-before', 'soon'], /--expires-before must be a date/],
    'list with no number': [['list', '--limit', 'many'], /--limit must be a whole number/],
    'start with an unknown role': [['start', '--roles', 'web,wroker'], /unknown role "wroker": did you mean worker\?/],
    'import of no file': [['import', '/nowhere/consents.csv'], /the file does not exist/],
    'import of a folder': [['import', '/tmp'], /this is a folder/],
    'import in an unknown format': [['import', '-', '--format', 'xml'], /must be one of ndjson, csv/],
    'the simulator with an unknown switch': [
      ['simulator', '--switch', 'rotate_refresh_token=always'],
      /unknown switch/,
    ],
    'the simulator with a switch without a value': [
      ['simulator', '--switch', 'rotate_refresh_tokens'],
      /--switch needs NAME=VALUE/,
    ],
    'the simulator with an unknown fault': [['simulator', '--fault', 'exchange:nonsense'], /unknown fault "nonsense"/],
    'the simulator on no port': [['simulator', '--port', '99999'], /--port must be a whole number from 0 to 65535/],
  }
  test.each(Object.entries(table))('%s', async (_, [argv, words]) => {
    const { terminal, kept } = keepingTerminal()
    expect(await runCommand(argv, terminal)).toBe(2)
    expect(kept.stderr).toMatch(words)
    expect(kept.stderr).toMatch(/See: reconsent .*--help\n$/)
    expect(kept.stdout).toBe('')
  })

  test('is exit code 2 of the process, on standard error', async () => {
    const { code, stdout, stderr } = await run(['lits'])
    expect({ code, stdout, stderr }).toEqual({
      code: 2,
      stdout: '',
      stderr: 'unknown command "lits": did you mean list?\nSee: reconsent --help\n',
    })
  })
})

describe('wrong configuration', () => {
  test('is reported all at once by name, exit code 2, before anything is touched', async () => {
    const { code, stderr } = await run(['start'], {
      env: { PORT: 'http', ENCRYPTION_KEYS: 'k1:c2hvcnQ=', PUBLIC_URL: 'http://consents.example.com' },
    })
    expect(code).toBe(2)
    for (const name of [
      'DATABASE_URL',
      'REDIS_URL',
      'TRUELAYER_CLIENT_ID',
      'TRUELAYER_CLIENT_SECRET',
      'PUBLIC_URL',
      'PORT',
      'ENCRYPTION_KEYS',
      'SMTP_URL',
      'MAIL_FROM',
    ]) {
      expect(stderr).toMatch(new RegExp(`^  ${name}: `, 'm'))
    }
    expect(stderr).not.toContain('c2hvcnQ')
  })

  test('of values that a command does not need does not matter', async () => {
    const { code, stderr } = await run(['list'], {
      env: { DATABASE_URL: 'postgres://nobody:hush@127.0.0.1:1/x', SMTP_URL: 'nonsense' },
    })
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'the database could not be reached: nothing listens at DATABASE_URL (ECONNREFUSED)\n',
    })
  })

  test('of the policy file is reported by its key', async () => {
    const cwd = await mkdtemp(join(tmpdir(), 'reconsent-config-'))
    await writeFile(join(cwd, 'worker.config.ts'), "export default { ladder: ['-14d'], quiethours: false }\n")
    const { code, stderr } = await run(['list'], { env: { DATABASE_URL: 'postgres://localhost:1/x' }, cwd })
    expect(code).toBe(2)
    expect(stderr).toMatch(/quiethours.*quietHours/)
  })
})

test('the values of options arrive as they were given', () => {
  const command = {
    usage: 'x',
    about: '',
    arguments: ['ID'],
    options: { many: { type: 'string', multiple: true, help: '' }, flag: { type: 'boolean', help: '' } },
    examples: [],
    run: async () => 0,
  } as const
  const call = readCall(command, ['--many', 'a', 'the-id', '--many=--b', '--flag'], keepingTerminal().terminal)
  expect([call.arg('ID'), call.texts('many'), call.flag('flag'), call.text('other')]).toEqual([
    'the-id',
    ['a', '--b'],
    true,
    undefined,
  ])
  expect(() => readCall(command, ['--many', '--', 'x'], keepingTerminal().terminal)).toThrow(UsageError)
})
