// What a row of an import means for the consent that we already have. Pure: this file sees neither database rows nor
// tokens.
import type { DateTime } from 'luxon'
import { addressFor, type Addresses, type ChannelName, reachableBy, traitsOf } from './channels.ts'
import { type Consent, type ConsentDetails, type DetailField, detailFields } from './model.ts'
import { type ResolvedRule, expiryFrom } from './rules.ts'
import { isTerminal } from './lifecycle.ts'

/** The details that every row gives. */
type RequiredDetail = 'userId' | 'providerId' | 'country' | 'redirectUri'

/** The details of one row; an undefined field was not given, and the consent's own stays as it is. */
export type ImportedDetails = Pick<ConsentDetails, RequiredDetail> & {
  readonly [Field in Exclude<DetailField, RequiredDetail>]?: ConsentDetails[Field] | undefined
}

/** One row as the company gave it, checked. */
export interface ImportedConsent extends ImportedDetails {
  readonly credentialsId: string
  /** At least one of `expiresAt` and `consentedAt` is given; the expiry takes precedence. */
  readonly expiresAt: DateTime | undefined
  readonly consentedAt: DateTime | undefined
  /** When the row's refresh token was issued, if the company says so. */
  readonly tokenIssuedAt?: DateTime | undefined
}

export type ImportDecision =
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'unchanged' }
  /** The row's date is later than ours: the consent was renewed elsewhere, and the running cycle is over. */
  | { readonly kind: 'repaired'; readonly fields: readonly DetailField[] }
  | {
      readonly kind: 'updated'
      readonly fields: readonly DetailField[]
      /** The expiry is taken from the row although it is not later than ours: `--correct`. */
      readonly corrects: boolean
      /** The change may move the consent's next date, so the consent is evaluated now. */
      readonly evaluateNow: boolean
    }

/** Systems round to seconds: dates less than a second apart are the same date. */
const SAME_DATE_MS = 1000
/** The fields that decide when and how the user is notified. */
const movesDates: readonly DetailField[] = ['providerId', 'country', 'redirectUri', 'timeZone', 'channels']

/** The expiry that a row stands for: its own expiry, else its consent date plus the bank's validity. */
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
  /** The rule of the bank that the row names. */
  readonly rule: ResolvedRule
  /** The channels in use. */
  readonly channels: readonly ChannelName[]
  /** The operator insists on the row: `--correct`. */
  readonly correct: boolean
}

/**
 * The same row imported twice changes nothing. Unless `--correct` is given, a row never moves the expiry back. What its
 * token means is decided apart (import-token.ts).
 */
export const decideImport = ({ ours, row, rule, channels, correct }: ImportQuestion): ImportDecision => {
  if (row.providerId !== ours.providerId && !correct) {
    return {
      kind: 'refused',
      reason: 'provider_id is not the one we have: a connection does not change its bank (--correct forces)',
    }
  }
  // If a spreadsheet has turned two user ids into one, the row would give one user's connection to another user.
  if (row.userId !== ours.userId && !correct) {
    return {
      kind: 'refused',
      reason: 'user_id is not the one we have: a connection does not change its user (--correct forces)',
    }
  }
  const movedByMs = expiryOf(row, rule).toMillis() - ours.expiresAt.toMillis()
  const isLater = movedByMs >= SAME_DATE_MS && !isOldNews(ours, row)
  const corrects = correct && !isLater && Math.abs(movedByMs) >= SAME_DATE_MS
  if (isTerminal(ours)) {
    return isLater || corrects
      ? {
          kind: 'refused',
          reason:
            `the consent is closed as ${ours.status} and takes no new date: import the user's new connection ` +
            'instead',
        }
      : { kind: 'unchanged' }
  }
  const fields = detailFields.filter((field) => row[field] !== undefined && !isSame(row[field], ours[field]))
  if (isLater) return { kind: 'repaired', fields }
  if (fields.length === 0 && !corrects) return { kind: 'unchanged' }
  return {
    kind: 'updated',
    fields,
    corrects,
    evaluateNow: corrects || mayReachBetter(ours, row, channels) || fields.some((field) => movesDates.includes(field)),
  }
}

/**
 * A row without its own expiry is news only if its consent date is later: a policy that changed the validity must not
 * make the row look later.
 */
const isOldNews = (ours: OurConsent, row: ImportedConsent): boolean =>
  row.expiresAt === undefined &&
  row.consentedAt !== undefined &&
  ours.consentedAt !== undefined &&
  row.consentedAt.toMillis() - ours.consentedAt.toMillis() < SAME_DATE_MS

/** A first address for a channel, or another one in place of an address that not every server reaches (reach.ts). */
export const mayReachBetter = (ours: Addresses, row: Addresses, channels: readonly ChannelName[]): boolean =>
  reachableBy(row, channels).some((name) => {
    const known = addressFor(ours, name)
    if (known === undefined) return true
    return known !== addressFor(row, name) && traitsOf(name).whyUnreachable(known) !== undefined
  })

export const isSame = (a: unknown, b: unknown): boolean =>
  Array.isArray(a) && Array.isArray(b)
    ? a.length === b.length && a.every((element, index) => element === b[index])
    : a === b
