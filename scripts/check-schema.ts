// Checks that prisma/schema.prisma and prisma/migrations describe the same tables: applies the migrations to an empty
// embedded PostgreSQL and asks Prisma's own engine for the difference. CHECKs and partial indexes are invisible to
// Prisma, in both.
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } from '@prisma/driver-adapter-utils'
import * as engineModule from '@prisma/schema-engine-wasm/schema_engine_bg'
import type { SchemaEngine as Engine } from '@prisma/schema-engine-wasm'
import pg from 'pg'
import { startEmbeddedPostgres } from '../simulator/embedded/postgres.ts'
import { openPool } from '../src/postgres/pool.ts'
import { Secret } from '../src/secret.ts'
import { migrate } from '../src/store/migrate.ts'

const SCHEMA = fileURLToPath(new URL('../prisma/schema.prisma', import.meta.url))

/** Declared as far as this script uses it: TypeScript has WebAssembly in its DOM library only. */
declare const WebAssembly: {
  instantiate(
    bytes: Uint8Array,
    imports: Record<string, unknown>,
  ): Promise<{ instance: { exports: { __wbindgen_start(): void } } }>
}

/**
 * The package's own entry imports its .wasm file as a module, which Node allows only with a flag. Loaded once per
 * process.
 */
const loadEngine = async (): Promise<typeof Engine> => {
  // The engine passes its message here when it panics.
  Object.assign(globalThis, {
    PRISMA_WASM_PANIC_REGISTRY: { set_message: (message: string) => console.error(message) },
  })
  const bytes = await readFile(
    new URL('schema_engine_bg.wasm', import.meta.resolve('@prisma/schema-engine-wasm/schema_engine_bg')),
  )
  const glue = engineModule as unknown as { __wbg_set_wasm(exports: unknown): void; SchemaEngine: typeof Engine }
  const { instance } = await WebAssembly.instantiate(bytes, { './schema_engine_bg.js': glue })
  glue.__wbg_set_wasm(instance.exports)
  instance.exports.__wbindgen_start()
  return glue.SchemaEngine
}

let engineLoaded: Promise<typeof Engine> | undefined

/** PostgreSQL's internal type "char", which many columns of the catalogues have. */
const CHAR = 18

/**
 * Prisma's adapter with support for the type "char": the adapter itself refuses it, and the engine accepts no other
 * type for such columns. The driver's result passes the adapter as text, and the column becomes a character again
 * before the engine sees it.
 */
const connectionFor = (url: string) => {
  const characters = new WeakMap<object, Set<number>>()
  const { pool } = openPool(new Secret(url), { applicationName: 'reconsent check-schema', connections: 4 })
  const query = pool.query.bind(pool) as (...args: unknown[]) => Promise<pg.QueryResult>
  const asText = async (...args: unknown[]): Promise<pg.QueryResult> => {
    const result = await query(...args)
    const found = [...result.fields.entries()].filter(([, field]) => field.dataTypeID === CHAR)
    for (const [, field] of found) field.dataTypeID = pg.types.builtins.TEXT
    characters.set(result.rows, new Set(found.map(([at]) => at)))
    return result
  }
  const factory = new PrismaPg(Object.assign(pool, { query: asText }), { disposeExternalPool: true })
  const connect = factory.connect.bind(factory)
  factory.connect = async () => {
    const adapter = await connect()
    const queryRaw = adapter.queryRaw.bind(adapter)
    adapter.queryRaw = async (asked) => {
      const answer = await queryRaw(asked)
      const columnTypes = answer.columnTypes.map((type, at) =>
        characters.get(answer.rows)?.has(at) === true ? ColumnTypeEnum.Character : type,
      )
      return { ...answer, columnTypes }
    }
    return adapter
  }
  return { adapter: bindMigrationAwareSqlAdapterFactory(factory), close: async () => pool.end() }
}

/** The SQL that a migration would need to make the migrated database match the schema; empty when they agree. */
export const findDrift = async (schema: string, migrationsFolder?: string): Promise<string> => {
  // Settings as on a server that is set up for people: the comparison must not depend on them.
  const database = await startEmbeddedPostgres({
    settings: { timezone: 'America/St_Johns', datestyle: 'SQL, DMY', intervalstyle: 'sql_standard' },
  })
  try {
    await migrate(database.url, migrationsFolder)
    const SchemaEngine = await (engineLoaded ??= loadEngine())
    const { adapter, close } = connectionFor(database.url)
    const engine = await SchemaEngine.new({ datamodels: [[SCHEMA, schema]] }, () => undefined, adapter)
    const files = [{ path: SCHEMA, content: schema }]
    const { stdout } = await engine.diff({
      // The database behind the adapter.
      from: { tag: 'schemaDatasource', files, configDir: dirname(SCHEMA) },
      to: { tag: 'schemaDatamodel', files },
      script: true,
      exitCode: true,
      filters: { externalTables: [], externalEnums: [] },
    })
    await close()
    const sql = stdout?.trim() ?? ''
    return /^(?:--.*\s*)*$/.test(sql) ? '' : sql
  } finally {
    await database.stop()
  }
}

if (import.meta.main) {
  const drift = await findDrift(await readFile(SCHEMA, 'utf8'))
  if (drift === '') console.log('prisma/schema.prisma and prisma/migrations agree')
  else {
    console.error(`prisma/migrations lack what prisma/schema.prisma says. Write a migration, such as:\n\n${drift}\n`)
    process.exitCode = 1
  }
}
