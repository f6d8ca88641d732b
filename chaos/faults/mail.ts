// Mail servers, and the users' own connections.
import { setTimeout as wait } from 'node:timers/promises'
import { atSimulator, type Fault } from './fault.ts'

export const ofMail: Readonly<Record<string, Fault>> = {
  'mail put off (4xx)': atSimulator('mail', 20, () => [
    { endpoint: 'mail', kind: 'rcpt-4xx', rate: 0.25 },
    { endpoint: 'mail', kind: 'data-4xx', rate: 0.25 },
  ]),
  'mail refused (5xx)': atSimulator('mail', 10, () => [
    { endpoint: 'mail', kind: 'rcpt-5xx', rate: 0.15 },
    { endpoint: 'mail', kind: 'data-5xx', rate: 0.15 },
  ]),
  'cut after the final dot': atSimulator('mail', 20, () => [
    { endpoint: 'mail', kind: 'cut-after-dot', rate: 0.25 },
    { endpoint: 'mail', kind: 'cut-after-dot', stored: false, rate: 0.2 },
  ]),
  'mail server answers too late': atSimulator('mail', 20, () => [{ endpoint: 'mail', kind: 'slow-mail', ms: 2200, rate: 0.4 }]),
  'connections to the mail server cut': {
    lane: 'mail',
    act: async ({ rig, chance }) => {
      let cut = 0
      for (let time = 0; time < 10; time += 1) {
        cut += rig.proxies.smtp.cut()
        await wait(chance.between(50, 400))
      }
      return cut
    },
  },
  'mail server unreachable': {
    lane: 'mail',
    act: async ({ rig, chance, span }) => {
      await rig.proxies.smtp.set({ kind: chance.happens(0.5) ? 'refuse' : 'blackhole' })
      await wait(span(20))
      await rig.proxies.smtp.set({ kind: 'pass' })
      return 1
    },
  },
  'connections of users cut': {
    lane: 'mail',
    act: async ({ rig, chance }) => {
      let cut = 0
      for (let time = 0; time < 10; time += 1) {
        cut += rig.proxies.web.cut()
        await wait(chance.between(50, 300))
      }
      return cut
    },
  },
}
