// Everything about calling commands for which no database is needed.
import { Command, InvalidArgumentError } from '@commander-js/extra-typings'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { catalogue, commandNames } from '../../src/commands/catalogue.ts'
import { each, type Frame, json, text, wholeNumber } from '../../src/commands/command.ts'
import { runCommand } from '../../src/commands/run.ts'
import { importFieldNames } from '../../src/import/fields.ts'
import { keepingTerminal, run } from './reconsent.ts'

/** Runs the command line as a process that lists on standard error, at its end, what it has loaded. */
const runWatched = async (args: readonly string[]) => {
  const watch = `
    import { registerHooks } from 'node:module'
    const loaded = []
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) })
    process.on('exit', () => process.stderr.write(JSON.stringify(loaded)))`
  return run(args, { env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(watch)}` } })
}

const definitionOf = async (name: string): Promise<Command> => {
  const command = new Command(name)
  const { terminal } = keepingTerminal()
  const entry = await catalogue[name]?.load()
  entry?.define(command, { terminal, exits: () => async () => expect.unreachable() })
  return command
}

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

  test('of the program loads commander and the list of commands, and nothing else', async () => {
    const { stderr, code } = await runWatched(['--help'])
    const loaded = JSON.parse(stderr) as string[]
    const packages = loaded.flatMap((url) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? [])
    const own = loaded.flatMap((url) => /\/(src\/.*)$/.exec(url.includes('node_modules') ? '' : url)?.[1] ?? [])
    expect([code, [...new Set(packages)].sort()]).toEqual([0, ['@commander-js/extra-typings', 'commander']])
    const files = ['catalogue', 'program', 'run', 'terminal', 'usage-error'].map((name) => `src/commands/${name}.ts`)
    expect(own.sort()).toEqual(['src/cli.ts', ...files])
  })

  test.each(commandNames)('of %s says how to call it, every option, and an example', async (name) => {
    const command = await definitionOf(name)
    for (const argv of [
      [name, '--help'],
      [name, '-h'],
      ['help', name],
      ['--help', name],
      ['-h', name],
    ]) {
      const { terminal, kept } = keepingTerminal()
      expect(await runCommand(argv, terminal)).toBe(0)
      const help = kept.stdout
      const [usage, about] = help.split('\n\n')
      expect(usage).toMatch(new RegExp(`^Usage: reconsent ${name} `))
      expect(about?.split(/\s+/)).toEqual(command.description().split('\n\n')[0]?.split(/\s+/))
      for (const argument of command.registeredArguments)
        expect(usage).toContain(argument.required ? ` <${argument.name()}>` : ` [${argument.name()}]`)
      for (const { flags, mandatory } of command.options) {
        expect(usage).toContain(mandatory ? ` ${flags}` : ` [${flags}]`)
        expect(help).toContain(`\n  ${flags}  `)
      }
      expect(help).toMatch(new RegExp(`\nExamples?:\n[^]*^  .*reconsent ${name}`, 'm'))
      expect(kept.stderr).toBe('')
    }
  })

  test.each([
    [[]],
    [['--help']],
    [['help']],
    [['--version']],
    [['nosuch']],
    [['nosuch', '--help']],
    [['--json', 'try']],
  ])('and wrong usage by %j load no command', async (argv) => {
    const loaded: string[] = []
    const load = async () => {
      loaded.push('try')
      return { define: () => undefined }
    }
    await runCommand(argv, keepingTerminal().terminal, { try: { summary: 'x', load } })
    expect(loaded).toEqual([])
  })

  test('after nothing but the end of options is the same as without a command', async () => {
    const { terminal, kept } = keepingTerminal()
    expect(await runCommand(['--'], terminal)).toBe(2)
    expect(kept).toEqual({ stdout: '', stderr: expect.stringContaining('Usage: reconsent COMMAND') })
  })

  test('without a command is on standard error, exit code 2', async () => {
    const { code, stdout, stderr } = await run([])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('Usage: reconsent COMMAND')
  })
})

describe('wrong usage', () => {
  const table: Record<string, [string[], RegExp]> = {
    'an unknown command names the nearest': [['lits'], /^unknown command 'lits' \(Did you mean list\?\)\n/],
    'an unknown command that is like none': [['frobnicate'], /^unknown command 'frobnicate'\n/],
    'an unknown command that asks for help': [['nosuch', '--help'], /^unknown command 'nosuch'\n/],
    'an unknown command that asks for the version': [['nosuch', '--version'], /^unknown command 'nosuch'\n/],
    'an unknown option before the version': [['--frobnicate', '-v'], /^unknown option '--frobnicate': the options of/],
    'help for an unknown command': [['help', 'lits'], /^unknown command 'lits' \(Did you mean list\?\)\n/],
    'help by an option for an unknown command': [['--help', 'nosuch'], /^unknown command 'nosuch'\n/],
    'the name of a property of every object': [['constructor'], /^unknown command 'constructor'\n/],
    'the name of the prototype': [['__proto__'], /^unknown command '__proto__'\n/],
    'the name of a method of every object': [['toString', '--help'], /^unknown command 'toString'\n/],
    'an empty command': [[''], /^unknown command ''\n/],
    'the beginning of a command': [['expl', 'a'], /^unknown command 'expl'/],
    'a command in capitals': [['LIST'], /^unknown command 'LIST'/],
    'a command in another script': [['лист'], /^unknown command 'лист'\n/],
    'a command with control characters': [['list\u001b[2J\n'], /^unknown command 'list\?\[2J\?'/],
    'a command without end': [['x'.repeat(10_000)], /^unknown command 'x{100,150} … x{100,150}'\n/],
    'an unknown option names the nearest': [
      ['list', '--statu', 'active'],
      /^unknown option '--statu' \(Did you mean --status\?\)\n/,
    ],
    'an unknown option that is like none': [['list', '--frobnicate'], /^unknown option '--frobnicate'\n/],
    'an unknown option with a value': [['list', '--statu=active'], /^unknown option '--statu=active'/],
    'an unknown short option': [['list', '-x'], /^unknown option '-x'\n/],
    'an option of another command': [['show', 'a', '--resend'], /^unknown option '--resend'\n/],
    'an option of the program after the command': [['list', '--version'], /^unknown option '--version'\n/],
    'short options in one word': [['list', '-hx'], /^unknown option '-hx'\n/],
    'the beginning of an option': [
      ['list', '--stat', 'active'],
      /^unknown option '--stat' \(Did you mean --status\?\)\n/,
    ],
    'the beginning of a switch': [['list', '--js'], /^unknown option '--js'/],
    'an option in capitals': [['list', '--JSON'], /^unknown option '--JSON'/],
    'an option with one dash': [['list', '-json'], /^unknown option '-json'\n/],
    'a switch negated': [['list', '--no-json'], /^unknown option '--no-json'/],
    'a negated switch without its no': [['list', '--channel'], /^unknown option '--channel'/],
    'an option named like the prototype': [['list', '--__proto__=x'], /^unknown option '--__proto__=x'\n/],
    'an option named like a property of every object': [['list', '--constructor'], /^unknown option '--constructor'\n/],
    'an option without a name': [['list', '--=x'], /^unknown option '--=x'/],
    'an option before the command': [
      ['--json', 'list'],
      /^unknown option '--json': the options of a command follow its name\n/,
    ],
    'a short option before the command': [['-x', 'list'], /^unknown option '-x'/],
    'a value for --version': [['--version=1'], /^unknown option '--version=1'/],
    'a value for --help': [['list', '--help=me'], /^unknown option '--help=me'/],
    'a missing argument': [['show'], /^missing required argument 'ID'\nSee: reconsent show --help\n$/],
    'a missing argument before an option': [['show', '--json'], /^missing required argument 'ID'\n/],
    'a missing argument after the end of options': [['show', '--'], /^missing required argument 'ID'\n/],
    'an empty argument': [['show', ''], /^command-argument value '' is invalid for argument 'ID'\. It is empty\.\n/],
    'an argument of spaces': [
      ['show', ' \t'],
      /^command-argument value ' \?' is invalid for argument 'ID'\. It is empty\.\n/,
    ],
    'an argument too many': [
      ['show', 'a', 'b'],
      /^too many arguments for 'show'\. Expected 1 argument but got 2: a, b\.\nSee: reconsent show --help\n$/,
    ],
    'an argument for a command without': [['list', 'active'], /^too many arguments for 'list'\. Expected 0 arguments/],
    'an argument too many after the end of options': [['--', 'show', 'a', '--json'], /^too many arguments for 'show'/],
    'a command twice': [['list', 'list'], /^too many arguments for 'list'/],
    'an option after the end of options': [['list', '--', '--json'], /^too many arguments for 'list'.* --json\.\n/],
    'a negative number as an argument too many': [['list', '-5'], /^too many arguments for 'list'.* -5\.\n/],
    'a value for a switch': [['list', '--json=yes'], /^--json takes no value\n/],
    'an empty value for a switch': [['list', '--json='], /^--json takes no value\n/],
    'a value for a switch that says no': [['list', '--no-channel=false'], /^--no-channel takes no value\n/],
    'a word after a switch': [['list', '--json', 'yes'], /^too many arguments for 'list'.* yes\.\n/],
    'no value for an option': [['renew', 'a', '--reason'], /^option '--reason <TEXT>' argument missing\n/],
    'an empty value': [
      ['renew', 'a', '--reason='],
      /^option '--reason <TEXT>' argument '' is invalid\. It is empty\.\n/,
    ],
    'an empty word as a value': [
      ['renew', 'a', '--reason', ''],
      /^option '--reason <TEXT>' argument '' is invalid\. It is empty\.\n/,
    ],
    'a value of spaces': [['renew', 'a', '--reason', ' \u00a0'], /^option '--reason <TEXT>' .* It is empty\.\n/],
    'another option for a value': [
      ['renew', 'a', '--reason', '--resend'],
      /^--reason needs a value, but --resend follows: if that is the value, write --reason=…\n/,
    ],
    'another option with a value for a value': [
      ['list', '--user', '--provider=x'],
      /^--user needs a value, but --provider=x follows/,
    ],
    'an unknown option for a value': [['renew', 'a', '--reason', '--urgent'], /^--reason needs a value, but --urgent/],
    'an option itself for its value': [['renew', 'a', '--reason', '--reason'], /^--reason needs a value, but --reason/],
    'the help for a value': [['renew', 'a', '--reason', '--help'], /^--reason needs a value, but --help follows/],
    'a short option for a value': [['renew', 'a', '--reason', '-h'], /^--reason needs a value, but -h follows/],
    'the end of options for a value': [
      ['renew', 'a', '--reason', '--', 'x'],
      /^--reason needs a value, but -- follows/,
    ],
    'an option twice': [
      ['list', '--user', 'a', '--user', 'b'],
      /^option '--user <ID>' argument 'b' is invalid\. The option is given twice\.\n/,
    ],
    'an option twice with the same value': [
      ['list', '--user=a', '--user', 'a'],
      /^option '--user <ID>' argument 'a' is invalid\. The option is given twice\.\n/,
    ],
    'renew alone': [['renew'], /^required option '--reason <TEXT>' not specified\n/],
    'renew without a reason': [['renew', 'a'], /^required option '--reason <TEXT>' not specified\n/],
    'renew of two': [['renew', 'a', 'b', '--reason', 'x'], /^too many arguments for 'renew'/],
    'close without --as': [['close', 'a'], /^required option '--as <revoked\|opted-out>' not specified\n/],
    'close as something else': [
      ['close', 'a', '--as', 'revokd'],
      /^option '--as <revoked\|opted-out>' .*'revokd'.* must be one of revoked, opted-out\. Did you mean revoked\?\n/,
    ],
    'list of an unknown status': [
      ['list', '--status', 'activ'],
      /^option '--status <STATUS>' argument 'activ' is invalid\. .* Did you mean active\?\n/,
    ],
    'list before no date': [
      ['list', '--expires-before', 'soon'],
      /^option '--expires-before <WHEN>' argument 'soon' is invalid\. It must be a date/,
    ],
    'list with a negative number': [
      ['list', '--limit', '-5'],
      /^option '--limit <N>' argument '-5' is invalid\. It must be a whole number from 1 to/,
    ],
    'list of none': [
      ['list', '--limit', '0'],
      /^option '--limit <N>' argument '0' is invalid\. It must be a whole number from 1 to/,
    ],
    'list with a number in another notation': [
      ['list', '--limit=1e3'],
      /^option '--limit <N>' argument '1e3' is invalid\. It must be a whole number/,
    ],
    'list with no number': [
      ['list', '--limit', 'many'],
      /^option '--limit <N>' argument 'many' is invalid\. It must be a whole number/,
    ],
    'start with no role': [['start', '--roles', ' , '], /^option '--roles <LIST>' .* It names no role: known are web/],
    'keys without a word': [['keys'], /^missing required argument 'list\|rotate\|api'\n/],
    'keys with another word': [['keys', 'rotat'], /'rotat' is invalid .* Allowed choices are list, rotate, api\.\n/],
    'repair-times with no zone': [
      ['repair-times', '--zone', 'Europe/Lundon'],
      /^option '--zone <ZONE>' .* It must be a name like America\/New_York\. Did you mean Europe\/London\?\n/,
    ],
    'unsupersede since no date': [['unsupersede', '--since', 'soon'], /^option '--since <WHEN>' .* must be a date/],
    'a value without end': [
      ['list', '--limit', '9'.repeat(10_000)],
      /^option '--limit <N>' argument '9{100,150} … 9{0,150}.* It must be a whole number from 1 to 1000000000\.\n/,
    ],
    'the simulator with an option twice': [['simulator', '--seed', '1', '--seed', '2'], /The option is given twice/],
    'start with an unknown role': [
      ['start', '--roles', 'web,wroker'],
      /^option '--roles <LIST>' .* Unknown role "wroker": known are .* Did you mean worker\?\n/,
    ],
    'import of no file': [['import', '/nowhere/consents.csv'], /the file does not exist/],
    'import of a folder': [['import', '/tmp'], /this is a folder/],
    'import in an unknown format': [
      ['import', '-', '--format', 'xml'],
      /^option '--format <ndjson\|csv>' argument 'xml' is invalid\. It must be one of ndjson, csv\.\n/,
    ],
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
      stderr: "unknown command 'lits' (Did you mean list?)\nSee: reconsent --help\n",
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

describe('a command receives', () => {
  const readBy = async (...argv: string[]) => {
    let received: object | undefined
    const load = async () => ({
      define: (command: Command, { exits }: Frame) =>
        command
          .argument('<ID>', 'an id', text)
          .option('--many <TEXT>', 'may be given again', each(String))
          .option('--two-words <TEXT>', 'once', text)
          .option('--number <N>', 'once', wholeNumber(0, 9))
          .option('--no-other', 'a flag that says no', true)
          .addOption(json)
          .action(
            exits(async (id, options) => {
              received = { id, ...options }
              return 7
            }),
          ),
    })
    const { terminal, kept } = keepingTerminal()
    const code = await runCommand(['try', ...argv], terminal, { try: { summary: '', load } })
    expect({ code, ...kept }).toEqual({ code: 7, stdout: '', stderr: '' })
    return received
  }

  const none = { other: true }
  test.each<[string, string[], object]>([
    ['an argument alone, and nothing that was not given', ['a'], { ...none, id: 'a' }],
    ['a value after =, whatever it looks like', ['a', '--two-words=--json'], { ...none, id: 'a', twoWords: '--json' }],
    ['a value with = in it', ['--two-words=b=c', 'a'], { ...none, id: 'a', twoWords: 'b=c' }],
    ['a value with spaces, as it is', ['a', '--two-words', ' b '], { ...none, id: 'a', twoWords: ' b ' }],
    ['a value that is a negative number', ['a', '--two-words', '-5'], { ...none, id: 'a', twoWords: '-5' }],
    ['a value that is a dash', ['a', '--two-words', '-'], { ...none, id: 'a', twoWords: '-' }],
    ['a value in any script', ['ключ', '--two-words', '鍵🔑'], { ...none, id: 'ключ', twoWords: '鍵🔑' }],
    ['the number nought', ['a', '--number', '0'], { ...none, id: 'a', number: 0 }],
    [
      'each value of an option that may be repeated',
      ['--many', 'b', 'a', '--many=--c'],
      { ...none, id: 'a', many: ['b', '--c'] },
    ],
    ['the same value twice of such an option', ['--many=b', '--many=b', 'a'], { ...none, id: 'a', many: ['b', 'b'] }],
    ['an argument after the options', ['--json', 'a'], { ...none, id: 'a', json: true }],
    ['a flag that is given twice', ['--json', 'a', '--json'], { ...none, id: 'a', json: true }],
    ['a flag that says no', ['a', '--no-other'], { ...none, id: 'a', other: false }],
    ['a dash as its argument', ['-'], { ...none, id: '-' }],
    ['a negative number as its argument', ['-5'], { ...none, id: '-5' }],
    ['what follows -- as its argument', ['--', '--json'], { ...none, id: '--json' }],
    ['a second -- as its argument', ['--', '--'], { ...none, id: '--' }],
  ])('%s', async (_, argv, expected) => {
    expect(await readBy(...argv)).toEqual(expected)
  })
})

test('no argument and no value may be empty, and only these options may be repeated', async () => {
  const many: string[] = []
  for (const name of commandNames) {
    const { options, registeredArguments } = await definitionOf(name)
    for (const { parseArg } of registeredArguments)
      expect(() => parseArg?.('', undefined)).toThrow(InvalidArgumentError)
    for (const { defaultValue } of options.filter(({ negate }) => negate)) expect(defaultValue).toBe(true)
    for (const { parseArg, long } of options.filter(({ required }) => required)) {
      expect(() => parseArg?.('', undefined)).toThrow(InvalidArgumentError)
      const value = long === '--scope' ? 'events:read' : 'UTC'
      try {
        parseArg?.(value, [value])
        many.push(`${name} ${long}`)
      } catch (error) {
        expect(error).toMatchObject({ message: 'The option is given twice.' })
      }
    }
  }
  expect(many).toEqual([
    'keys --scope',
    'repair-times --zone',
    'simulator --redirect-uri',
    'simulator --switch',
    'simulator --fault',
  ])
})
