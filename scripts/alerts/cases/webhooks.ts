// Alerts on endpoints of webhooks, and on what they did not take.
import { at, company, everybody, type RuleCase, since } from '../rule-case.ts'
import { attention, DAY, webhook } from '../series.ts'

export const webhooks: readonly RuleCase[] = [
  {
    says: 'an endpoint is disabled, and enabled again',
    processes: everybody({ [attention('webhooks-disabled')]: (minute) => Number(minute >= 10 && minute < 60) }),
    looks: { 11: [], 12: ['ReconsentWebhookDisabled'], 59: ['ReconsentWebhookDisabled'], 60: [] },
  },
  {
    says: 'an endpoint is enabled within a minute',
    processes: everybody({ [attention('webhooks-disabled')]: since(10, 0) }),
    looks: { 12: [], 60: [] },
  },
  {
    says: 'an endpoint is behind, and catches up',
    processes: everybody({ [attention('webhooks-behind')]: (minute) => Number(minute >= 10 && minute < 60) }),
    looks: { 14: [], 15: ['ReconsentWebhooksBehind'], 59: ['ReconsentWebhooksBehind'], 60: [] },
  },
  {
    says: 'a webhook is given up, for the first time',
    everyMinutes: 5,
    processes: company({ worker: { shows: { [webhook('given-up')]: at(30) } } }),
    looks: { 25: [], 60: ['ReconsentWebhooksGivenUp'], [DAY + 60]: [] },
  },
  {
    says: 'webhooks fail and are tried again',
    processes: company({
      worker: { shows: { [webhook('failed')]: since(10, 500), [webhook('delivered')]: since(20, 500) } },
    }),
    looks: { 15: [], 60: [] },
  },
]
