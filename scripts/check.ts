// `npm run check`: checks everything about the sources that can be checked without running them, two steps at a time.
// Exits 1 if any step fails, but only after all steps have run, so that everything wrong is seen at once. `npm run
// check -- migrations` runs only the named steps.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

interface Step {
  readonly name: string
  readonly command: readonly string[]
  /** What to do about a failure, where the step's own output does not say it. */
  readonly advice?: string
}

const project = fileURLToPath(new URL('..', import.meta.url))
const bin = (name: string): string => fileURLToPath(new URL(`../node_modules/.bin/${name}`, import.meta.url))
const prisma = fileURLToPath(new URL('../node_modules/prisma/build/index.js', import.meta.url))

const steps: readonly Step[] = [
  { name: 'types', command: [bin('tsc'), '--noEmit'] },
  { name: 'format', command: [process.execPath, 'scripts/check-format.ts'], advice: 'npm run format' },
  { name: 'lint', command: [bin('oxlint'), '--format', 'unix'] },
  {
    name: 'import rules',
    command: [process.execPath, 'scripts/check-imports.ts'],
    advice: 'scripts/import-rules.ts says who may import whom',
  },
  {
    name: 'texts',
    command: [process.execPath, 'scripts/check-texts.ts'],
    advice: 'docs/templates.md explains the files',
  },
  { name: 'docs/states.md', command: [process.execPath, 'scripts/generate-states.ts', '--check'] },
  { name: 'docs/configuration.md', command: [process.execPath, 'scripts/generate-configuration.ts', '--check'] },
  { name: 'schema.prisma', command: [process.execPath, prisma, 'validate'] },
  {
    name: 'alerts',
    command: [process.execPath, 'scripts/check-alerts.ts'],
    advice: 'scripts/alerts/cases.ts says when each alert fires',
  },
  { name: 'migrations', command: [process.execPath, 'scripts/check-schema.ts'] },
]

/** Prisma must neither download an engine nor ask for newer versions; none of these steps migrates. */
const env = {
  ...process.env,
  PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true',
  CHECKPOINT_DISABLE: '1',
  PRISMA_HIDE_UPDATE_MESSAGE: '1',
}

const run = async ({ name, command: [program = '', ...args], advice }: Step): Promise<boolean> => {
  const started = performance.now()
  const child = spawn(program, args, { cwd: project, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  if (code === 0) console.log(`ok      ${name} (${seconds} s)`)
  else
    console.error(`FAILED  ${name} (${seconds} s)\n${output.trimEnd()}${advice === undefined ? '' : `\n(${advice})`}`)
  return code === 0
}

const named = process.argv.slice(2)
const unknown = named.filter((name) => !steps.some((step) => step.name === name))
if (unknown.length > 0) {
  console.error(`no such step: ${unknown.join(', ')}. There are: ${steps.map(({ name }) => name).join(', ')}`)
  process.exit(2)
}
const waiting = steps.filter(({ name }) => named.length === 0 || named.includes(name))
const results: boolean[] = []
const worker = async (): Promise<void> => {
  for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) results.push(await run(step))
}
await Promise.all([worker(), worker()])
const failed = results.filter((passed) => !passed).length
console.log(failed === 0 ? 'all checks passed' : `${failed} of ${results.length} checks failed`)
process.exitCode = failed === 0 ? 0 : 1
