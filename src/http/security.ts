// The headers of every answer, and the check whether a request comes from another site. No page has a script, and only
// the start page's form leads to another host.
import helmet from '@fastify/helmet'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isLoopback } from '../loopback.ts'

type Sources = string[]

const directives = (formAction: Sources): Record<string, Sources> => ({
  'default-src': ["'none'"],
  'style-src': ["'self'"],
  'form-action': formAction,
  'base-uri': ["'none'"],
  'frame-ancestors': ["'none'"],
})

const withFormAction = (...sources: Sources) => ({
  contentSecurityPolicy: { useDefaults: false as const, directives: directives(sources) },
})

/** For routes whose page holds a form that posts back to us. */
export const formsToUs = withFormAction("'self'")

/**
 * For the start page: Chromium also applies `form-action` to the redirect that answers a form, so the banks' hosts must
 * be allowed there. There are many and they change; all use https, except a simulator on this machine.
 */
export const formsToBanks = (publicUrl: URL) =>
  isLoopback(publicUrl.hostname)
    ? withFormAction("'self'", 'https:', 'http://127.0.0.1:*', 'http://localhost:*')
    : withFormAction("'self'", 'https:')

/** The headers of answers outside any route: a malformed request never reaches the hooks that set the other headers. */
export const bareHeaders: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none';style-src 'self';form-action 'none';base-uri 'none';frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

/** Sets the headers of every route. Addresses hold codes and states: nothing may cache, frame or pass on an answer. */
export const registerSecurity = async (app: FastifyInstance, publicUrl: URL): Promise<void> => {
  await app.register(helmet, {
    ...withFormAction("'none'"),
    // Sent to browsers over https only. Without subdomains, because we must not decide for the company's other hosts.
    strictTransportSecurity:
      publicUrl.protocol === 'https:' ? { maxAge: 365 * 24 * 60 * 60, includeSubDomains: false } : false,
    referrerPolicy: { policy: 'no-referrer' },
    crossOriginOpenerPolicy: { policy: 'same-origin' },
    crossOriginResourcePolicy: { policy: 'same-origin' },
    xFrameOptions: { action: 'deny' },
  })
  app.addHook('onRequest', async (_request, reply) => {
    void reply.headers({ 'cache-control': 'no-store', 'x-robots-tag': 'noindex, nofollow' })
  })
}

/**
 * Whether another site's page caused the request (Fetch Metadata). Origin cannot tell: under `no-referrer` a browser
 * sends `null` even for our own form. A request without Sec-Fetch-Site comes from an old browser; then the secret in
 * the start link has to suffice.
 */
export const isCrossSite = (request: FastifyRequest): boolean => {
  const site = request.headers['sec-fetch-site']
  return site !== undefined && site !== 'same-origin' && site !== 'none'
}
