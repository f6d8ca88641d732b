// Whether a user may be sent to an address that the provider gave.
import { Secret } from '../../secret.ts'

const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' ||
  hostname.endsWith('.localhost') ||
  hostname === '[::1]' ||
  /^127(?:\.\d{1,3}){3}$/.test(hostname)

/**
 * Returns the URL if a user may be sent to it: https, or http on this machine (simulator). Any host is allowed, because
 * the host is the bank's (TRUELAYER.md section 1). The URL is normalised as a browser would do it, so that no control
 * character reaches a `Location` header.
 */
export const usableLink = (result: unknown): Secret | undefined => {
  if (typeof result !== 'string' || !URL.canParse(result)) return undefined
  const url = new URL(result)
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))
  // `https://truelayer.com@elsewhere/` disguises its host; no bank uses such an address.
  return isSafe && url.username === '' && url.password === '' ? new Secret(url.href) : undefined
}
