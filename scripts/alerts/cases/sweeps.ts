// Alerts on sweeps that are late or left to the watchdog.
import { at, company, everybody, everyMinute, type RuleCase } from '../rule-case.ts'
import { raised, sweepAge } from '../series.ts'

export const sweeps: readonly RuleCase[] = [
  {
    says: 'no sweep any more',
    processes: everybody({ [sweepAge]: everyMinute(60) }),
    looks: { 40: [], 41: ['ReconsentSweepLate'] },
  },
  {
    says: 'there has never been a sweep',
    processes: everybody({ [sweepAge]: () => undefined }),
    looks: { 9: [], 10: ['ReconsentSweepLate'] },
  },
  {
    says: 'the watchdog sweeps in time',
    processes: everybody({ [sweepAge]: (minute) => (minute % 13) * 60 }),
    looks: { 60: [] },
  },
  {
    says: 'the last process that told of an old sweep is taken away',
    processes: company({ worker: { until: 35, shows: { [sweepAge]: everyMinute(60) } } }),
    looks: { 60: [] },
  },
  {
    says: 'the watchdogs of two schedulers sweep three times',
    processes: company({
      scheduler: { shows: { [raised('sweep-late')]: at(13, 26) } },
      'scheduler-2': { shows: { [raised('sweep-late')]: at(40) } },
    }),
    looks: { 39: [], 41: ['ReconsentWatchdogSweeps'] },
  },
  {
    says: 'the watchdog sweeps each hour, as it does for a rare pattern, while its scheduler restarts',
    everyMinutes: 5,
    processes: company({
      scheduler: {
        shows: { [raised('sweep-late')]: (minute) => (minute < 100 ? at(60)(minute) : at(120, 180, 240)(minute)) },
      },
    }),
    looks: { 120: [], 210: ['ReconsentWatchdogSweeps'], 300: ['ReconsentWatchdogSweeps'] },
  },
  {
    says: 'the watchdog sweeps twice',
    processes: company({ scheduler: { shows: { [raised('sweep-late')]: at(13, 26) } } }),
    looks: { 14: [], 27: [], 70: [], 245: [] },
  },
]
