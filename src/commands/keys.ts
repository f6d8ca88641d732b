// `keys list` shows which encryption keys are in use; `keys rotate` encrypts everything again under the first key.
import { keysInUse, rotateCells } from '../store/cells.ts'
import { type Call, type Command, json, UsageError } from './command.ts'
import { type Opened, withStore } from './open.ts'
import { count, table } from './text.ts'

/** The name of the positional argument, which is one of the two words. */
const ACTION = 'list|rotate'
const PROGRESS_EVERY_MS = 5_000

export const command: Command = {
  usage: 'list|rotate [--json]',
  about: `list    Shows the keys of ENCRYPTION_KEYS, and how many stored secrets each one encrypts. A key in use
        that is missing: exit code 1.
rotate  Encrypts every stored secret again under the first key of ENCRYPTION_KEYS. May run beside
        everything else, be interrupted, and be run again; it ends when nothing needs another key. Every
        process must know the new key before: see the runbook.

A key may be removed from ENCRYPTION_KEYS when list shows 0 for it: start refuses without a key that is
still in use. Links in messages that were sent while a key was the first one work only while it is listed.`,
  arguments: [ACTION],
  options: { json },
  examples: ['reconsent keys list', 'reconsent keys rotate'],
  run: async (call) => {
    const action = call.arg(ACTION)
    if (action !== 'list' && action !== 'rotate')
      throw new UsageError(`keys does list or rotate, not ${JSON.stringify(action.slice(0, 40))}`)
    return withStore(['keys'], async (opened) => (action === 'list' ? list(call, opened) : rotate(call, opened)))
  },
}

const list = async (call: Call, { db, config }: Opened<'keys'>): Promise<number> => {
  const used = await keysInUse(db)
  const known = config.keys.all.map(({ id }) => ({
    id,
    role: id === config.keys.current.id ? 'encrypts' : 'decrypts',
    cells: used.find(({ keyId }) => keyId === id)?.cells ?? 0,
  }))
  const missing = used
    .filter(({ keyId }) => !known.some(({ id }) => id === keyId))
    .map(({ keyId, cells }) => ({ id: keyId, role: 'missing', cells }))
  const keys = [...known, ...missing]
  if (call.flag('json')) await call.terminal.json({ keys })
  else
    await call.terminal.line(
      table([
        ['key', 'it', 'stored secrets'],
        ...keys.map(({ id, role, cells }) => [id === '' ? '(none)' : id, role, cells.toLocaleString('en')]),
      ]),
    )
  if (missing.length > 0)
    call.terminal.note('stored secrets need a key that is not in ENCRYPTION_KEYS: put it back, behind the first one')
  return missing.length > 0 ? 1 : 0
}

const rotate = async (call: Call, { db, config }: Opened<'keys'>): Promise<number> => {
  const stopping = new AbortController()
  const stop = (): void => stopping.abort()
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  let toldAt = Date.now()
  const result = await rotateCells(db, {
    keys: config.keys,
    signal: stopping.signal,
    onPage: (rotated) => {
      if (Date.now() - toldAt < PROGRESS_EVERY_MS) return
      toldAt = Date.now()
      call.terminal.note(`${count(rotated, 'secret')} so far`)
    },
    onUnreadable: ({ table: where, id, cause }) =>
      call.terminal.note(`${where} ${id}: does not decrypt (${cause}); left as it is`),
  })
  const { rotated, unreadable, left } = result
  if (call.flag('json'))
    await call.terminal.json({
      key: config.keys.current.id,
      rotated,
      unreadable,
      left,
      interrupted: stopping.signal.aborted,
    })
  else {
    await call.terminal.line(
      `${count(rotated, 'secret')} encrypted again under the key ${config.keys.current.id}; ` +
        (left === 0 ? 'nothing needs another key' : `${left.toLocaleString('en')} still need another key`),
    )
    if (stopping.signal.aborted) call.terminal.note('interrupted: run it again to go on')
    else if (left > unreadable)
      call.terminal.note(
        'a key is missing, or something still writes under an older one: see reconsent keys list, give every ' +
          'process the same keys, run it again',
      )
  }
  return left === 0 ? 0 : 1
}
