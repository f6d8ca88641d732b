// A copy of the project with a failure planted in it, whose commands run as a user or CI runs them: by npm, as real
// processes.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished } from 'vitest'
import { applied } from '../mutants/apply.ts'
import { type Copy, makeCopy } from '../mutants/copy.ts'
import type { Edit } from '../mutants/mutant.ts'

const project = fileURLToPath(new URL('../..', import.meta.url))

export interface Ended {
  /** The exit code, or the signal's name. */
  readonly code: number | string
  readonly output: string
}

/** The copy is removed when the test has ended. */
export const plant = (edits: readonly Edit[], files: Readonly<Record<string, string>> = {}): Copy => {
  const copy = makeCopy(project)
  onTestFinished(copy.remove)
  for (const [file, text] of applied(edits, copy.read)) copy.write(file, text)
  for (const [file, text] of Object.entries(files)) copy.write(file, text)
  return copy
}

/** The variables that the outer test runner has set must not reach the command under test. */
const environment = (temporary: string, over: Readonly<Record<string, string>>): NodeJS.ProcessEnv => {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(?:npm_|VITEST|NODE_ENV|NODE_OPTIONS|DATABASE_URL|TEST_|TEST$|INIT_CWD)/.test(name),
  )
  return { ...Object.fromEntries(kept), TMPDIR: temporary, NO_COLOR: '1', ...over }
}

export interface Run {
  readonly cwd: string
  readonly temporary: string
  readonly env?: Readonly<Record<string, string>>
  /** The signal is sent to the whole process group, as a terminal does, once the output contains the text. */
  readonly signal?: { readonly after: string; readonly name: NodeJS.Signals }
}

export const run = async (
  [program = '', ...args]: readonly string[],
  { cwd, temporary, env = {}, signal }: Run,
): Promise<Ended> => {
  const child = spawn(program, args, {
    cwd,
    env: environment(temporary, env),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const toGroup = (name: NodeJS.Signals): void => {
    try {
      process.kill(-(child.pid ?? 0), name)
    } catch {
      // The group has ended already.
    }
  }
  onTestFinished(() => toGroup('SIGKILL'))
  let output = ''
  let sent = false
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      if (signal === undefined || sent || !output.includes(signal.after)) return
      sent = true
      toGroup(signal.name)
    })
  }
  const [code, name] = (await once(child, 'close')) as [number | null, string | null]
  return { code: code ?? name ?? '', output }
}

/** Runs `npm run …` in the copy. */
export const npmRun = async (
  { tree, temporary }: Copy,
  words: readonly string[],
  over: Partial<Run> = {},
): Promise<Ended> => run(['npm', 'run', ...words], { cwd: tree, temporary, ...over })

/** No folder of a server is left; each is removed once its server has ended. */
export const nothingIsLeft = async ({ temporary }: Copy): Promise<void> => {
  await expect
    .poll(() => readdirSync(temporary).filter((name) => /^reconsent-(?:postgres|redis)-/.test(name)))
    .toEqual([])
}
