// Prepares a fresh checkout after `npm ci`, without any download: generates the database clients from the schemas, and
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

interface Client {
  readonly schema: string
  /** The folder that the schema names as the client's place. */
  readonly folder: string
}

const ownClient: Client = { schema: 'prisma/schema.prisma', folder: 'src/generated' }
/** For the bench's cron script. */
const benchClient: Client = { schema: 'bench/prisma/schema.prisma', folder: 'bench/generated' }

/** A hash that changes with the schema and with Prisma's version. */
const sourceOf = ({ schema }: Client): string => {
  const { version } = createRequire(import.meta.url)('prisma/package.json') as { version: string }
  return createHash('sha256')
    .update(version)
    .update(readFileSync(path(schema)))
    .digest('hex')
}

const generate = (client: Client): void => {
  const marker = path(`${client.folder}/made-from`)
  const source = sourceOf(client)
  if (existsSync(marker) && readFileSync(marker, 'utf8').trim() === source) return
  execFileSync(process.execPath, [path('node_modules/prisma/build/index.js'), 'generate', '--schema', client.schema], {
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

generate(ownClient)
generate(benchClient)
linkCommand()
