// Finds and loads the policy file: worker.config.ts, or the file named by RECONSENT_CONFIG. Does not check the policy
// inside.
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, extname, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { copyPlainData, isPlainObject } from './plain-data.ts'
import type { Report } from './problems.ts'

export const POLICY_FILE = 'worker.config.ts'

const EXTENSIONS = ['.ts', '.mts', '.js', '.mjs', '.cjs', '.json']

export interface PolicyFile {
  /** The file's name without its folder, for messages. */
  readonly name: string
  readonly policy: object
}

/** The path that `RECONSENT_CONFIG` names: a file URL, or a path relative to the working directory. */
const pathOf = (named: string, cwd: string): string =>
  named.startsWith('file:') ? fileURLToPath(named) : resolve(cwd, named)

/**
 * The first line of an error's message. It may be shown, because the error is in the operator's own file and they need
 * to see it.
 */
const reasonOf = (error: unknown): string => {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : 'it threw something that is not an Error'
  return (text.split('\n')[0] ?? '').slice(0, 200)
}

const describe = (value: unknown): string => {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'a list'
  if (typeof value !== 'object') return `a ${typeof value}`
  const kind = Object.prototype.toString.call(value).slice('[object '.length, -1)
  return kind === 'Object' ? 'an instance of a class' : `a ${kind}`
}

const load = async (path: string): Promise<{ readonly policy: object } | { readonly problem: string }> => {
  try {
    const module =
      extname(path) === '.json'
        ? { default: JSON.parse(await readFile(path, 'utf8')) as unknown }
        : ((await import(/* @vite-ignore */ pathToFileURL(path).href)) as { default?: unknown })
    if (!('default' in module)) return { problem: 'has no default export: write export default defineConfig({ … })' }
    const { default: value } = module
    return isPlainObject(value)
      ? { policy: copyPlainData(value) as object }
      : { problem: `must export a policy object, not ${describe(value)}` }
  } catch (error) {
    return { problem: `could not be loaded: ${reasonOf(error)}` }
  }
}

/**
 * Loads the policy. When no file is named and the default file does not exist, the policy is empty and all defaults
 * apply; a file that RECONSENT_CONFIG names must exist. Reports a file that cannot be loaded, and then returns
 * undefined.
 */
export const loadPolicyFile = async (
  named: string | undefined,
  cwd: string,
  report: Report,
): Promise<PolicyFile | undefined> => {
  let path = resolve(cwd, POLICY_FILE)
  if (named !== undefined) {
    try {
      path = pathOf(named, cwd)
    } catch {
      report('RECONSENT_CONFIG', 'is not a usable file URL: write file:///path/to/worker.config.ts, or a path')
      return undefined
    }
  }
  const name = basename(path)
  if (!existsSync(path)) {
    if (named === undefined) return { name, policy: {} }
    report('RECONSENT_CONFIG', `names a file that does not exist: ${path}`)
    return undefined
  }
  if (!EXTENSIONS.includes(extname(path))) {
    report('RECONSENT_CONFIG', `names a file of an unknown kind: it must end in ${EXTENSIONS.join(', ')}`)
    return undefined
  }
  const loaded = await load(path)
  if ('policy' in loaded) return { name, policy: loaded.policy }
  report(name, loaded.problem)
  return undefined
}
