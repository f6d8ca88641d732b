// Alerts on messages: held back, lost, put off, or asked for in vain.
import { at, company, everyMinute, type RuleCase, since } from '../rule-case.ts'
import { DAY, message, raised, renewed } from '../series.ts'

export const messages: readonly RuleCase[] = [
  {
    says: 'the cap holds messages back',
    processes: company({ worker: { shows: { [raised('messages-per-hour')]: at(10) } } }),
    looks: { 9: [], 11: ['ReconsentMessagesHeldBack'], 80: [] },
  },
  {
    says: 'workers die while they send, and repetitions are held back',
    processes: company({ worker: { shows: { [raised('messages-repeated')]: at(10) } } }),
    looks: { 9: [], 11: ['ReconsentMessagesRepeated'], 80: [] },
  },
  {
    says: 'the mail server is away, told by two workers, one of which restarts',
    processes: company({
      worker: {
        shows: { [raised('message-unavailable')]: (minute) => (minute < 60 ? at(10)(minute) : at(70)(minute)) },
      },
      'worker-2': { shows: { [raised('message-unavailable')]: at(40) } },
    }),
    looks: { 60: [], 71: ['ReconsentMailUnavailable'] },
  },
  {
    says: 'the mail server was away, and mails leave again',
    processes: company({
      worker: { shows: { [raised('message-unavailable')]: at(10, 20, 30), [message('sent')]: since(45, 1) } },
    }),
    looks: { 31: ['ReconsentMailUnavailable'], 46: [], 57: ['ReconsentMailUnavailable'] },
  },
  {
    says: 'the mail server was away twice',
    processes: company({ worker: { shows: { [raised('message-unavailable')]: at(10, 20) } } }),
    looks: { 21: [], 60: [] },
  },
  {
    says: 'more messages are lost than sent, the first of all among them',
    processes: company({
      worker: {
        shows: {
          [message('failed')]: since(10, 3),
          [message('uncertain')]: since(10, 3),
          [message('sent')]: since(5, 4),
        },
      },
    }),
    looks: { 9: [], 11: ['ReconsentMessagesLost'], 80: [] },
  },
  {
    says: 'as many messages are sent as are lost, or only five are lost',
    processes: company({
      worker: {
        shows: {
          [message('failed')]: (minute) => (minute < 10 ? 0 : minute < 90 ? 6 : 11),
          [message('sent')]: since(10, 6),
        },
      },
    }),
    looks: { 11: [], 91: [] },
  },
  {
    says: 'more than twenty messages are lost in a day, among many that are sent',
    everyMinutes: 5,
    processes: company({
      worker: {
        shows: {
          [message('failed')]: everyMinute(1 / 60),
          [message('sent')]: everyMinute(1),
          [renewed]: everyMinute(1 / 10),
        },
      },
    }),
    looks: { [20 * 60]: [], [21 * 60 + 30]: ['ReconsentMessagesFail'] },
  },
  {
    says: 'twenty messages are lost in a day, among many that are sent',
    everyMinutes: 5,
    processes: company({
      worker: {
        shows: {
          [message('uncertain')]: (minute) => Math.min(20, Math.floor(minute / 60)),
          [message('sent')]: everyMinute(1),
          [renewed]: everyMinute(1 / 10),
        },
      },
    }),
    looks: { [DAY]: [] },
  },
  {
    says: 'the mail server puts off more than it takes',
    processes: company({
      worker: { shows: { [message('deferred')]: since(10, 21), [message('sent')]: since(10, 20) } },
    }),
    looks: { 9: [], 11: ['ReconsentMessagesPutOff'], 140: [] },
  },
  {
    says: 'the mail server puts off as many as it takes, or few',
    processes: company({
      worker: {
        shows: {
          [message('deferred')]: (minute) => (minute < 10 ? 0 : minute < 150 ? 30 : 50),
          [message('sent')]: since(10, 30),
        },
      },
    }),
    looks: { 11: [], 151: [] },
  },
  {
    says: 'users are asked for two days and nobody renews, not even the first',
    everyMinutes: 5,
    processes: company({ worker: { shows: { [message('sent')]: everyMinute(1 / 40) } } }),
    looks: { [33 * 60]: [], [34 * 60]: ['ReconsentNothingRenewed'], [2 * DAY]: ['ReconsentNothingRenewed'] },
  },
  {
    says: 'users are asked for two days and one renews, at a worker that is taken away',
    everyMinutes: 5,
    processes: company({
      worker: { shows: { [message('sent')]: everyMinute(1 / 40) } },
      'worker-2': { until: 700, shows: { [renewed]: at(650) } },
    }),
    looks: { [36 * 60]: [], [2 * DAY]: [], [3 * DAY]: ['ReconsentNothingRenewed'] },
  },
]
