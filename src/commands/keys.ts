// `keys list` shows which encryption keys are in use; `keys rotate` encrypts everything again under the first key.
// `keys api` makes, lists and revokes the keys of the API (keys-api.ts).
import { Argument, Option } from '@commander-js/extra-typings'
import { apiScopeNames } from '../domain/api-scopes.ts'
import { keysInUse } from '../store/cells.ts'
import { rotateCells } from '../store/key-rotation.ts'
import { dateOrSpan, type Define, each, examples, json, oneOf, text } from './command.ts'
import { apiKeyCommand } from './keys-api.ts'
import { type Opened, withStore } from './open.ts'
import { interruptible } from './signals.ts'
import { makeProgress, type Terminal } from './terminal.ts'
import { count, table } from './text.ts'
import { UsageError } from './usage-error.ts'

const scope = new Option('--scope <SCOPE>', `what it may do; may be repeated: ${apiScopeNames.join(', ')}`).argParser(
  each((value) => oneOf(apiScopeNames)(value)),
)

export const define: Define = (command, { terminal, exits }) =>
  command
    .description(
      `list    Shows the keys of ENCRYPTION_KEYS, and how many stored secrets each one encrypts. Exit code 1 if a
        key is in use but not listed there.
rotate  Encrypts every stored secret again under the first key of ENCRYPTION_KEYS. It may run while
        everything else runs, be interrupted, and be run again; it ends when no secret needs another key.
        Give the new key to every process first: see the runbook.
api create | list | revoke NAME
        The keys with which the company's own systems call the API. create prints a new key, once: only its
        hash is stored. Each process knows a new key, and refuses a revoked one, within five seconds.

A key may be removed from ENCRYPTION_KEYS once list shows 0 for it: start refuses to run without a key that is
still in use. Links in messages that were sent while a key was the first one work only as long as that key
is listed.`,
    )
    .addArgument(new Argument('<list|rotate|api>').choices(['list', 'rotate', 'api']))
    .addArgument(new Argument('[create|list|revoke]').choices(['create', 'list', 'revoke']))
    .argument('[NAME]', 'of the API key to revoke', text)
    .option('--name <NAME>', 'of the new API key, for events and for revoke', text)
    .addOption(scope)
    .option(
      '--expires <WHEN>',
      'a date (2026-12-31) or a time from now (90d); never, unless given',
      dateOrSpan('from now'),
    )
    .addOption(json)
    .addHelpText(
      'after',
      examples(
        'reconsent keys list',
        'reconsent keys rotate',
        'reconsent keys api create --name backend --scope consents:read --scope consents:write',
        'reconsent keys api revoke backend',
      ),
    )
    .action(
      exits(async (action, step, name, options) => {
        const { json: asJson = false, ...wanted } = options
        if (action === 'api') return apiKeyCommand(terminal, { step, name, asJson }, wanted)
        if (step !== undefined || Object.values(wanted).some((given) => given !== undefined))
          throw new UsageError(`keys ${action} takes no more arguments, and no option but --json`)
        return withStore(['keys'], async (opened) =>
          action === 'list'
            ? list(terminal, opened, asJson)
            : interruptible(async (signal) => rotate(terminal, opened, { asJson, signal })),
        )
      }),
    )

const list = async (terminal: Terminal, { db, config }: Opened<'keys'>, asJson: boolean): Promise<number> => {
  const used = await keysInUse(db.sql)
  const known = config.keys.all.map(({ id }) => ({
    id,
    role: id === config.keys.current.id ? 'encrypts' : 'decrypts',
    cells: used.find(({ keyId }) => keyId === id)?.cells ?? 0,
  }))
  const missing = used
    .filter(({ keyId }) => !known.some(({ id }) => id === keyId))
    .map(({ keyId, cells }) => ({ id: keyId, role: 'missing', cells }))
  const keys = [...known, ...missing]
  if (asJson) await terminal.json({ keys })
  else
    await terminal.line(
      table([
        ['KEY', 'ROLE', 'STORED SECRETS'],
        ...keys.map(({ id, role, cells }) => [id === '' ? '(none)' : id, role, cells.toLocaleString('en')]),
      ]),
    )
  if (missing.length > 0)
    terminal.note('stored secrets need a key that is not in ENCRYPTION_KEYS: put it back, behind the first one')
  return missing.length > 0 ? 1 : 0
}

const rotate = async (
  terminal: Terminal,
  { db, config }: Opened<'keys'>,
  { asJson, signal }: { asJson: boolean; signal: AbortSignal },
): Promise<number> => {
  const progress = makeProgress(terminal)
  const { rotated, unreadable, left } = await rotateCells(db, {
    keys: config.keys,
    signal,
    onPage: (secrets) => progress(() => `${count(secrets, 'secret')} so far`),
    onUnreadable: ({ table: where, id, cause }) =>
      terminal.note(`${where} ${id}: does not decrypt (${cause}); left as it is`),
  })
  if (asJson)
    await terminal.json({
      key: config.keys.current.id,
      rotated,
      unreadable,
      left,
      interrupted: signal.aborted,
    })
  else {
    await terminal.line(
      `${count(rotated, 'secret')} encrypted again under the key ${config.keys.current.id}; ` +
        (left === 0 ? 'nothing needs another key' : `${left.toLocaleString('en')} still need another key`),
    )
    if (signal.aborted) terminal.note('interrupted: run it again to go on')
    else if (left > unreadable)
      terminal.note(
        'a key is missing, or something still writes under an older one: see reconsent keys list, give every ' +
          'process the same keys, run it again',
      )
  }
  return left === 0 ? 0 : 1
}
