// Faults of the mail server, and of the users' own connections.
import { countFromNow } from '../logs.ts'
import { atSimulator, barFor, cutAgain, type Fault } from './fault.ts'

export const ofMail: Readonly<Record<string, Fault>> = {
  'mail put off (4xx)': atSimulator('mail', ['mail'], 20, () => [
    { endpoint: 'mail', kind: 'rcpt-4xx', rate: 0.25 },
    { endpoint: 'mail', kind: 'data-4xx', rate: 0.25 },
  ]),
  'mail refused (5xx)': atSimulator('mail', ['mail'], 10, () => [
    { endpoint: 'mail', kind: 'rcpt-5xx', rate: 0.15 },
    { endpoint: 'mail', kind: 'data-5xx', rate: 0.15 },
  ]),
  'cut after the final dot': atSimulator('mail', ['mail'], 20, () => [
    { endpoint: 'mail', kind: 'cut-after-dot', rate: 0.25 },
    { endpoint: 'mail', kind: 'cut-after-dot', stored: false, rate: 0.2 },
  ]),
  'mail server answers too late': atSimulator('mail', ['mail'], 20, () => [
    { endpoint: 'mail', kind: 'slow-mail', ms: 2200, rate: 0.4 },
  ]),
  'connections to the mail server cut': {
    lane: 'mail',
    hinders: ['mail'],
    act: async (stage) => cutAgain(stage.rig.proxies.smtp, stage, 400),
  },
  'mail server unreachable': {
    lane: 'mail',
    hinders: ['mail'],
    act: async ({ rig, chance, span }) => {
      const refused = await countFromNow(rig.logFolder, /message-unavailable/)
      return barFor(rig.proxies.smtp, { kind: chance.happens(0.5) ? 'refuse' : 'blackhole' }, { ms: span(20), refused })
    },
  },
  'connections of users cut': {
    lane: 'mail',
    hinders: ['users'],
    act: async (stage) => cutAgain(stage.rig.proxies.web, stage, 300),
  },
}
