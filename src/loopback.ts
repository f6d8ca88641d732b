// Whether a host is this machine, so that what is sent to it cannot be read on the way.
import { isIP } from 'node:net'

/** Accepts a host as people write it and as `URL.hostname` gives it, IPv6 with or without brackets. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' ||
  host.endsWith('.localhost') ||
  ['::1', '[::1]'].includes(host) ||
  (isIP(host) === 4 && host.startsWith('127.'))
