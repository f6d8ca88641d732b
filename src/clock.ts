// The clock that decides what is due. Production uses the system's clock; the demo and the tests move their own clock.
import { DateTime, Settings } from 'luxon'

Settings.throwOnInvalid = true
declare module 'luxon' {
  interface TSSettings {
    throwOnInvalid: true
  }
}

export interface Clock {
  /** Now, in UTC. */
  now(): DateTime
}

export const systemClock: Clock = { now: () => DateTime.utc() }
