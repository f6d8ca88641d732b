// Enforces the import rules of import-rules.ts on src/: which room imports which, which place owns a package, no import
// cycles, one reader of the environment. Exits 1 with a line for each violation.
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { developmentOnly, environmentReader, owners, rooms } from './import-rules.ts'

export interface Import {
  readonly target: string
  /** `type`: removed before run time. `dynamic`: loaded only when its line runs. */
  readonly kind: 'static' | 'type' | 'dynamic'
}

const STATIC = /^[ \t]*(?:import|export)\s+(?:(type)\s+)?(?:[\w*${},\s]+?\s+from\s+)?'([^'\n]+)'/gm
const DYNAMIC = /\bimport\(\s*(?:\/\*.*?\*\/\s*)?'([^'\n]+)'/g

const withoutComments = (source: string): string =>
  source.replace(/^[ \t]*\/\/.*$/gm, '').replace(/^[ \t]*\/\*[\s\S]*?\*\//gm, '')

/** The imports of a file. Files are named by their paths from src/ (`domain/phase.ts`), packages as written. */
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

const roomOf = (path: string): string => path.split('/')[0] ?? path

/**
 * Whether an entry of the rules (`domain`, `crypto/hashing.ts`, `@fastify/*`, `nodemailer`) covers what is imported.
 */
const covers = (entry: string, target: string): boolean =>
  entry.endsWith('*') ? target.startsWith(entry.slice(0, -1)) : target === entry || target.startsWith(`${entry}/`)

const refusal = (file: string, { target, kind }: Import): string | undefined => {
  const room = roomOf(file)
  const owner = Object.entries(owners).find(([entry]) => covers(entry, target))
  if (owner !== undefined && !owner[1].some((place) => file.startsWith(place)))
    return `only ${owner[1].join(' and ')} may`
  const isOwn = roomOf(target) === room
  if (developmentOnly.includes(roomOf(target)) && !developmentOnly.includes(room) && kind !== 'dynamic') {
    return 'it is for the demo and tests: only a dynamic import may load it'
  }
  const rule = rooms[room]
  if (isOwn || rule === undefined) return undefined
  if (target.startsWith('node:') && room !== 'domain') return undefined
  return rule.may.some((entry) => covers(entry, target))
    ? undefined
    : `${room} may import only itself${[...rule.may].map((one) => `, ${one}`).join('')}`
}

/** Each import cycle once, as the files on it; imports of types alone make no cycle. */
const findCycles = (graph: ReadonlyMap<string, readonly Import[]>): string[][] => {
  const cycles: string[][] = []
  const finished = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    const at = path.indexOf(file)
    if (at >= 0) cycles.push([...path.slice(at), file])
    if (at >= 0 || finished.has(file)) return
    for (const { target, kind } of graph.get(file) ?? [])
      if (kind === 'static' && graph.has(target)) visit(target, [...path, file])
    finished.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
  return cycles
}

/** Every violation in a tree of sources; the keys are paths from src/. */
export const findViolations = (sources: ReadonlyMap<string, string>): string[] => {
  const graph = new Map([...sources].map(([file, source]) => [file, importsOf(file, source)]))
  const refused = [...graph].flatMap(([file, imports]) =>
    imports.flatMap((one) => {
      const why = refusal(file, one)
      return why === undefined ? [] : [`src/${file} imports ${one.target}: ${why}`]
    }),
  )
  const readers = [...sources]
    .filter(([file, source]) => file !== environmentReader && /\bprocess\.env\b/.test(withoutComments(source)))
    .map(([file]) => `src/${file} reads process.env: only src/${environmentReader} may`)
  const cycles = findCycles(graph).map((cycle) => `import cycle: ${cycle.map((file) => `src/${file}`).join(' → ')}`)
  return [...refused, ...readers, ...cycles]
}

if (import.meta.main) {
  const root = fileURLToPath(new URL('../src/', import.meta.url))
  const files = globSync('**/*.ts', { cwd: root }).filter((file) => !file.startsWith('generated/'))
  const violations = findViolations(new Map(files.map((file) => [file, readFileSync(join(root, file), 'utf8')])))
  for (const violation of violations) console.error(violation)
  if (violations.length === 0) console.log(`import rules: ${files.length} files keep them`)
  else process.exitCode = 1
}
