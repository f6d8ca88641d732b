import { describe, expect, it } from 'vitest'
import { findViolations, importsOf } from '../../scripts/check-imports.ts'

const violationsOf = (files: Record<string, string>): string[] => findViolations(new Map(Object.entries(files)))

describe('what a file imports', () => {
  it('finds static, type, re-exporting, side-effect and dynamic imports, over several lines too', () => {
    const source = `
import { a } from './a.ts'
import type { B } from '../store/port.ts'
import {
  one,
  type Two,
} from 'luxon'
import * as all from './all.ts'
import Default, { more } from 'pg'
import './effect.ts'
export { c } from './c.ts'
export * from './d.ts'
const late = await import('../../simulator/src/start-simulator.ts')
`
    expect(importsOf('src/queue/x.ts', source)).toEqual([
      { target: 'src/queue/a.ts', kind: 'static' },
      { target: 'src/store/port.ts', kind: 'type' },
      { target: 'luxon', kind: 'static' },
      { target: 'src/queue/all.ts', kind: 'static' },
      { target: 'pg', kind: 'static' },
      { target: 'src/queue/effect.ts', kind: 'static' },
      { target: 'src/queue/c.ts', kind: 'static' },
      { target: 'src/queue/d.ts', kind: 'static' },
      { target: 'simulator/src/start-simulator.ts', kind: 'dynamic' },
    ])
  })

  it('takes neither comments nor exported values for imports', () => {
    expect(
      importsOf('x.ts', "// import { a } from './a.ts'\n/* import './b.ts' */\nexport const text = 'from'\n"),
    ).toEqual([])
  })
})

describe('import rules', () => {
  const refused: Record<string, Record<string, string>> = {
    'the domain imports a file of Node': { 'src/domain/a.ts': "import { readFileSync } from 'node:fs'" },
    'the domain imports the store, types only': { 'src/domain/a.ts': "import type { Store } from '../store/port.ts'" },
    'a processor imports a file of the store': { 'src/processors/a.ts': "import { b } from '../store/renewals.ts'" },
    'the queue imports the store': { 'src/queue/a.ts': "import { b } from '../store/rows.ts'" },
    'a page imports the provider': { 'src/http/a.ts': "import { b } from '../provider/truelayer/client.ts'" },
    'a processor imports bullmq': { 'src/processors/a.ts': "import { Queue } from 'bullmq'" },
    'a command imports bullmq': { 'src/commands/a.ts': "import { Queue } from 'bullmq'" },
    'a page beside the board imports bullmq': { 'src/http/server.ts': "import { Queue } from 'bullmq'" },
    'the command line imports Prisma': { 'src/cli.ts': "import { PrismaPg } from '@prisma/adapter-pg'" },
    'the command line imports the generated client': {
      'src/cli.ts': "import { Prisma } from './generated/prisma/client.ts'",
    },
    'the command line imports the simulator statically': {
      'src/cli.ts': "import { s } from '../simulator/src/start-simulator.ts'",
    },
    'a command imports the simulator, types only': {
      'src/commands/a.ts': "import type { S } from '../../simulator/src/start-simulator.ts'",
    },
    'a command imports the simulator by its package': {
      'src/commands/a.ts': "import { s } from 'truelayer-simulator'",
    },
    'a command loads what is for tests': { 'src/commands/a.ts': "await import('../../test/setup/redis.ts')" },
    'the simulator imports a processor': { 'simulator/src/a.ts': "import { s } from '../../src/processors/sweep.ts'" },
    'the simulator imports the demo': { 'simulator/src/a.ts': "import { d } from '../demo/act.ts'" },
    'the simulator imports a package of ours': { 'simulator/src/a.ts': "import pg from 'pg'" },
    'the embedded PostgreSQL imports the clock': {
      'simulator/embedded/a.ts': "import { c } from '../../src/clock.ts'",
    },
    'the chaos run imports a test': { 'test/chaos/a.ts': "import { a } from '../store/rights.test.ts'" },
    'the bench imports the chaos run': { 'bench/a.ts': "import { a } from '../test/chaos/rig.ts'" },
    'another file reads the environment': { 'src/store/a.ts': 'const url = process.env.DATABASE_URL' },
    'the simulator reads the environment': { 'simulator/src/a.ts': 'const port = process.env.PORT' },
    'two files import each other': {
      'src/queue/a.ts': "import { b } from './b.ts'",
      'src/queue/b.ts': "import { a } from './a.ts'",
    },
    'a value comes one way, its type the other': {
      'src/queue/a.ts': "import { b } from './b.ts'",
      'src/queue/b.ts': "import type { A } from './a.ts'",
    },
    'three files of the chaos run are a circle of types alone': {
      'test/chaos/a.ts': "import type { B } from './faults/b.ts'",
      'test/chaos/faults/b.ts': "import type { C } from '../c.ts'",
      'test/chaos/c.ts': "import type { A } from './a.ts'",
    },
    'a circle closes by a type that is loaded when it is needed': {
      'test/a.ts': "type B = typeof import('./b.ts')",
      'test/b.ts': "export type { A } from './a.ts'",
    },
  }
  it.each(Object.entries(refused))('refuses: %s', (_what, files) => {
    expect(violationsOf(files)).toHaveLength(1)
  })

  const allowed: Record<string, Record<string, string>> = {
    'the domain imports luxon and itself': {
      'src/domain/a.ts': "import { DateTime } from 'luxon'\nimport { b } from './b.ts'",
    },
    'a processor imports a port': { 'src/processors/a.ts': "import type { Store } from '../store/port.ts'" },
    'the board imports bullmq': { 'src/http/board.ts': "import type { Queue } from 'bullmq'" },
    'the command line loads the demo when asked': {
      'src/cli.ts': "const { demo } = await import('../simulator/demo/run-demo.ts')",
    },
    'the demo imports the simulator and the product': {
      'simulator/demo/a.ts': "import { s } from '../src/start-simulator.ts'\nimport { r } from '../../src/main.ts'",
    },
    'the chaos run imports the product, the simulator and what tests share': {
      'test/chaos/a.ts': "import '../../src/main.ts'\nimport '../../simulator/src/bank.ts'\nimport '../setup/roles.ts'",
    },
    'what only calls comes after what it calls': {
      'src/queue/a.ts': "import { b } from './b.ts'\nimport type { C } from './c.ts'",
      'src/queue/b.ts': "import type { C } from './c.ts'",
      'src/queue/c.ts': 'export interface C {}',
    },
    'config.ts reads the environment': { 'src/config.ts': 'const env = process.env' },
  }
  it.each(Object.entries(allowed))('allows: %s', (_what, files) => {
    expect(violationsOf(files)).toEqual([])
  })
})
