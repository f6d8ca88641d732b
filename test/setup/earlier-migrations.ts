// The migrations folder as an earlier release shipped it.
import { cp, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { shippedFolder } from '../../src/store/migrate.ts'

/** A temporary folder with these migrations alone; whoever asks for it removes it. */
export const earlierMigrations = async (names: readonly string[]): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'migrations-'))
  for (const name of names) await cp(join(shippedFolder, name), join(folder, name), { recursive: true })
  return folder
}
