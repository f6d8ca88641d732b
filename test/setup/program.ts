// A real program that a test needs: from a variable, else from the PATH, else (as root on Debian or Ubuntu) from apt.
// Never skips a test: if the program cannot be found, the run ends with one line that says what to install.
import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

export interface Program {
  /** Any of these names on the PATH will do. */
  readonly names: readonly string[]
  /** Debian's package that contains the first of them. */
  readonly debianPackage: string
  /** Environment variable that may name the program's path. */
  readonly variable?: string
  /** Folders searched after the PATH; Debian keeps some programs out of the PATH. */
  readonly folders?: readonly string[]
}

const run = promisify(execFile)
const ALSO = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/opt/homebrew/bin']

const find = ({ names, folders = [] }: Program): string | undefined => {
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '')
  const candidates = [...path, ...ALSO, ...folders].flatMap((folder) => names.map((name) => join(folder, name)))
  return candidates.find((candidate) => existsSync(candidate))
}

const mayInstall = (): boolean =>
  process.getuid?.() === 0 && spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).status === 0

const apt = async (...words: string[]): Promise<void> => {
  // RUNLEVEL=1 keeps a package from starting its service; the lock has a time-out, because several test files may
  // install at the same time.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  await run('apt-get', ['-qq', '-o', 'DPkg::Lock::Timeout=300', ...words], { env, maxBuffer: 64 * 1024 * 1024 })
}

/** The path of the program. Rejects with an Error that says what to install. */
export const findProgram = async (program: Program): Promise<string> => {
  const {
    names: [name = ''],
    debianPackage,
    variable,
  } = program
  const given = variable === undefined ? undefined : process.env[variable]
  if (given !== undefined && given !== '') return given
  const found = find(program)
  if (found !== undefined) return found
  const advice =
    `no ${name} for the tests: install it (Debian: apt-get install ` +
    `${debianPackage})${variable === undefined ? '' : ` or set ${variable} to its path`}`
  if (!mayInstall()) throw new Error(advice)
  console.log(`No ${name} found: installing Debian package ${debianPackage} by apt-get for the tests.`)
  try {
    await apt('update')
    await apt('install', '-y', '--no-install-recommends', debianPackage)
  } catch {
    throw new Error(`${advice} (apt-get could not install it)`)
  }
  const installed = find(program)
  if (installed === undefined) throw new Error(advice)
  return installed
}
