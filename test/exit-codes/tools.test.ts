// A failing run is reported as failing: the exit code of every other command that starts a server, with one failure
// planted in each.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { type Lock, shippedPackages } from '../../scripts/image/shipped.ts'
import type { Copy } from '../mutants/copy.ts'
import type { Edit } from '../mutants/mutant.ts'
import { nothingIsLeft, npmRun, plant } from './planted.ts'

vi.setConfig({ testTimeout: 120_000 })

test('npm run check ends with 1 when the schema has more than the migrations', async () => {
  const drift = {
    file: 'prisma/schema.prisma',
    find: 'model Consent {',
    replace: 'model Consent {\n  nickname String?',
  }
  const copy = plant([drift])
  const ended = await npmRun(copy, ['check', '--', 'migrations'])
  expect(ended.output).toMatch(/FAILED {2}migrations.*ADD COLUMN +"nickname"/s)
  expect(ended.code).toBe(1)
  await nothingIsLeft(copy)
  expect((await npmRun(copy, ['check', '--', 'migration'])).code).toBe(2)
})

test('npm run check ends with 1 when an alert has no case', async () => {
  const copy = plant([{ file: 'deploy/alerts.yaml', find: 'alert: ReconsentDown', replace: 'alert: ReconsentAway' }])
  const ended = await npmRun(copy, ['check', '--', 'alerts'])
  expect(ended.output).toMatch(/ReconsentAway fires in no case/)
  expect(ended.code).toBe(1)
})

/** Replaces the image build's slow steps, which need a registry, by what is installed here. */
const quickImage = (copy: Copy): void => {
  const installed = join(import.meta.dirname, '../..')
  // A nested package is copied together with the package that contains it.
  const shipped = [...shippedPackages(JSON.parse(copy.read('package-lock.json')) as Lock)].filter(
    (path) => path.lastIndexOf('node_modules/') === 0 && existsSync(join(installed, path)),
  )
  const from = (path: string): string => `'${join(installed, path)}'`
  copy.write(
    'copy-packages.sh',
    shipped.map((path) => `mkdir -p ${dirname(path)} && cp -R ${from(path)} ${path}`).join('\n'),
  )
  const steps: Readonly<Record<string, string>> = {
    'npm ci --ignore-scripts': 'true',
    PRISMA_SCHEMA_ENGINE_BINARY: `mkdir -p src && cp -R ${from('src/generated')} src/generated`,
    'npm ci --omit=dev': `sh '${copy.tree}/copy-packages.sh'`,
    'find node_modules': 'true',
  }
  const withQuick = (file: string, [step, quick]: [string, string]): string =>
    file.replace(new RegExp(`^RUN ${step}.*$`, 'm'), () => `RUN ${quick}`)
  copy.write('Dockerfile', Object.entries(steps).reduce(withQuick, copy.read('Dockerfile')))
}

test('npm run check:image ends with 1 when /livez is broken', async () => {
  const copy = plant([{ file: 'src/http/routes/health.ts', find: `app.get('/livez'`, replace: `app.get('/livezz'` }])
  quickImage(copy)
  const ended = await npmRun(copy, ['check:image'])
  expect(ended.output).toMatch(/\/livez answers 404/)
  expect(ended.code).toBe(1)
  await nothingIsLeft(copy)
})

test('npm run demo -- --auto ends with 1 when an end state is wrong', async () => {
  const right = `consent.status === 'active' && consent.cycle === 2`
  const copy = plant([{ file: 'simulator/demo/judge.ts', find: right, replace: right.replace('2', '3') }])
  const ended = await npmRun(copy, ['demo', '--', '--auto'])
  expect(ended.output).toMatch(/11 wrong/)
  expect(ended.code).toBe(1)
  await nothingIsLeft(copy)
})

test('npm run demo ends with 1 when a part of it does not start', async () => {
  const find = 'await importCast({ cast, simulator, opened, config, clock })'
  const copy = plant([
    { file: 'simulator/demo/run-demo.ts', find, replace: `await Promise.reject(new Error('planted'))` },
  ])
  const ended = await npmRun(copy, ['demo'])
  expect(ended.output).toMatch(/planted/)
  expect(ended.code).toBe(1)
  await nothingIsLeft(copy)
})

test('npm run bench ends with 1 when a side fails, and shows its log; with 2 for invalid options', async () => {
  const find = `await run('mailed', [renewalId])`
  // Its user is turned away before the process is seen to have ended.
  const replace = `await pages.close(); await new Promise((done) => setTimeout(done, 300)); throw new Error('planted')`
  const copy = plant([{ file: 'bench/sides/floor.ts', find, replace }])
  const few = ['--consents', '1', '--warm-up', '1', '--rest', '0', '--rounds', '1']
  const ended = await npmRun(copy, ['bench', '--', '--sides', 'floor', ...few])
  expect(ended.output).toMatch(/floor: the process ended with 1.*planted/s)
  expect(ended.code).toBe(1)
  await nothingIsLeft(copy)
  for (const words of [
    ['--consents', 'many'],
    ['--rounds', '0'],
    ['--sides', 'ceiling'],
    ['--round', '1'],
  ]) {
    expect((await npmRun(copy, ['bench', '--', ...words])).code).toBe(2)
  }
})

test('the other measurements end with 2 for invalid options', async () => {
  const copy = plant([])
  for (const [script, ...words] of [
    ['bench:parts', '--consents', 'many'],
    ['bench:parts', '--consent', '1'],
    ['bench:callbacks', '--rate', '0'],
    ['bench:callbacks', '--bursts', '1'],
    ['bench:sweep', '--stored', '10,few'],
    ['bench:sweep', '--stored', '10,100', '--due', '11'],
    ['bench:soak', '--minutes', '0'],
    ['bench:soak', '--rate', 'high'],
  ]) {
    expect((await npmRun(copy, [script ?? '', '--', ...words])).code).toBe(2)
  }
})

const short = ['--consents', '20', '--minutes', '1', '--calm']
const inRun = (find: string, replace: string): Edit => ({ file: 'test/chaos/run.ts', find, replace })
const startAll = '    await rig.fleet.startAll()\n'

// The run has its servers but none of its Reconsent processes, which may take half a minute to start on a busy machine.
test('npm run chaos ends with 1 on a violation, with 2 for wrong options', async () => {
  const skipped = ['warmUp', 'liveThrough', 'healEverything', 'letItFinish', 'wait'].map((part) => {
    const find = `    await ${part}(${part === 'wait' ? '2 * SWEEP_MS' : 'stage'})\n`
    return inRun(find, '')
  })
  const violation = { invariant: 0, record: 'planted', what: 'planted' }
  const checked = [{ invariant: 0, says: 'planted', looked: 1, violations: [violation], notes: [] }]
  const copy = plant([
    ...skipped,
    inRun(startAll, ''),
    inRun('rig.fleet.members().length < rig.fleet.seats', 'false'),
    inRun('await judge(stage, users)', JSON.stringify(checked)),
  ])
  const ended = await npmRun(copy, ['chaos', '--', ...short])
  expect(ended.output).toMatch(/\n1 violations; rows/)
  expect(ended.code).toBe(1)
  await nothingIsLeft(copy)
  expect((await npmRun(copy, ['chaos', '--', '--minutes', 'many'])).code).toBe(2)
})

const waits = inRun(startAll, `    say('the rig stands')\n    await new Promise(() => undefined)\n`)

// npm ends by the same signal, or passes on its child's exit code.
test.each<[string, NodeJS.Signals, string[], Edit[], string, number]>([
  ['chaos', 'SIGTERM', short, [waits], 'the rig stands', 143],
  ['chaos', 'SIGINT', short, [waits], 'the rig stands', 130],
  ['demo', 'SIGHUP', [], [], 'Ctrl-C stops everything', 129],
  ['demo', 'SIGINT', ['--auto'], [], 'waiting for the first messages', 1],
])(
  'npm run %s, interrupted by %s, does not pass and leaves nothing',
  async (script, name, words, edits, after, code) => {
    const copy = plant(edits)
    const ended = await npmRun(copy, [script, '--', ...words], { signal: { after, name } })
    expect([code, name]).toContain(ended.code)
    await nothingIsLeft(copy)
  },
)
