import { defineConfig } from 'vitest/config'

// Pure folders need no services and start at once; everything else runs on a real PostgreSQL and a real Redis.
const pure = [
  'test/{domain,crypto,config,notify,provider,simulator,scripts,mutants,embedded,exit-codes}/**/*.test.ts',
  'test/http/pages/**/*.test.ts',
  'test/*.test.ts',
]

// A busy machine is late, not wrong.
const expect = { poll: { timeout: 10_000 } }

export default defineConfig({
  test: {
    // They mostly wait for PostgreSQL, for processes, for time-outs.
    maxWorkers: 2,
    projects: [
      { test: { name: 'pure', include: pure, testTimeout: 20_000, expect } },
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
