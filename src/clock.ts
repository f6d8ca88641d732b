// The clock that due-ness is measured by. Production has the system's; the demo and the tests move theirs.
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
