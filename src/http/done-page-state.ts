// Which page shows the state of one attempt at the bank, and what the pages need to know about the renewal. Changes
// nothing.
import { DateTime } from 'luxon'
import { isAwaitingDate, isInDoubt, isInFlight } from '../domain/in-progress.ts'
import type { Authorisation, Consent } from '../domain/model.ts'
import { acceptsCode } from '../domain/lifecycle.ts'
import { isSuspended } from '../processors/visit-start-page.ts'
import type { RenewalPage } from '../store/port.ts'

/** For how long after a code a page reloads itself, and how often. A proof that takes longer takes minutes or hours. */
const RELOADS_FOR = { minutes: 2 }
const RELOADS_EVERY_SECONDS = 4

/** Seconds until the page should reload itself; undefined when it should not. */
export const recheckSeconds = (codeReceivedAt: DateTime | undefined, now: DateTime): number | undefined =>
  codeReceivedAt !== undefined && now < codeReceivedAt.plus(RELOADS_FOR) ? RELOADS_EVERY_SECONDS : undefined

/** When the last code of this renewal arrived. */
export const lastCodeAt = (authorisations: readonly Authorisation[]): DateTime | undefined =>
  DateTime.max(...authorisations.map((attempt) => attempt.codeReceivedAt).filter((at) => at !== undefined))

const isBeingChecked = (attempt: Authorisation): boolean => isInFlight(attempt) || isInDoubt(attempt)

export type DonePageState =
  | 'renewed'
  | 'being-checked'
  | 'awaiting-date'
  | 'refused-at-bank'
  | 'not-completed'
  | 'other-account'
  | 'start-again'
  | 'suspended'
  | 'closed'

/**
 * The outcome of one attempt. A renewed cycle outweighs the outcomes of its other attempts: the user has finished in
 * any case.
 */
export const donePageState = (page: RenewalPage & { readonly authorisation: Authorisation }): DonePageState => {
  const { renewal, consent, authorisation, authorisations } = page
  if (renewal.status === 'renewed' || renewal.status === 'repaired') return 'renewed'
  // The start page uses the same rule: once the consent was closed for good, no worker checks the code any more.
  if (isBeingChecked(authorisation) && acceptsCode(consent, renewal)) return 'being-checked'
  if (isAwaitingDate(authorisation) && acceptsCode(consent, renewal)) return 'awaiting-date'
  if (renewal.status === 'open' && isSuspended(consent)) return 'suspended'
  if (renewal.status !== 'open' || consent.status !== 'active') return 'closed'
  if (authorisation.status === 'mismatched') return 'other-account'
  // Only `bank-refused` is the doing of the bank or the user; a code that came too late or that the provider refused is
  // not.
  if (authorisation.status === 'refused')
    return authorisation.errorCode === 'bank-refused' ? 'refused-at-bank' : 'not-completed'
  // Another attempt of an open cycle superseded this one, or the user is still at the bank: the start page says what is
  // next.
  if (authorisations.some(isBeingChecked)) return 'being-checked'
  return authorisations.some(isAwaitingDate) ? 'awaiting-date' : 'start-again'
}

export type FindConsent = (id: string) => Promise<Consent | undefined>

/**
 * Until when the user's permission now runs: the consent's own expiry, or that of the connection that superseded the
 * consent. Undefined when that expiry has passed, as when a user opens an old link.
 */
export const runsUntil = async (
  consent: Consent,
  findConsent: FindConsent,
  now: DateTime,
): Promise<DateTime | undefined> => {
  const current = consent.supersededById === undefined ? consent : await findConsent(consent.supersededById)
  return current !== undefined && current.expiresAt > now ? current.expiresAt : undefined
}
