// Whether a user may be sent to an address that the provider gave.
import { isLoopback } from '../../loopback.ts'
import { Secret } from '../../secret.ts'

/**
 * Returns the URL if a user may be sent to it: https, or http on this machine (simulator). Any host is allowed, because
 * TrueLayer's documentation of `/v1/reauthuri` gives the bank's own. The URL is normalised as a browser would do it, so
 * that no control character reaches a `Location` header.
 */
export const usableLink = (result: unknown): Secret | undefined => {
  if (typeof result !== 'string' || !URL.canParse(result)) return undefined
  const url = new URL(result)
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))
  // `https://truelayer.com@elsewhere/` disguises its host; no bank uses such an address.
  return isSafe && url.username === '' && url.password === '' ? new Secret(url.href) : undefined
}
