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
const late = await import('../simulator/start-simulator.ts')
`
    expect(importsOf('queue/x.ts', source)).toEqual([
      { target: 'queue/a.ts', kind: 'static' },
      { target: 'store/port.ts', kind: 'type' },
      { target: 'luxon', kind: 'static' },
      { target: 'queue/all.ts', kind: 'static' },
      { target: 'pg', kind: 'static' },
      { target: 'queue/effect.ts', kind: 'static' },
      { target: 'queue/c.ts', kind: 'static' },
      { target: 'queue/d.ts', kind: 'static' },
      { target: 'simulator/start-simulator.ts', kind: 'dynamic' },
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
    'the domain imports a file of Node': { 'domain/a.ts': "import { readFileSync } from 'node:fs'" },
    'the domain imports the store, types only': { 'domain/a.ts': "import type { Store } from '../store/port.ts'" },
    'a processor imports a file of the store': { 'processors/a.ts': "import { b } from '../store/renewals.ts'" },
    'the queue imports the store': { 'queue/a.ts': "import { b } from '../store/rows.ts'" },
    'a page imports the provider': { 'http/a.ts': "import { b } from '../provider/truelayer/client.ts'" },
    'a processor imports bullmq': { 'processors/a.ts': "import { Queue } from 'bullmq'" },
    'a command imports bullmq': { 'commands/a.ts': "import { Queue } from 'bullmq'" },
    'a page beside the board imports bullmq': { 'http/server.ts': "import { Queue } from 'bullmq'" },
    'the command line imports Prisma': { 'cli.ts': "import { PrismaPg } from '@prisma/adapter-pg'" },
    'the command line imports the generated client': {
      'cli.ts': "import { Prisma } from './generated/prisma/client.ts'",
    },
    'the command line imports the simulator statically': {
      'cli.ts': "import { s } from './simulator/start-simulator.ts'",
    },
    'the simulator imports a processor': { 'simulator/a.ts': "import { s } from '../processors/sweep.ts'" },
    'another file reads the environment': { 'store/a.ts': 'const url = process.env.DATABASE_URL' },
    'two files import each other': {
      'queue/a.ts': "import { b } from './b.ts'",
      'queue/b.ts': "import { a } from './a.ts'",
    },
  }
  it.each(Object.entries(refused))('refuses: %s', (_what, files) => {
    expect(violationsOf(files)).toHaveLength(1)
  })

  const allowed: Record<string, Record<string, string>> = {
    'the domain imports luxon and itself': {
      'domain/a.ts': "import { DateTime } from 'luxon'\nimport { b } from './b.ts'",
    },
    'a processor imports a port': { 'processors/a.ts': "import type { Store } from '../store/port.ts'" },
    'the board imports bullmq': { 'http/board.ts': "import type { Queue } from 'bullmq'" },
    'the command line loads the demo when asked': { 'cli.ts': "const { demo } = await import('./demo/run-demo.ts')" },
    'the demo imports the simulator': { 'demo/a.ts': "import { s } from '../simulator/start-simulator.ts'" },
    'config.ts reads the environment': { 'config.ts': 'const env = process.env' },
    'types go both ways': {
      'queue/a.ts': "import { b } from './b.ts'",
      'queue/b.ts': "import type { a } from './a.ts'",
    },
  }
  it.each(Object.entries(allowed))('allows: %s', (_what, files) => {
    expect(violationsOf(files)).toEqual([])
  })
})
