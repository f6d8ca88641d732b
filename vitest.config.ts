import { defineConfig } from 'vitest/config'

// Pure folders need no services and start at once; all other tests run on a real PostgreSQL and a real Redis.
const pure = [
  'test/{domain,crypto,config,notify,provider,simulator,scripts,mutants,embedded,exit-codes}/**/*.test.ts',
  'test/http/pages/**/*.test.ts',
  'test/*.test.ts',
]

// A busy machine answers late, but not wrongly: polls wait longer.
const expect = { poll: { timeout: 30_000 } }

export default defineConfig({
  test: {
    // The tests mostly wait for PostgreSQL, for processes and for time-outs.
    maxWorkers: 3,
    projects: [
      { test: { name: 'pure', include: pure, testTimeout: 60_000, expect } },
      {
        test: {
          name: 'services',
          include: ['test/**/*.test.ts'],
          exclude: [...pure, 'test/browser/**', 'test/crash/**', 'node_modules/**'],
          globalSetup: ['test/setup/services.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          expect,
        },
      },
    ],
  },
})
