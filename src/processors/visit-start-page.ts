// What the start page shows, and what its button does: the user's way to the bank. Viewing the page changes nothing,
// because mail scanners view it too.
import type { DateTime } from 'luxon'
import type { Clock } from '../clock.ts'
import type { Policy } from '../domain/policy.ts'
import { findInFlight } from '../domain/in-progress.ts'
import type { Authorisation } from '../domain/model.ts'
import { openRoutes } from '../domain/open-routes.ts'
import type { Route } from '../domain/routes.ts'
import { acceptsCode } from '../domain/lifecycle.ts'
import { PermanentError, TransientError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Secret } from '../secret.ts'
import type { AtTheBank, Quarantine, RenewalPage, Views } from '../store/port.ts'
import type { PrepareAuthorisation } from './prepare-authorisation.ts'

export type StartPage =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'ready'; readonly page: RenewalPage }
  /** A code of this cycle came in and its outcome is not known yet. */
  | { readonly kind: 'being-checked'; readonly page: RenewalPage }
  | { readonly kind: 'already-renewed'; readonly page: RenewalPage }
  /** Paused or quarantined: an operator decides, and then the same link works again. */
  | { readonly kind: 'suspended'; readonly page: RenewalPage }
  | { readonly kind: 'closed'; readonly page: RenewalPage }

export type Departure =
  | { readonly kind: 'to-bank'; readonly link: Secret }
  /** The provider is unavailable: the same button works in a few minutes. */
  | { readonly kind: 'busy' }
  /**
   * The provider refuses a link for this connection on every route: a retry makes sense after a day, not after a
   * minute.
   */
  | { readonly kind: 'refused' }
  | { readonly kind: 'not-now'; readonly start: StartPage }

export interface VisitDeps {
  readonly store: AtTheBank & Quarantine & Views
  readonly prepare: PrepareAuthorisation
  /** The renewal that a start link's token names; undefined for a token that is not ours. */
  readonly renewalOfToken: (token: string) => string | undefined
  readonly clock: Clock
  readonly policy: Policy
  readonly log: Log
}

export const visitStartPage =
  ({ store, renewalOfToken }: Pick<VisitDeps, 'store' | 'renewalOfToken'>) =>
  async (token: string): Promise<StartPage> => {
    const renewalId = renewalOfToken(token)
    const page = renewalId === undefined ? undefined : await store.getRenewalPage(renewalId)
    return page === undefined ? { kind: 'unknown' } : startPageOf(page)
  }

export const startPageOf = (page: RenewalPage): StartPage => {
  const { renewal, consent, authorisations } = page
  if (renewal.status === 'renewed' || renewal.status === 'repaired') return { kind: 'already-renewed', page }
  // An attempt in doubt, or one whose date may still come, lets the user try again: a new attempt does no harm, and
  // waiting a day might.
  const inFlight = findInFlight(authorisations) !== undefined
  // A code that has come in is exchanged even while the consent is suspended, and even after the cycle lapsed.
  if (inFlight && acceptsCode(consent, renewal)) return { kind: 'being-checked', page }
  const suspended = isSuspended(consent)
  if (renewal.status !== 'open' || (consent.status !== 'active' && !suspended)) return { kind: 'closed', page }
  return suspended ? { kind: 'suspended', page } : { kind: 'ready', page }
}

/** The newest attempt whose authorisation URL nobody has got yet. */
const newestFresh = (
  attempts: readonly Authorisation[],
  { issuedAfter, routes }: { readonly issuedAfter: DateTime; readonly routes: readonly Route[] },
): Authorisation | undefined =>
  attempts.findLast(
    ({ status, handedOutAt, issuedAt, route }) =>
      status === 'issued' && handedOutAt === undefined && issuedAt > issuedAfter && routes.includes(route),
  )

export const isSuspended = ({ status }: Pick<RenewalPage['consent'], 'status'>): boolean =>
  status === 'paused' || status === 'quarantined'

interface LeaveOptions {
  readonly seen?: StartPage
  readonly by?: string
}

/**
 * The button: hands out a link by an open route, younger than `link.freshFor`, that no user was given; otherwise a new
 * link. `seen`: the page, if it has just been read. `by`: the key of the API that asks for the link in the user's
 * place.
 */
export const leaveForBank = (deps: VisitDeps) => {
  const { store, prepare, clock, policy, log } = deps
  return async (token: string, { seen, by }: LeaveOptions = {}): Promise<Departure> => {
    const start = seen ?? (await visitStartPage(deps)(token))
    if (start.kind !== 'ready') return { kind: 'not-now', start }
    const { page } = start
    const { renewal, consent, authorisations } = page
    const now: DateTime = clock.now()
    const { routes } = openRoutes(consent, renewal, now, policy)
    try {
      const fresh = newestFresh(authorisations, { issuedAfter: now.minus(policy.link.freshFor), routes })
      const kept = fresh && (await store.handOutLink(page, fresh.id, now, by))
      if (kept !== undefined) return { kind: 'to-bank', link: kept }
      const prepared = await prepare(consent, routes, now, page)
      if (prepared.kind === 'circuit-open') return { kind: 'busy' }
      if (prepared.kind === 'rejected') {
        log.warn({ consent_id: consent.id, refused: prepared.detail }, 'the provider refuses a link to a waiting user')
        return { kind: 'refused' }
      }
      const added = await store.addHandedOut(page, prepared.authorisation, now, by)
      return added
        ? { kind: 'to-bank', link: prepared.authorisation.link }
        : { kind: 'not-now', start: await visitStartPage(deps)(token) }
    } catch (error) {
      if (!(error instanceof TransientError || error instanceof PermanentError)) throw error
      log.warn({ consent_id: consent.id, error_code: error.code }, 'no link could be made for a waiting user')
      if (error.code === 'decryption-failed') {
        // The same button would never work: an operator must look at the consent.
        await store.quarantineConsent(consent.id, now, error.message)
        return { kind: 'not-now', start: await visitStartPage(deps)(token) }
      }
      return { kind: 'busy' }
    }
  }
}
