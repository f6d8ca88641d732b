// Enforces the import rules of import-rules.ts: which room imports which, who owns a package, one reader of the
// environment, and no cycles anywhere. Exits 1 with a line for each violation.
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { developmentOnly, environmentReader, notShipped, outside, owners, rooms } from './import-rules.ts'

export interface Import {
  readonly target: string
  /** `type`: removed before run time. `dynamic`: loaded only when its line runs. */
  readonly kind: 'static' | 'type' | 'dynamic'
}

const STATIC = /^[ \t]*(?:import|export)\s+(?:(type)\s+)?(?:[\w*${},\s]+?\s+from\s+)?'([^'\n]+)'/gm
const DYNAMIC = /\bimport\(\s*(?:\/\*.*?\*\/\s*)?'([^'\n]+)'/g

const withoutComments = (source: string): string =>
  source.replace(/^[ \t]*\/\/.*$/gm, '').replace(/^[ \t]*\/\*[\s\S]*?\*\//gm, '')

/** What a file imports. Paths are from the project's root (`src/domain/phase.ts`), packages as written. */
export const importsOf = (file: string, source: string): Import[] => {
  const code = withoutComments(source)
  const from = (target: string): string => (target.startsWith('.') ? normalize(join(dirname(file), target)) : target)
  return [
    ...[...code.matchAll(STATIC)].map(([, type, target = '']): Import => ({
      target: from(target),
      kind: type === undefined ? 'static' : 'type',
    })),
    ...[...code.matchAll(DYNAMIC)].map(([, target = '']): Import => ({ target: from(target), kind: 'dynamic' })),
  ]
}

/**
 * Whether an entry of the rules (`domain`, `crypto/hashing.ts`, `@fastify/*`, `nodemailer`) covers what is imported.
 */
const covers = (entry: string, target: string): boolean =>
  entry.endsWith('*') ? target.startsWith(entry.slice(0, -1)) : target === entry || target.startsWith(`${entry}/`)

const isIn = (folders: readonly string[], target: string): boolean => folders.some((folder) => covers(folder, target))

const PRODUCT = 'src/'
const READ_NO_ENVIRONMENT = /^(?:src|simulator)\//
const isProduct = (path: string): boolean => path.startsWith(PRODUCT)
/** What the rules of src/ call it. */
const inProduct = (path: string): string => (isProduct(path) ? path.slice(PRODUCT.length) : path)

/** Whatever lies in no room of its own makes one with the folder it is in. */
const roomOf = (path: string): string =>
  isProduct(path)
    ? `${PRODUCT}${inProduct(path).split('/')[0]}`
    : (Object.keys(outside).find((folder) => covers(folder, path)) ?? dirname(path))

const mayImport = (file: string): readonly string[] | undefined =>
  (isProduct(file) ? rooms[inProduct(roomOf(file))] : outside[roomOf(file)])?.may

const refusal = (file: string, { target, kind }: Import): string | undefined => {
  const named = isProduct(file) ? inProduct(target) : target
  if (isProduct(file)) {
    const owner = Object.entries(owners).find(([entry]) => covers(entry, named))
    if (owner !== undefined && !owner[1].some((place) => inProduct(file).startsWith(place)))
      return `only ${owner[1].join(' and ')} may`
    if (isIn(developmentOnly, target)) {
      if (kind !== 'dynamic') return 'it is for the demo and tests: only a dynamic import may load it'
    } else if (isIn(notShipped, target)) return 'it is no part of the product'
  }
  const may = mayImport(file)
  if (may === undefined || roomOf(target) === roomOf(file)) return undefined
  if (target.startsWith('node:') && roomOf(file) !== `${PRODUCT}domain`) return undefined
  return may.some((entry) => covers(entry, named))
    ? undefined
    : `${inProduct(roomOf(file))} may import only itself${may.map((one) => `, ${one}`).join('')}`
}

/** Each cycle once, as the files on it. Those by types count: who reads one file of such a cycle must read them all. */
const findCycles = (graph: ReadonlyMap<string, readonly Import[]>): string[][] => {
  const cycles: string[][] = []
  const finished = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    const at = path.indexOf(file)
    if (at >= 0) cycles.push([...path.slice(at), file])
    if (at >= 0 || finished.has(file)) return
    for (const { target } of graph.get(file) ?? []) if (graph.has(target)) visit(target, [...path, file])
    finished.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
  return cycles
}

/** Every violation in a tree of sources, by path from the project's root. */
export const findViolations = (sources: ReadonlyMap<string, string>): string[] => {
  const graph = new Map([...sources].map(([file, source]) => [file, importsOf(file, source)]))
  const refused = [...graph].flatMap(([file, imports]) =>
    imports.flatMap((one) => {
      const why = refusal(file, one)
      return why === undefined ? [] : [`${file} imports ${one.target}: ${why}`]
    }),
  )
  const readers = [...sources]
    .filter(([file, source]) => READ_NO_ENVIRONMENT.test(file) && /\bprocess\.env\b/.test(withoutComments(source)))
    .filter(([file]) => file !== environmentReader)
    .map(([file]) => `${file} reads process.env: only ${environmentReader} may`)
  const cycles = findCycles(graph).map((cycle) => `import cycle: ${cycle.join(' → ')}`)
  return [...refused, ...readers, ...cycles]
}

if (import.meta.main) {
  const root = fileURLToPath(new URL('../', import.meta.url))
  const files = globSync(['*.ts', '{src,simulator,test,bench,scripts}/**/*.ts'], {
    cwd: root,
    exclude: ['src/generated/**', 'bench/generated/**', 'simulator/dist/**', '**/node_modules/**'],
  })
  const violations = findViolations(new Map(files.map((file) => [file, readFileSync(join(root, file), 'utf8')])))
  for (const violation of violations) console.error(violation)
  if (violations.length === 0) console.log(`import rules: ${files.length} files keep them`)
  else process.exitCode = 1
}
