// Prepares a fresh checkout after `npm ci`, without any download: generates the database client from the schema, and
// links `npx reconsent`, because npm does not link a package's command within the package itself.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const root = new URL('../', import.meta.url)
const path = (name: string): string => fileURLToPath(new URL(name, root))

/** A hash that changes with the schema and with Prisma's version. */
const sourceOfClient = (): string => {
  const { version } = createRequire(import.meta.url)('prisma/package.json') as { version: string }
  return createHash('sha256')
    .update(version)
    .update(readFileSync(path('prisma/schema.prisma')))
    .digest('hex')
}

const generateClient = (): void => {
  const marker = path('src/generated/made-from')
  const source = sourceOfClient()
  if (existsSync(marker) && readFileSync(marker, 'utf8').trim() === source) return
  execFileSync(process.execPath, [path('node_modules/prisma/build/index.js'), 'generate'], {
    cwd: path('.'),
    // Prisma would download a schema engine, which `generate` does not use.
    env: {
      ...process.env,
      PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true',
      PRISMA_HIDE_UPDATE_MESSAGE: '1',
      CHECKPOINT_DISABLE: '1',
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  writeFileSync(marker, `${source}\n`)
}

const linkCommand = (): void => {
  const link = path('node_modules/.bin/reconsent')
  const target = '../../src/cli.ts'
  chmodSync(path('src/cli.ts'), 0o755)
  const found = lstatSync(link, { throwIfNoEntry: false })
  if (found?.isSymbolicLink() === true && readlinkSync(link) === target) return
  mkdirSync(path('node_modules/.bin'), { recursive: true })
  rmSync(link, { force: true })
  symlinkSync(target, link)
}

generateClient()
linkCommand()
