// The headers every answer carries, and where a request may come from. No page has a script, and none but the start
// page's form leads to another host.
import helmet from '@fastify/helmet'
import type { FastifyInstance, FastifyRequest } from 'fastify'

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

const isLoopback = ({ hostname }: URL): boolean => /^(?:(?:.+\.)?localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(hostname)

/**
 * For the start page: Chromium also holds the redirect that answers a form to `form-action`, so the banks' hosts must
 * be allowed there. They are many and change; all are https, but for a simulator on this machine.
 */
export const formsToBanks = (publicUrl: URL) =>
  isLoopback(publicUrl)
    ? withFormAction("'self'", 'https:', 'http://127.0.0.1:*', 'http://localhost:*')
    : withFormAction("'self'", 'https:')

/** What answers outside of any route carry: malformed requests never reach the hooks. */
export const bareHeaders: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none';style-src 'self';form-action 'none';base-uri 'none';frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

/** Before every route. Codes and states stand in addresses: nothing may keep, frame or pass them on. */
export const registerSecurity = async (app: FastifyInstance, publicUrl: URL): Promise<void> => {
  await app.register(helmet, {
    ...withFormAction("'none'"),
    // Told to browsers over https only; other hosts of the company's domain are not ours to speak for.
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
 * sends `null` for our own form, too. A request without the header comes from an old browser; the secret in the start
 * link has to do then.
 */
export const isFromElsewhere = (request: FastifyRequest): boolean => {
  const site = request.headers['sec-fetch-site']
  return site !== undefined && site !== 'same-origin' && site !== 'none'
}
