// `keys api create`, `keys api list`, `keys api revoke`: the keys with which the company's own systems call the API.
import type { DateTime } from 'luxon'
import type { ApiScope } from '../domain/api-scopes.ts'
import { apiKeyJson } from '../presentation/api-key-json.ts'
import { stateOfKey } from '../domain/api-key-state.ts'
import { apiKeys } from '../store/api-keys.ts'
import { CommandFailed } from './command.ts'
import { withStore } from './open.ts'
import type { Terminal } from './terminal.ts'
import { dateText, table } from './text.ts'
import { UsageError } from './usage-error.ts'

interface Wanted {
  readonly step: 'create' | 'list' | 'revoke' | undefined
  /** The argument, for `revoke`. */
  readonly name: string | undefined
  readonly asJson: boolean
}

interface Options {
  /** The option, for `create`. */
  readonly name?: string
  readonly scope?: readonly ApiScope[]
  readonly expires?: DateTime
}

/** Events name the key: a name must be told from every other text there, and fit a line. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

export const apiKeyCommand = async (
  terminal: Terminal,
  { step, name, asJson }: Wanted,
  options: Options,
): Promise<number> => {
  if (step === undefined) throw new UsageError('keys api needs create, list or revoke')
  const hasOptions = Object.values(options).some((given) => given !== undefined)
  if (step !== 'create' && hasOptions) throw new UsageError(`keys api ${step} takes no option but --json`)
  if (step !== 'revoke' && name !== undefined) throw new UsageError(`keys api ${step} takes no NAME: see --name`)
  if (step === 'list') return list(terminal, asJson)
  if (step === 'create') return create(terminal, options, asJson)
  if (name === undefined) throw new UsageError('keys api revoke needs the NAME of the key')
  return revoke(terminal, name, asJson)
}

const create = async (
  terminal: Terminal,
  { name, scope, expires: expiresAt }: Options,
  asJson: boolean,
): Promise<number> => {
  if (name === undefined) throw new UsageError('keys api create needs --name')
  if (!NAME.test(name))
    throw new UsageError(
      '--name must be up to 64 letters, digits, dots, hyphens and underscores, a letter or digit first',
    )
  if (scope === undefined) throw new UsageError('keys api create needs at least one --scope')
  return withStore([], async ({ db, clock }) => {
    const now = clock.now()
    if (expiresAt !== undefined && expiresAt <= now) throw new UsageError('--expires must be in the future')
    const created = await apiKeys(db).createApiKey({ name, scopes: [...new Set(scope)], expiresAt, now })
    if (created.kind === 'name-taken')
      throw new CommandFailed(`there is an API key with this name: revoke it first, or choose another name`)
    const { key, secret } = created
    if (asJson) await terminal.json({ key: secret.reveal(), ...apiKeyJson(key, now) })
    else await terminal.line(secret.reveal())
    terminal.note('this key is shown once and stored nowhere; it works within five seconds')
    return 0
  })
}

const list = async (terminal: Terminal, asJson: boolean): Promise<number> =>
  withStore([], async ({ db, clock }) => {
    const now = clock.now()
    const keys = await apiKeys(db).listApiKeys()
    if (asJson) await terminal.json({ keys: keys.map((key) => apiKeyJson(key, now)) })
    else if (keys.length === 0) terminal.note('no API keys')
    else
      await terminal.line(
        table([
          ['NAME', 'STATE', 'CREATED', 'EXPIRES', 'REVOKED', 'SCOPES'],
          ...keys.map((key) => [
            key.name,
            stateOfKey(key, now),
            dateText(key.createdAt),
            dateText(key.expiresAt),
            dateText(key.revokedAt),
            key.scopes.join(' '),
          ]),
        ]),
      )
    return 0
  })

const revoke = async (terminal: Terminal, name: string, asJson: boolean): Promise<number> =>
  withStore([], async ({ db, clock }) => {
    const now = clock.now()
    const key = await apiKeys(db).revokeApiKey(name, now)
    if (key === undefined)
      throw new CommandFailed('there is no API key with this name that is not revoked: see reconsent keys api list')
    if (asJson) await terminal.json(apiKeyJson(key, now))
    else await terminal.line(`${key.name} is revoked: every process refuses it within five seconds`)
    return 0
  })
