// Chromium for the browser tests: CHROMIUM, else one on the PATH, else (root on Debian or Ubuntu) from apt. Never skips.
import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    chromium: string
  }
}

const INSTALL = 'no Chromium for the browser tests: install it (Debian: apt-get install chromium) or set CHROMIUM to its path'
const run = promisify(execFile)

const findOnPath = (): string | undefined => {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '')
  const candidates = folders.flatMap((folder) => ['chromium', 'chromium-browser', 'google-chrome'].map((name) => join(folder, name)))
  return candidates.find((path) => existsSync(path))
}

const installByApt = async (): Promise<string> => {
  if (process.getuid?.() !== 0 || spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).status !== 0) throw new Error(INSTALL)
  console.log('No Chromium found: installing Debian package chromium by apt-get for the browser tests.')
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  try {
    await run('apt-get', ['update', '-qq'], { env })
    await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], { env, maxBuffer: 64 * 1024 * 1024 })
  } catch {
    throw new Error(`${INSTALL} (apt-get could not install it)`)
  }
  const path = findOnPath()
  if (path === undefined) throw new Error(INSTALL)
  return path
}

export default async (project: TestProject): Promise<void> => {
  const given = process.env['CHROMIUM']
  project.provide('chromium', given !== undefined && given !== '' ? given : (findOnPath() ?? (await installByApt())))
}
