// Alerts on events that do not get their place in the feed.
import { company, everybody, everyMinute, type RuleCase } from '../rule-case.ts'
import { feedLag } from '../series.ts'

export const feed: readonly RuleCase[] = [
  {
    says: 'no scheduler gives events their places',
    processes: everybody({ [feedLag]: everyMinute(60) }),
    looks: { 2: [], 3: ['ReconsentFeedStalls'], 30: ['ReconsentFeedStalls'] },
  },
  {
    says: 'a transaction that was open for long has just been committed',
    processes: everybody({ [feedLag]: (minute) => (minute === 10 ? 3600 : 0) }),
    looks: { 10: [], 11: [], 60: [] },
  },
  {
    says: 'the feed is half a minute late',
    processes: everybody({ [feedLag]: () => 30 }),
    looks: { 60: [] },
  },
  {
    says: 'the last process that told of a stalled feed is taken away',
    processes: company({ worker: { until: 20, shows: { [feedLag]: everyMinute(60) } } }),
    looks: { 20: ['ReconsentFeedStalls'], 60: [] },
  },
]
