// What a row of an import means to the consent we already have. Pure: neither rows of the database nor tokens are seen
// here.
import type { DateTime } from 'luxon'
import { needsSmtpUtf8 } from './channel.ts'
import type { Consent } from './model.ts'
import { type ResolvedRule, expiryFrom } from './rules.ts'
import { isTerminal } from './lifecycle.ts'

/** One row as the company gave it, checked; what is undefined was not said and stays as it is. */
export interface ImportedConsent {
  readonly credentialsId: string
  readonly userId: string
  readonly providerId: string
  readonly providerName: string | undefined
  readonly country: string
  readonly redirectUri: string
  readonly scopes: readonly string[] | undefined
  readonly email: string | undefined
  readonly phone: string | undefined
  readonly name: string | undefined
  readonly locale: string | undefined
  readonly timeZone: string | undefined
  /** At least one of the two is there; the expiry, where given, counts. */
  readonly expiresAt: DateTime | undefined
  readonly consentedAt: DateTime | undefined
}

/** What a row may change besides dates and token. */
export const contactFields = [
  'userId',
  'providerId',
  'providerName',
  'country',
  'redirectUri',
  'scopes',
  'email',
  'phone',
  'name',
  'locale',
  'timeZone',
] as const
export type ContactField = (typeof contactFields)[number]

export type ImportDecision =
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'unchanged'; readonly warning: string | undefined }
  /** Its date is later than ours: it was renewed elsewhere, the running cycle is over. */
  | { readonly kind: 'repaired'; readonly fields: readonly ContactField[] }
  | {
      readonly kind: 'updated'
      readonly fields: readonly ContactField[]
      /** Expiry and token are taken from the row although its date is not later: `--correct`. */
      readonly corrects: boolean
      /** What changed may move its next date: it is looked at now. */
      readonly dateNow: boolean
      readonly warning: string | undefined
    }

/** Systems round to seconds: less than one is the same date. */
const SAME_DATE_MS = 1000
/** What decides when and how the user is asked. */
const movesDates: readonly ContactField[] = ['providerId', 'country', 'redirectUri', 'timeZone']

/** The expiry a row stands for: its own, else its consent plus the bank's validity. */
export const expiryOf = (row: Pick<ImportedConsent, 'expiresAt' | 'consentedAt'>, rule: ResolvedRule): DateTime => {
  if (row.expiresAt !== undefined) return row.expiresAt
  if (row.consentedAt === undefined) throw new Error('a row without any date came past its check')
  return expiryFrom(row.consentedAt, rule)
}

export interface OurConsent extends Consent {
  readonly consentedAt: DateTime | undefined
}

export interface ImportQuestion {
  readonly ours: OurConsent
  readonly row: ImportedConsent
  /** Of the bank the row names. */
  readonly rule: ResolvedRule
  readonly tokenDiffers: boolean
  /** The operator insists on the row: `--correct`. */
  readonly correct: boolean
}

/**
 * The same row twice changes nothing; a row never moves the expiry back nor replaces a token unless its date is later
 * than ours.
 */
export const decideImport = ({ ours, row, rule, tokenDiffers, correct }: ImportQuestion): ImportDecision => {
  if (row.providerId !== ours.providerId && !correct) {
    return {
      kind: 'refused',
      reason: 'provider_id is not the one we have: a connection does not change its bank (--correct forces)',
    }
  }
  // Two ids that a spreadsheet has made one would give one user's connection to the other.
  if (row.userId !== ours.userId && !correct) {
    return {
      kind: 'refused',
      reason: 'user_id is not the one we have: a connection does not change its user (--correct forces)',
    }
  }
  const movedByMs = expiryOf(row, rule).toMillis() - ours.expiresAt.toMillis()
  const isLater = movedByMs >= SAME_DATE_MS && !isOldNews(ours, row)
  const corrects = correct && !isLater && (Math.abs(movedByMs) >= SAME_DATE_MS || tokenDiffers)
  if (isTerminal(ours)) {
    return isLater || corrects
      ? {
          kind: 'refused',
          reason:
            `the consent is closed as ${ours.status} and takes no new date: import the user's new connection ` +
            'instead',
        }
      : { kind: 'unchanged', warning: undefined }
  }
  const fields = contactFields.filter((field) => row[field] !== undefined && !isSame(row[field], ours[field]))
  if (isLater) return { kind: 'repaired', fields }
  const warning =
    tokenDiffers && !corrects
      ? 'refresh_token differs, but the date is not later than ours: our token is kept (--correct forces)'
      : undefined
  if (fields.length === 0 && !corrects) return { kind: 'unchanged', warning }
  // The first address, or another one in place of one that not every mail server takes (channel.ts).
  const mayReach =
    row.email !== undefined && row.email !== ours.email && (ours.email === undefined || needsSmtpUtf8(ours.email))
  return {
    kind: 'updated',
    fields,
    corrects,
    dateNow: corrects || mayReach || fields.some((field) => movesDates.includes(field)),
    warning,
  }
}

/**
 * Without an expiry of its own a row is news only by its consent date: a policy that changed the validity must not make
 * it so.
 */
const isOldNews = (ours: OurConsent, row: ImportedConsent): boolean =>
  row.expiresAt === undefined &&
  row.consentedAt !== undefined &&
  ours.consentedAt !== undefined &&
  row.consentedAt.toMillis() - ours.consentedAt.toMillis() < SAME_DATE_MS

const isSame = (a: unknown, b: unknown): boolean =>
  Array.isArray(a) && Array.isArray(b)
    ? a.length === b.length && a.every((element, index) => element === b[index])
    : a === b
