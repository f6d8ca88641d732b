// The policy of this worker. Only what every company must say for itself stands here; docs/configuration.md has all
// keys and their defaults. Secrets do not belong here: they are in the environment.
import { defineConfig } from './src/config/define-config.ts'

export default defineConfig({
  // Your company's name, for messages and pages.
  company: { name: 'Example Company' },
})
