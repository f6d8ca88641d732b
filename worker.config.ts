// What this worker does, when, and for whom: every key is explained in docs/configuration.md. No secrets here: those
// are in the environment.
import { defineConfig } from './src/config/define-config.ts'

export default defineConfig({
  // Stands in messages and on pages. Put your company's name here.
  company: { name: 'Example Company' },

  // When users are asked, in days from the expiry of their consent.
  ladder: ['-14d', '-7d', '-3d', '-1d', '0d', '+7d', '+30d', '+60d', '+83d'],

  // No message in these hours of the user's own day.
  quietHours: { from: '20:00', to: '08:00' },
})
