// Runs the commands of a chapter of the runbook exactly as written there: while the test passes, the chapter is right.
import { execFile } from 'node:child_process'
import { chmod, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const cli = fileURLToPath(new URL('../../src/cli.ts', import.meta.url))

/** The shell blocks of `## <chapter>`, in the chapter's order. */
export const blocksOf = async (chapter: string): Promise<string[]> => {
  const runbook = await readFile('docs/runbook.md', 'utf8')
  const [, text] = new RegExp(`^## ${chapter}$([\\s\\S]*?)^#+ `, 'm').exec(runbook) ?? []
  if (text === undefined) throw new Error(`the runbook has no chapter ${chapter}`)
  return [...text.matchAll(/^( *)```sh\n([\s\S]*?)^ *```$/gm)].map(([, indent = '', block = '']) =>
    block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  )
}

/**
 * A working folder in which `reconsent` is this checkout's command and the given folders come first on the PATH.
 * `runBlock` returns what a block printed.
 */
export const operator = async (env: Readonly<Record<string, string>>, folders: readonly string[]) => {
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-operator-'))
  const command = join(folder, 'reconsent')
  await writeFile(command, `#!/bin/sh\nexec '${process.execPath}' '${cli}' "$@"\n`)
  await chmod(command, 0o755)
  const path = [folder, ...folders, process.env['PATH'] ?? ''].join(':')
  return {
    folder,
    runBlock: async (block: string): Promise<string> =>
      (
        await run('sh', ['-eu', '-c', block], {
          cwd: folder,
          env: { PATH: path, HOME: folder, ...env } as unknown as NodeJS.ProcessEnv,
        })
      ).stdout,
  }
}
