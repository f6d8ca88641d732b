// The policy of this worker: what it does, when, and for whom. docs/configuration.md explains every key. Secrets do not
// belong here: they are in the environment.
import { defineConfig } from './src/config/define-config.ts'

export default defineConfig({
  // Your company's name, for messages and pages.
  company: { name: 'Example Company' },

  // When users are asked, in days from the expiry of their consent.
  ladder: ['-14d', '-7d', '-3d', '-1d', '0d', '+7d', '+30d', '+60d', '+83d'],

  // No message in these hours of the user's own day.
  quietHours: { from: '20:00', to: '08:00' },
})
