// Alerts on the provider: an open circuit, and calls that fail.
import { at, company, everybody, everyMinute, type RuleCase, since } from '../rule-case.ts'
import { call, raised, attention } from '../series.ts'

export const provider: readonly RuleCase[] = [
  {
    says: 'a worker that has just started opens the circuit, and ends',
    processes: company({ 'worker-2': { from: 5, until: 12, shows: { [raised('provider-circuit-open')]: at(10) } } }),
    looks: { 9: [], 11: ['ReconsentProviderCircuitOpen'], 20: ['ReconsentProviderCircuitOpen'], 30: [] },
  },
  {
    says: 'the circuit is open, whoever put them there',
    processes: everybody({ [attention('open-circuits')]: since(10, 1) }),
    looks: { 9: [], 10: ['ReconsentProviderCircuitOpen'], 120: ['ReconsentProviderCircuitOpen'] },
  },
  {
    says: 'most calls to one endpoint fail, the first of all among them',
    processes: company({
      worker: {
        shows: {
          [call('reauthuri', 'unavailable')]: at(10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20),
          [call('reauthuri', 'link')]: at(12, 15, 18),
          [call('me', 'me')]: everyMinute(1),
        },
      },
    }),
    looks: { 19: [], 21: [{ alert: 'ReconsentProviderUnwell', endpoint: 'reauthuri' }], 60: [] },
  },
  {
    says: 'calls of two workers have no answer, each in its own way',
    processes: company({
      worker: { shows: { [call('token', 'in-doubt')]: since(10, 6) } },
      'worker-2': { shows: { [call('token', 'not-processed')]: since(10, 6) } },
    }),
    looks: { 11: [{ alert: 'ReconsentProviderUnwell', endpoint: 'token' }] },
  },
  {
    says: 'fewer than half of the calls fail, and at another endpoint all of a few',
    processes: company({
      worker: {
        shows: {
          [call('me', 'unavailable')]: since(10, 12),
          [call('me', 'me')]: since(10, 20),
          [call('refresh', 'unavailable')]: since(10, 9),
        },
      },
    }),
    looks: { 11: [], 30: [] },
  },
]
