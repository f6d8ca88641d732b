// Which packages production needs, by package-lock.json. Its own marks (`dev`) do not say: what the simulator's
// workspace needs is for development to us, and no development dependency to npm.

export interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>
}

interface LockedPackage {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

/** Where Node finds `name` from a package: beside it, or further out. Undefined when npm has left it out. */
const resolve = ({ packages }: Lock, from: string, name: string): string | undefined => {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const path = `${at === '' ? '' : `${at}/`}node_modules/${name}`
    if (packages[path] !== undefined) return path
    if (at === '') return undefined
  }
}

/** By their paths in the lock: what `from` (the root, unless said) depends on, and what that does. */
export const shippedPackages = (lock: Lock, from = ''): ReadonlySet<string> => {
  const found = new Set<string>()
  const visit = (at: string): void => {
    const { dependencies, optionalDependencies } = lock.packages[at] ?? {}
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const path = resolve(lock, at, name)
      if (path === undefined || found.has(path)) continue
      found.add(path)
      visit(path)
    }
  }
  visit(from)
  return found
}
