// How things stand, in the pages' terms: which page shows a renewal, and which shows one attempt at the bank. Pure;
// changes nothing.
import type { DateTime } from 'luxon'
import { isInDoubt, isInFlight } from '../domain/in-progress.ts'
import type { Authorisation, Consent } from '../domain/model.ts'
import { acceptsCode } from '../domain/lifecycle.ts'
import { isOnHold } from '../processors/visit-start-page.ts'
import type { RenewalPage } from '../store/port.ts'

/** How long a page asks again by itself, and how often. A proof that takes longer takes minutes or hours. */
const WATCHED = { minutes: 2 }
const EVERY_SECONDS = 4

/** Seconds until the page should look again by itself; undefined when it should not. */
export const recheckSeconds = (codeReceivedAt: DateTime | undefined, now: DateTime): number | undefined =>
  codeReceivedAt !== undefined && now < codeReceivedAt.plus(WATCHED) ? EVERY_SECONDS : undefined

/** When the last code of this renewal came. */
export const lastCodeAt = (authorisations: readonly Authorisation[]): DateTime | undefined =>
  authorisations
    .map((one) => one.codeReceivedAt)
    .filter((at) => at !== undefined)
    .reduce<DateTime | undefined>((last, at) => (last === undefined || at > last ? at : last), undefined)

const isBeingChecked = (one: Authorisation): boolean => isInFlight(one) || isInDoubt(one)

export type DonePageState =
  | 'renewed'
  | 'being-checked'
  | 'refused-at-bank'
  | 'not-completed'
  | 'other-account'
  | 'start-again'
  | 'on-hold'
  | 'closed'

/**
 * What came of one attempt. A renewed cycle outweighs what became of its other attempts: the user is done either way.
 */
export const donePageState = (page: RenewalPage & { readonly authorisation: Authorisation }): DonePageState => {
  const { renewal, consent, authorisation, authorisations } = page
  if (renewal.status === 'renewed' || renewal.status === 'repaired') return 'renewed'
  // As the start page judges it: nobody asks after a code once the consent was closed for good.
  if (isBeingChecked(authorisation) && acceptsCode(consent, renewal)) return 'being-checked'
  if (renewal.status === 'open' && isOnHold(consent)) return 'on-hold'
  if (renewal.status !== 'open' || consent.status !== 'active') return 'closed'
  if (authorisation.status === 'mismatched') return 'other-account'
  // Only what the bank said is the bank's or the user's doing; a code that came too late or was refused is not.
  if (authorisation.status === 'refused')
    return authorisation.errorCode === 'bank-refused' ? 'refused-at-bank' : 'not-completed'
  // Superseded by another attempt of an open cycle, or the user is still at the bank: the start page says what is next.
  return authorisations.some(isBeingChecked) ? 'being-checked' : 'start-again'
}

export type FindConsent = (id: string) => Promise<Consent | undefined>

/**
 * Until when the user's permission runs now: the consent's own expiry, or that of the connection that took its place.
 * Undefined when neither runs any more: an old link, opened long after.
 */
export const runsUntil = async (
  consent: Consent,
  findConsent: FindConsent,
  now: DateTime,
): Promise<DateTime | undefined> => {
  const current = consent.supersededById === undefined ? consent : await findConsent(consent.supersededById)
  return current !== undefined && current.expiresAt > now ? current.expiresAt : undefined
}
