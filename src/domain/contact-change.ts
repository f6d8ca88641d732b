// What a change of a user's contact data means for the consent. Pure.
import { isSame, mayReachBetter } from './import-decision.ts'
import type { ChannelName } from './channels.ts'
import type { Consent } from './model.ts'

/** The details that may be changed without an import, in the order in which events name them. */
export const contactDetails = ['email', 'phone', 'name', 'locale', 'timeZone', 'channels'] as const
export type ContactDetail = (typeof contactDetails)[number]

/** A field that is not there stays as it is; null clears it. */
export type ContactChanges = { readonly [Field in ContactDetail]?: NonNullable<Consent[Field]> | null | undefined }

export interface ContactDecision {
  /** Those of the changes by which something changes; none: the consent is as it was. */
  readonly fields: readonly ContactDetail[]
  /** The change may move the consent's next date, so the consent is evaluated now. */
  readonly evaluateNow: boolean
}

export const decideContactChange = (
  ours: Consent,
  changes: ContactChanges,
  channels: readonly ChannelName[],
): ContactDecision => {
  const fields = contactDetails.filter(
    (field) => changes[field] !== undefined && !isSame(changes[field] ?? undefined, ours[field]),
  )
  const isLost = fields.some((field) => (field === 'email' || field === 'phone') && changes[field] === null)
  const movesDates = fields.includes('timeZone') || fields.includes('channels')
  const addresses = { email: changes.email ?? undefined, phone: changes.phone ?? undefined }
  return { fields, evaluateNow: isLost || movesDates || mayReachBetter(ours, addresses, channels) }
}
