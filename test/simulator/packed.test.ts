// The simulator without Reconsent: packed by npm, installed from the tarball into an empty folder, started, asked over
// HTTP, stopped. Needs npm, and its registry or its cache.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Lock, shippedPackages } from '../../scripts/image/shipped.ts'
import { type Copy, makeCopy } from '../mutants/copy.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 180_000 })

/** Of npm and of vitest, for this checkout. */
const kept = Object.entries(process.env).filter(
  ([name]) => !/^(?:npm_(?:package|lifecycle|config_local_prefix)|VITEST|NODE_(?:ENV|OPTIONS)|INIT_CWD)/.test(name),
)
const env = { ...Object.fromEntries(kept), PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter) }
const npm = async (cwd: string, ...words: string[]): Promise<string> =>
  (await promisify(execFile)('npm', words, { cwd, env })).stdout

let copy: Copy
/** Somebody else's project. */
let theirs: string
let child: ChildProcess | undefined

beforeAll(async () => {
  // `npm pack` writes into the folder that it packs.
  copy = makeCopy(join(import.meta.dirname, '../..'))
  theirs = join(copy.temporary, 'theirs')
  mkdirSync(theirs)
  writeFileSync(join(theirs, 'package.json'), '{ "private": true, "type": "module" }')
  // The releases that we run on, which npm has in its cache: a new one of somebody else's is no news about ours.
  const lock = JSON.parse(copy.read('package-lock.json')) as Lock
  const packages = Object.fromEntries(
    [...shippedPackages(lock, 'simulator')].map((path) => [path, lock.packages[path]]),
  )
  writeFileSync(
    join(theirs, 'package-lock.json'),
    JSON.stringify({ lockfileVersion: 3, packages: { '': {}, ...packages } }),
  )
  await npm(join(copy.tree, 'simulator'), 'pack', '--pack-destination', theirs)
  const tarball = readdirSync(theirs).find((name) => name.endsWith('.tgz')) ?? 'no tarball'
  await npm(theirs, 'install', '--prefer-offline', '--fetch-timeout=20000', '--no-audit', '--no-fund', `./${tarball}`)
})
afterAll(() => {
  child?.kill('SIGKILL')
  copy.remove()
})

const installed = (path: string): string => join(theirs, 'node_modules/truelayer-simulator', path)

test('it brings JavaScript and its page, and nothing that is for Reconsent alone', () => {
  expect(readdirSync(installed('.')).toSorted()).toEqual(['LICENSE', 'README.md', 'bin.js', 'dist', 'package.json'])
  const files = readdirSync(installed('dist'))
  expect(files).toContain('start-simulator.d.ts')
  expect(files.filter((file) => !/\.(?:js|d\.ts)$/.test(file))).toEqual([])
  for (const file of files.filter((name) => name.endsWith('.js')))
    expect(readFileSync(join(installed('dist'), file), 'utf8')).not.toMatch(/(?:from |import\()'\.[^']*\.ts'/)
  const lock = JSON.parse(readFileSync(join(theirs, 'package-lock.json'), 'utf8')) as Lock
  const ours = JSON.parse(copy.read('package-lock.json')) as Lock
  expect(Object.keys(lock.packages).toSorted()).toEqual(
    ['', 'node_modules/truelayer-simulator', ...shippedPackages(ours, 'simulator')].toSorted(),
  )
})

test('its command answers as TrueLayer until it is stopped', async () => {
  const words = ['--json', '--client-id', 'client', '--switch', 'unknown_token=invalid_grant']
  child = spawn(join(theirs, 'node_modules/.bin/truelayer-simulator'), words, {
    cwd: theirs,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'close')
  let output = ''
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()))
  await expect.poll(() => output, { timeout: 20_000 }).toMatch(/\n\}\n/)
  const at = JSON.parse(output) as { url: string; control: string; client_id: string; client_secret: string }
  expect(at.client_id).toBe('client')
  const json = { 'content-type': 'application/json' }
  const seed = {
    credentials_id: 'c-1',
    refresh_token: 'r-1',
    provider_id: 'uk-ob-monzo',
    country: 'GB',
    redirect_uri: 'http://127.0.0.1:3000/callback',
  }
  const post = async (path: string, body: object): Promise<Response> =>
    fetch(`${at.url}${path}`, { method: 'POST', headers: json, body: JSON.stringify(body) })
  expect((await post('/_control/connections', seed)).status).toBe(201)
  const asked = {
    response_type: 'code',
    client_id: at.client_id,
    client_secret: at.client_secret,
    redirect_uri: seed.redirect_uri,
  }
  const link = await post('/v1/reauthuri', { ...asked, refresh_token: 'r-1' })
  expect([link.status, await link.json()]).toMatchObject([200, { success: true }])
  expect((await post('/v1/reauthuri', { ...asked, refresh_token: 'unknown' })).status).toBe(400)
  child.kill('SIGTERM')
  expect(await ended).toEqual([0, null])
})

test('it is imported by its name', async () => {
  writeFileSync(
    join(theirs, 'own.js'),
    `import { startSimulator } from 'truelayer-simulator'
import { movableClock } from 'truelayer-simulator/clock'
const clock = movableClock()
const simulator = await startSimulator({ clientId: 'c', clientSecret: 's', redirectUris: ['http://127.0.0.1/'], clock })
clock.set(clock.now().set({ year: 2040 }))
const { status, headers } = await fetch(simulator.url + '/_control', { headers: { accept: 'application/json' } })
console.log(status, simulator.clock.now().year, headers.get('content-type'))
await simulator.close()
`,
  )
  const { stdout } = await promisify(execFile)(process.execPath, ['own.js'], { cwd: theirs, env })
  expect(stdout).toMatch(/^200 2040 application\/json/)
})
