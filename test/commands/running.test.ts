// The commands that run until they are stopped, as real processes.
import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createDatabase } from '../setup/database.ts'
import { environmentFor, start } from './reconsent.ts'

let cwd: string
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'reconsent-running-'))
  await writeFile(join(cwd, 'worker.config.ts'), "export default { company: { name: 'Brightside' } }\n")
})
const children: ReturnType<typeof start>[] = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

/** Resolves with all output so far once the output matches; rejects when the process ends before that. */
const untilPrinted = async (child: ReturnType<typeof start>, words: RegExp): Promise<string> =>
  new Promise((resolve, reject) => {
    let text = ''
    const take = (chunk: Buffer): void => {
      text += chunk.toString()
      if (words.test(text)) resolve(text)
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    child.once('close', (code) => reject(new Error(`ended with ${code}: ${text}`)))
  })
const begin = (args: readonly string[], env: Record<string, string>) => {
  const child = start(args, { env, cwd })
  children.push(child)
  return child
}
const end = async (child: ReturnType<typeof start>, signal: NodeJS.Signals): Promise<unknown> => {
  const ended = once(child, 'close')
  child.kill(signal)
  const [code] = (await ended) as [number | null]
  return code
}

describe('simulator', () => {
  test('runs with the given switches and faults until Ctrl-C, and reports its addresses as JSON', async () => {
    const child = begin(
      [
        'simulator',
        '--switch',
        'validity_days=30',
        '--switch',
        'unknown_token=invalid_grant',
        '--fault',
        'me:slow:ms=1:count=2',
        '--json',
      ],
      {},
    )
    const at = JSON.parse(await untilPrinted(child, /\n\}\n/)) as {
      url: string
      control: string
      inbox: string
      client_id: string
    }
    expect(at.client_id).toBe('reconsent-simulated')
    expect((await fetch(at.inbox)).status).toBe(200)
    const switches: unknown = await (
      await fetch(`${at.control}/switches`, { headers: { accept: 'application/json' } })
    ).json()
    expect(JSON.stringify(switches)).toMatch(/"validity_days":\s*(\{[^}]*)?30/)
    expect(await end(child, 'SIGINT')).toBe(0)
  })
})

describe('start', () => {
  test('runs the given roles until SIGTERM, and ends with 0', async () => {
    const env = {
      ...environmentFor(await createDatabase()),
      QUEUE: 'postgres',
      HOST: '127.0.0.1',
      PORT: '0',
      PUBLIC_URL: 'http://127.0.0.1:3000',
      TRUELAYER_CLIENT_ID: 'client',
      TRUELAYER_CLIENT_SECRET: 'client-secret',
      SMTP_URL: 'smtp://127.0.0.1:9',
      MAIL_FROM: 'consents@example.com',
    }
    const child = begin(['start', '--roles', 'scheduler'], env)
    const log = await untilPrinted(child, /reconsent runs/)
    expect(log).toContain('"scheduler"')
    expect(await end(child, 'SIGTERM')).toBe(0)
  })
})
