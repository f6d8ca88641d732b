// Every package in a package.json is either widely used, as listed here, or justified in decision 0014.
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const usedEverywhere = [
  '@fastify/formbody',
  '@fastify/helmet',
  '@fastify/rate-limit',
  '@fastify/swagger',
  '@prisma/adapter-pg',
  '@prisma/client',
  'bullmq',
  'commander',
  'fastify',
  'fastify-type-provider-zod',
  'got',
  'ioredis',
  'leven',
  'luxon',
  'nodemailer',
  'pg',
  'pino',
  'prom-client',
  'zod',
  '@redocly/cli',
  '@types/luxon',
  '@types/node',
  '@types/pg',
  'fast-check',
  'oxlint',
  'pino-pretty',
  'playwright-core',
  'prisma',
  'typescript',
  'vite',
  'vitest',
  'yaml',
]

type Manifest = Record<'dependencies' | 'devDependencies', Record<string, string>>
const needed = (manifest: string): Record<string, string> => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(manifest, 'utf8')) as Manifest
  return { ...dependencies, ...devDependencies }
}
const ours = needed('package.json')
const simulators = needed('simulator/package.json')

it('a dependency that few others use has a decision, and no decision outlives its dependency', () => {
  const decision = readFileSync('docs/decisions/0014-dependencies-that-few-others-use.md', 'utf8')
  const defended = [...decision.matchAll(/\*\*([@a-z][\w@/.-]*)\*\*/g)].map(([, name = '']) => name)
  expect([...usedEverywhere, ...defended].toSorted()).toEqual(Object.keys({ ...ours, ...simulators }).toSorted())
})

it('what Reconsent and its simulator both need is the same release', () => {
  for (const [name, version] of Object.entries(simulators))
    expect([name, ours[name] ?? version]).toEqual([name, version])
})
