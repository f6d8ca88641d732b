// Loads modules that are for development only. Commands load them when they run; production installations leave them
// out.
import { existsSync } from 'node:fs'

/** This installation lacks something that the command needs: exit code 2. `message` is the complete explanation. */
export class NotInstalled extends Error {
  override readonly name = 'NotInstalled'
}

const SIMULATOR = new URL('../../simulator/package.json', import.meta.url)

/**
 * For modules of simulator/ only. Rejects with NotInstalled when simulator/, or a package that it needs, is missing.
 */
export const fromDevelopment = async <Module>(load: () => Promise<Module>, manifest = SIMULATOR): Promise<Module> => {
  if (!existsSync(manifest))
    throw new NotInstalled(
      'this command needs the development packages, and simulator/ is no part of this installation',
    )
  try {
    return await load()
  } catch (error) {
    if (!(error instanceof Error) || (error as { code?: unknown }).code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw packagesMissing(error)
  }
}

/** `why` is the error that names the missing module. */
export const packagesMissing = (why: Error): NotInstalled =>
  new NotInstalled(`this command needs the development packages: run npm ci without --omit=dev (${why.message})`, {
    cause: why,
  })
