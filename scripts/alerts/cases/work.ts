// Alerts on work that waits, fails, or needs an operator.
import { at, company, everybody, type RuleCase, since } from '../rule-case.ts'
import { DAY, job, overdue, attention, callbacksFailed } from '../series.ts'

export const work: readonly RuleCase[] = [
  {
    says: 'one callback cannot be stored, by a web process that has just started',
    processes: company({ 'web-2': { from: 5, shows: { [callbacksFailed]: at(7) } } }),
    looks: { 6: [], 8: ['ReconsentCallbacksFail'], 20: [] },
  },
  {
    says: 'a code waits',
    processes: everybody({ [overdue('authorisation')]: since(10, 130) }),
    looks: { 11: [], 12: ['ReconsentCodesWait'] },
  },
  {
    says: 'a code has waited',
    processes: everybody({ [overdue('authorisation')]: (minute) => (minute === 10 ? 130 : 120) }),
    looks: { 11: [], 13: [] },
  },
  {
    says: 'consents wait',
    processes: everybody({ [overdue('consent')]: since(10, 7201) }),
    looks: { 24: [], 25: ['ReconsentWorkWaits'] },
  },
  {
    says: 'messages wait',
    processes: everybody({ [overdue('notification')]: since(10, 7201) }),
    looks: { 24: [], 25: ['ReconsentWorkWaits'] },
  },
  { says: 'consents have waited', processes: everybody({ [overdue('consent')]: since(10, 7200) }), looks: { 60: [] } },
  {
    says: 'jobs of one queue fail for the first time, over a restart and at a worker that is taken away',
    processes: company({
      worker: {
        shows: {
          [job('notify', 'failed')]: (minute) =>
            minute < 20 ? at(10, 11, 12, 13)(minute) : at(25, 26, 27, 28)(minute),
        },
      },
      'worker-2': { until: 30, shows: { [job('notify', 'failed')]: at(20, 21, 22) } },
    }),
    looks: {
      27: [],
      29: [{ alert: 'ReconsentJobsFail', queue: 'notify' }],
      60: [{ alert: 'ReconsentJobsFail', queue: 'notify' }],
    },
  },
  {
    says: 'ten jobs of each queue fail',
    processes: company({
      worker: { shows: { [job('notify', 'failed')]: since(10, 10), [job('reauth', 'failed')]: since(10, 10) } },
    }),
    looks: { 11: [], 60: [] },
  },
  {
    says: 'consents are in quarantine',
    processes: everybody({ 'reconsent_consents{status="quarantined"}': since(10, 1) }),
    looks: { 69: [], 70: ['ReconsentQuarantined'] },
  },
  {
    says: 'a consent was in quarantine',
    processes: everybody({
      'reconsent_consents{status="quarantined"}': (minute) => Number(minute > 10 && minute < 60),
    }),
    looks: { 59: [], 90: [] },
  },
  {
    says: 'many exchanges are in doubt',
    everyMinutes: 5,
    processes: everybody({ [attention('authorisations-in-doubt')]: since(10, 21) }),
    looks: { [DAY]: [], [DAY + 30]: ['ReconsentOutcomesInDoubt'] },
  },
  {
    says: 'many messages are in doubt',
    everyMinutes: 5,
    processes: everybody({ [attention('uncertain-notifications')]: since(10, 21) }),
    looks: { [DAY + 30]: ['ReconsentOutcomesInDoubt'] },
  },
  {
    says: 'some are in doubt',
    everyMinutes: 5,
    processes: everybody({
      [attention('authorisations-in-doubt')]: () => 20,
      [attention('uncertain-notifications')]: () => 20,
    }),
    looks: { [2 * DAY]: [] },
  },
  {
    says: 'a user cannot be asked',
    everyMinutes: 5,
    processes: everybody({ [attention('without-channel')]: since(10, 1) }),
    looks: { [DAY]: [], [DAY + 30]: ['ReconsentUsersWithoutAddress'] },
  },
]
