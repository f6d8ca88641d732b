import { defineConfig } from 'vitest/config'

// A real browser against real servers; separate from the other tests because it needs Chromium.
export default defineConfig({
  test: {
    include: ['test/browser/**/*.test.ts'],
    globalSetup: ['test/setup/services.ts', 'test/setup/chromium.ts'],
    testTimeout: 90_000,
    hookTimeout: 90_000,
  },
})
