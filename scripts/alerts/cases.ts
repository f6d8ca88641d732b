// The rule tests of deploy/alerts.yaml: for each alert a case in which it fires and a case just short of it, and
// companies without trouble, in which no alert fires. `npm run check` demands a case for each new alert, in one of
// these files.
import { clean } from './cases/clean.ts'
import { feed } from './cases/feed.ts'
import { messages } from './cases/messages.ts'
import { processes } from './cases/processes.ts'
import { provider } from './cases/provider.ts'
import { sweeps } from './cases/sweeps.ts'
import { webhooks } from './cases/webhooks.ts'
import { work } from './cases/work.ts'
import type { RuleCase } from './rule-case.ts'

export const cases: readonly RuleCase[] = [
  ...clean,
  ...processes,
  ...sweeps,
  ...provider,
  ...messages,
  ...work,
  ...feed,
  ...webhooks,
]
