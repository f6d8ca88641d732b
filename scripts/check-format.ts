// Checks that the sources are as the formatter leaves them, and that no line is longer than the limit: the formatter
// breaks code, but no comment, string or regular expression. Exits 1 and says what to do.
import { spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const project = fileURLToPath(new URL('..', import.meta.url))
const { printWidth, ignorePatterns } = JSON.parse(readFileSync(`${project}.oxfmtrc.json`, 'utf8')) as {
  printWidth: number
  ignorePatterns: string[]
}

const formatted = spawnSync(`${project}node_modules/.bin/oxfmt`, ['--check'], { cwd: project, encoding: 'utf8' })
if (formatted.status !== 0) console.error(`${formatted.stdout}${formatted.stderr}`.trimEnd())

const files = globSync('**/*.ts', { cwd: project, exclude: ['**/node_modules/**', ...ignorePatterns] })
const tooLong = files.flatMap((file) =>
  readFileSync(`${project}${file}`, 'utf8')
    .split('\n')
    .flatMap((line, index) => (line.length > printWidth ? [`${file}:${index + 1}: ${line.length} columns`] : [])),
)
if (tooLong.length > 0) console.error(`break these lines by hand:\n${tooLong.join('\n')}`)

process.exitCode = formatted.status === 0 && tooLong.length === 0 ? 0 : 1
