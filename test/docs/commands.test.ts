// docs/commands.md against the commands as they are defined.
import { readFileSync } from 'node:fs'
import { Command } from '@commander-js/extra-typings'
import { expect, it } from 'vitest'
import { catalogue, commandNames } from '../../src/commands/catalogue.ts'
import { importFieldNames } from '../../src/import/fields.ts'
import { historyJson } from '../../src/presentation/consent-json.ts'
import { aConsent, aPolicy } from '../builders.ts'
import { aLink, aMessage, aRenewal, EXPIRY } from '../domain/a-cycle.ts'
import { keepingTerminal } from '../commands/reconsent.ts'

const [beforeImport = '', aboutImport = ''] = readFileSync('docs/commands.md', 'utf8').split('\n## Import\n')

const optionsOf = (text: string): readonly string[] => text.match(/--[a-z][a-z-]*/g) ?? []

/** What holds for all commands. */
const [general = ''] = beforeImport.split('\n## ')

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

it('docs/commands.md names the fields of an import, as the import has them', () => {
  const cells = aboutImport.split('\n').flatMap((row) => /^\| (`[^|]+) \|/.exec(row)?.[1] ?? [])
  const named = cells.flatMap((cell) => cell.match(/[a-z_]+/g) ?? []).filter((word) => word !== 'or')
  expect(named.toSorted()).toEqual(importFieldNames.toSorted())
})

it('docs/commands.md names the fields of a consent and of its history, as the JSON has them', () => {
  const event = { consentId: '', seq: 1, type: '', at: EXPIRY, actor: 'system', reason: undefined, data: {} } as const
  const { renewals, authorisations, notifications, earlier_events, events, ...consent } = historyJson(
    {
      consent: aConsent({ expiresAt: EXPIRY }),
      renewals: [aRenewal()],
      authorisations: [aLink('-14d')],
      notifications: [aMessage('-14d', '-14d')],
      events: [event],
    },
    EXPIRY,
    aPolicy(),
  )
  const fieldsAfter = (words: string): string[] =>
    beforeImport.split(`${words} \``)[1]?.split('`')[0]?.split(/,\s+/) ?? []
  expect(earlier_events).toBe(0)
  expect(beforeImport).toContain('`earlier_events`')
  expect(fieldsAfter('A **consent** has')).toEqual(Object.keys(consent))
  for (const [name, [first]] of Object.entries({ renewals, authorisations, notifications, events }))
    expect(fieldsAfter(`- \`${name}[]\`:`)).toEqual(Object.keys(first ?? {}))
})

it.each(commandNames)('the options of %s that it names exist, and it names each that the command has', async (name) => {
  const command = new Command(name)
  const { terminal } = keepingTerminal()
  const entry = await catalogue[name]?.load()
  entry?.define(command, { terminal, exits: () => async () => expect.unreachable() })
  const said = parts.filter((part) => part.name === name)
  const named = said.flatMap(({ text }) => optionsOf(text))
  expect(command.options.map(({ long }) => long)).toEqual(expect.arrayContaining(named))
  expect(named).toEqual(
    expect.arrayContaining(command.options.filter(({ mandatory }) => mandatory).map(({ long }) => long)),
  )
  // The options of the simulator are in simulator/README.md.
  if (name !== 'simulator')
    expect([...named, ...optionsOf(general)]).toEqual(expect.arrayContaining(command.options.map(({ long }) => long)))
})
