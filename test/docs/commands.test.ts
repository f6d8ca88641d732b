// docs/commands.md against the commands as they are defined.
import { readFileSync } from 'node:fs'
import { Command } from '@commander-js/extra-typings'
import { expect, it } from 'vitest'
import { catalogue, commandNames } from '../../src/commands/catalogue.ts'
import { keepingTerminal } from '../commands/reconsent.ts'

const [beforeImport = '', aboutImport = ''] = readFileSync('docs/commands.md', 'utf8').split('\n## Import\n')

/** What it says of a command: the rows of its tables (`| `show ID` | everything about one |`), and a chapter. */
const parts = [
  ...beforeImport.split('\n').flatMap((text) => {
    const [, name] = /^\| `([a-z][a-z-]*)[ `]/.exec(text) ?? []
    return name === undefined ? [] : [{ name, text }]
  }),
  { name: 'import', text: aboutImport },
]

it('docs/commands.md has each command, and none that does not exist', () => {
  expect([...new Set(parts.map(({ name }) => name))].toSorted()).toEqual(commandNames.toSorted())
})

it.each(commandNames)(
  'the options of %s that it names exist, and it names those without which the command is refused',
  async (name) => {
    const command = new Command(name)
    const { terminal } = keepingTerminal()
    const entry = await catalogue[name]?.load()
    entry?.define(command, { terminal, exits: () => async () => expect.unreachable() })
    const said = parts.filter((part) => part.name === name)
    const named = said.flatMap(({ text }) => text.match(/--[a-z][a-z-]*/g) ?? [])
    expect(command.options.map(({ long }) => long)).toEqual(expect.arrayContaining(named))
    expect(named).toEqual(
      expect.arrayContaining(command.options.filter(({ mandatory }) => mandatory).map(({ long }) => long)),
    )
  },
)
