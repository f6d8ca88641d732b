// Companies without trouble, in which no alert fires: busy, idle, newly deployed, restarted, or only partly visible.
import { at, company, everyMinute, type RuleCase } from '../rule-case.ts'
import { DAY, message, job, call, renewed } from '../series.ts'

/** A worker on an ordinary day. */
const busy = {
  [job('reauth', 'done')]: everyMinute(1),
  [job('notify', 'done')]: everyMinute(1),
  [job('notify', 'failed')]: everyMinute(1 / 200),
  [call('reauthuri', 'link')]: everyMinute(1),
  [call('reauthuri', 'unavailable')]: everyMinute(1 / 60),
  [message('sent')]: everyMinute(1),
  [message('deferred')]: everyMinute(1 / 30),
  [message('failed')]: everyMinute(1 / 100),
  [renewed]: everyMinute(1 / 3),
}

export const clean: readonly RuleCase[] = [
  {
    says: 'clean: two busy days',
    everyMinutes: 5,
    processes: company({ worker: { shows: busy } }),
    looks: { 60: [], [DAY]: [], [2 * DAY]: [] },
  },
  {
    says: 'clean: two days in which nothing is due',
    everyMinutes: 5,
    processes: company(),
    looks: { 60: [], [DAY]: [], [2 * DAY]: [] },
  },
  {
    says: 'clean: every process is replaced, under names of their own, the old ones a little longer',
    processes: {
      web: { until: 32 },
      worker: { until: 31, shows: busy },
      scheduler: { until: 33 },
      'web-2': { from: 30 },
      'worker-2': { from: 30, shows: busy },
      'scheduler-2': { from: 30 },
    },
    looks: { 31: [], 34: [], 45: [], 90: [] },
  },
  {
    says: 'clean: processes restart under their names, and their counters begin at 0',
    processes: company({
      worker: {
        shows: {
          [message('sent')]: (minute) => minute % 20,
          [message('failed')]: (minute) => Math.floor((minute % 20) / 15),
          [renewed]: at(3),
        },
      },
    }),
    looks: { 20: [], 65: [], 119: [] },
  },
  {
    says: 'clean: one of two workers is taken away',
    processes: company({ 'worker-2': { until: 20, shows: busy } }),
    looks: { 21: [], 27: [], 60: [] },
  },
  {
    says: 'clean: a worker comes late',
    processes: company({ 'worker-2': { from: 40, shows: busy } }),
    looks: { 41: [], 60: [], 120: [] },
  },
  {
    says: 'clean: a web process, which never runs a job, is all that is seen',
    everyMinutes: 5,
    processes: { web: {} },
    looks: { 60: [], [2 * DAY]: [] },
  },
]
