// Alerts on processes that cannot be reached, or cannot reach their database or their queue.
import { company, everybody, type RuleCase, since } from '../rule-case.ts'
import { overdue, queueUsable, sweepAge, readable } from '../series.ts'

export const processes: readonly RuleCase[] = [
  {
    says: 'nobody can be reached, and so nobody tells when the last sweep was',
    processes: company({
      web: { until: 10, afterwards: 'down' },
      worker: { until: 10, afterwards: 'down' },
      scheduler: { until: 10, afterwards: 'down' },
    }),
    looks: { 15: [], 16: ['ReconsentDown'], 20: ['ReconsentDown'], 21: ['ReconsentDown', 'ReconsentSweepLate'] },
  },
  {
    says: 'nobody is looked for any more',
    processes: company({ web: { until: 10 }, worker: { until: 10 }, scheduler: { until: 10 } }),
    looks: { 25: ['ReconsentDown', 'ReconsentSweepLate'] },
  },
  { says: 'nobody has ever been there', processes: {}, looks: { 4: [], 5: ['ReconsentDown'] } },
  {
    says: 'one of three is there',
    processes: company({ web: { until: 10, afterwards: 'down' }, worker: { until: 10, afterwards: 'down' } }),
    looks: { 30: [] },
  },
  {
    says: 'no process can read its numbers',
    processes: everybody({
      [readable]: since(10, 0, 1),
      [sweepAge]: since(10, undefined, 60),
      [overdue('consent')]: since(10, undefined),
    }),
    looks: { 14: [], 15: ['ReconsentNumbersUnreadable'], 20: ['ReconsentNumbersUnreadable', 'ReconsentSweepLate'] },
  },
  {
    says: 'one process cannot read its numbers',
    processes: company({ web: { shows: { [readable]: since(10, 0, 1), [sweepAge]: since(10, undefined, 60) } } }),
    looks: { 60: [] },
  },
  {
    says: 'the queue refuses what one process of three writes',
    processes: company({ worker: { shows: { [queueUsable]: since(10, 0, 1) } } }),
    looks: { 11: [], 12: ['ReconsentQueueUnusable'], 60: ['ReconsentQueueUnusable'] },
  },
  {
    says: 'Redis fails over: for a minute nobody can write',
    processes: everybody({ [queueUsable]: (minute) => Number(minute !== 10) }),
    looks: { 10: [], 12: [], 60: [] },
  },
  {
    says: 'a process starts and has not tried its queue yet',
    processes: company({ worker: { from: 10, shows: { [queueUsable]: since(11, 1) } } }),
    looks: { 10: [], 12: [], 60: [] },
  },
]
