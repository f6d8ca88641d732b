// Completes package-lock.json after `npm install`. A registry mirror may lack optional packages of other platforms; npm
// then leaves them out of the lock, and `npm ci` on those platforms refuses the lock. A stub with os and cpu is all
// that npm needs to skip such a package.
import { readFileSync, writeFileSync } from 'node:fs'

interface LockEntry {
  version?: string
  optional?: boolean
  os?: string[]
  cpu?: string[]
  optionalDependencies?: Record<string, string>
}

const file = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(file, 'utf8')) as { packages: Record<string, LockEntry> }
const systems = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32']
const processors = ['arm64', 'arm', 'ia32', 'ppc64', 'riscv64', 's390x', 'x64']
let added = 0

for (const [at, entry] of Object.entries({ ...lock.packages })) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (
      lock.packages[`node_modules/${name}`] !== undefined ||
      lock.packages[`${at}/node_modules/${name}`] !== undefined
    )
      continue
    const platform = name.split('/').at(-1) ?? name
    const os = systems.filter((system) => platform.includes(system))
    const cpu = processors.filter((processor) => platform.includes(processor)).slice(0, 1)
    if (os.length === 0 || cpu.length === 0) {
      throw new Error(`package-lock.json lacks ${name}, and its name does not say for which platform it is`)
    }
    lock.packages[`node_modules/${name}`] = { version, optional: true, os, cpu }
    added += 1
  }
}

lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)))
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
process.stdout.write(`package-lock.json: ${added} platform packages added\n`)
