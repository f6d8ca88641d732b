// The type of worker.config.ts. Imports only types, so that loading a policy file loads nothing else.
import type { z } from 'zod'
import type { policySchema } from './policy-schema.ts'

/**
 * What `worker.config.ts` may contain. Everything but the company's name has a default; docs/configuration.md explains
 * each key.
 */
export type PolicyInput = z.input<typeof policySchema>

/** Returns the policy unchanged; it only gives it its type. */
export const defineConfig = (policy: PolicyInput): PolicyInput => policy
