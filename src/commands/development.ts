// What is for development alone: commands load it when they are called, and production installations leave it out.
import { existsSync } from 'node:fs'

/** This installation lacks what the command needs: exit code 2. `message` is the whole story. */
export class NotInstalled extends Error {
  override readonly name = 'NotInstalled'
}

const SIMULATOR = new URL('../../simulator/package.json', import.meta.url)

/** For what is in simulator/ alone. Rejects with NotInstalled where that, or a package that it needs, is missing. */
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

/** `why`: what was not found. */
export const packagesMissing = (why: Error): NotInstalled =>
  new NotInstalled(`this command needs the development packages: run npm ci without --omit=dev (${why.message})`, {
    cause: why,
  })
