// Every state and every allowed transition, as literal tables. Each write of a status takes the states that it may come
// from out of these tables (store/moves.ts), and `docs/states.md` is generated from them.
import type {
  AuthorisationStatus,
  Consent,
  ConsentStatus,
  NotificationStatus,
  Renewal,
  RenewalStatus,
} from './model.ts'

type Table<State extends string> = Readonly<Record<State, Partial<Record<State, string>>>>

const REOPENED = 'an import took two logins for one, and an operator undoes it: it was '

export const consentTransitions = {
  active: {
    paused: 'an operator pauses messages and new links',
    quarantined: 'a different connection was approved for the third time, or a stored secret does not decrypt',
    lapsed: 'the grace window ended without a renewal',
    revoked: 'the company says the user revoked the consent at the bank',
    opted_out: 'the user does not want it renewed',
    superseded: 'a newer consent of the same user replaced it: by full authentication, or by the word of an import',
    unsupported: 'no route of the policy can renew consents of this bank',
  },
  paused: {
    active: 'an operator resumes it, or a renewal was proven',
    quarantined: 'a stored secret does not decrypt',
    revoked: 'the company says the user revoked the consent at the bank',
    opted_out: 'the user does not want it renewed',
    superseded: 'a newer consent of the same user replaced it: by full authentication, or by the word of an import',
  },
  quarantined: {
    active: 'an operator releases it, or a renewal was proven',
    revoked: 'the company says the user revoked the consent at the bank',
    opted_out: 'the user does not want it renewed',
    superseded: 'a newer consent of the same user replaced it: by full authentication, or by the word of an import',
  },
  lapsed: {
    active: 'a late renewal was proven, an import brought a later date, or an operator asks for a full authentication',
    revoked: 'the company says the user revoked the consent at the bank',
    opted_out: 'the user does not want it renewed',
    superseded: 'a newer consent of the same user replaced it: by full authentication, or by the word of an import',
  },
  unsupported: {
    active: 'an import brought a later date, or an operator releases it after a change of policy',
    revoked: 'the company says the user revoked the consent at the bank',
    opted_out: 'the user does not want it renewed',
    superseded: 'a newer consent of the same user replaced it: by full authentication, or by the word of an import',
  },
  revoked: {},
  opted_out: {},
  superseded: {
    active: `${REOPENED}active before`,
    paused: `${REOPENED}paused before`,
    quarantined: `${REOPENED}quarantined before`,
    lapsed: `${REOPENED}lapsed before`,
    unsupported: `${REOPENED}unsupported before`,
  },
} as const satisfies Table<ConsentStatus>

export const renewalTransitions = {
  open: {
    renewed: 'the new expiry was proven',
    repaired: 'an import brought a later date: it was renewed elsewhere',
    lapsed: 'the grace window ended',
    cancelled: 'the consent was closed',
  },
  lapsed: { renewed: 'a code that came late was proven', open: 'an operator asks for a full authentication' },
  renewed: {},
  repaired: {},
  cancelled: { open: 'its consent, which an import had closed by mistake, is reopened' },
} as const satisfies Table<RenewalStatus>

export const authorisationTransitions = {
  issued: {
    code_received: 'the bank sent the user back with a code',
    refused: 'the bank sent the user back with an error',
    expired: 'its state is older than 24 hours',
    superseded: 'the cycle closed before it was used',
  },
  expired: { code_received: 'the code came late: the user did their part' },
  refused: { code_received: 'the user turned back at the bank and approved after all' },
  superseded: { code_received: 'the user approved an older link while the cycle was open' },
  code_received: {
    exchanging: 'a worker is about to send the code',
    refused: 'the code could not be sent while it was valid',
    superseded: 'another authorisation of the cycle succeeded first',
  },
  exchanging: {
    verifying: 'the provider answered with tokens of the same connection',
    code_received: 'the code was certainly not processed: it may be sent again',
    refused: 'the provider refused the code',
    mismatched: 'the tokens belong to a different connection',
    in_doubt: 'no answer, or none that says what became of the code',
  },
  verifying: {
    renewed: 'the new expiry is proven',
    mismatched: 'the provider names a different connection',
    refused: 'the new connection came without a refresh token, or a day later nothing shows a renewal',
    in_doubt: 'the provider could not be asked for ten minutes, or which token is valid must be settled',
    awaiting_date: 'ten minutes after the exchange the provider shows no new date: it may come up to a day late',
    superseded: 'another authorisation of the cycle succeeded first',
  },
  in_doubt: {
    renewed: 'the provider shows the new expiry',
    verifying: 'the answer that had been given up came after all',
    awaiting_date: 'six minutes or more after the code, the provider shows no new date: it may come up to a day late',
    refused: '25 hours or more after the code nothing shows a renewal, or nobody can be asked about it',
    mismatched: 'the provider names a different connection',
    superseded: 'another authorisation of the cycle succeeded first',
  },
  awaiting_date: {
    renewed: 'the provider shows the new expiry',
    verifying: 'the answer that had been given up came after all',
    in_doubt: 'the stored token changed while the provider was asked: which one is valid is settled first',
    refused: '25 hours or more after the code, nothing shows a renewal',
    mismatched: 'the provider names a different connection',
    superseded: 'another authorisation of the cycle succeeded first',
  },
  mismatched: {},
  renewed: {},
} as const satisfies Table<AuthorisationStatus>

export const notificationTransitions = {
  pending: {
    sending: 'reserved: the server waits for it, and nothing of it has left',
    failed: 'the channel refused it, or did not take it in all its tries, before anything of it had left',
    cancelled: 'nothing is left to ask: renewed, stopped or closed',
  },
  sending: {
    sent: 'the channel took it',
    pending: 'the channel certainly did not take it: tried again later',
    uncertain: 'it may or may not have been taken; not sent again',
    failed: 'the channel refused it for good, or did not take it in all its tries',
  },
  failed: { pending: 'a person retries a message that was certainly not taken, or its user has another address' },
  sent: {},
  uncertain: {},
  cancelled: {
    pending: 'its consent was paused, quarantined or closed by mistake, and came back within the same cycle',
  },
} as const satisfies Table<NotificationStatus>

/** The states from which the state `To` may be reached, as a type. */
export type SourceOf<Transitions, To> = {
  [From in keyof Transitions]: To extends keyof Transitions[From] ? From : never
}[keyof Transitions]

/** The same states as values: every write of a status names them in its WHERE (store/moves.ts). */
export const sourcesOf = <State extends string>(table: Table<State>, to: NoInfer<State>): State[] =>
  (Object.keys(table) as State[]).filter((from) => table[from][to] !== undefined)

const FINAL: readonly string[] = ['revoked', 'opted_out', 'superseded'] satisfies ConsentStatus[]

/**
 * The provider is no longer polled with the tokens of such a consent's user, and the consent stays closed; only a wrong
 * `superseded` can be undone (reopening.ts).
 */
export const isTerminal = ({ status }: { readonly status: string }): boolean => FINAL.includes(status)

/**
 * The user did their part, so a code counts as long as the cycle is not renewed, even after the cycle lapsed or while
 * the consent is paused. Once an import has begun the next cycle, a code for the lapsed cycle no longer counts.
 */
export const acceptsCode = (
  consent: { readonly status: string; readonly cycle: Consent['cycle'] },
  renewal: { readonly status: string; readonly cycle: Renewal['cycle'] },
): boolean =>
  !isTerminal(consent) && renewal.cycle === consent.cycle && (renewal.status === 'open' || renewal.status === 'lapsed')
