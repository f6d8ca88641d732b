import { defineConfig } from 'vitest/config'

// Processes that are killed, throw or hang at every crash point; separate from the other tests because it takes
// minutes.
export default defineConfig({
  test: {
    include: ['test/crash/**/*.test.ts'],
    globalSetup: ['test/setup/services.ts'],
    maxConcurrency: Number(process.env['CRASH_LANES'] ?? 4),
    testTimeout: 300_000,
    hookTimeout: 60_000,
  },
})
