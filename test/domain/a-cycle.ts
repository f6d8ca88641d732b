// Builders of one cycle for the tables of the domain tests: instants as offsets from the expiry, rows with defaults for
// every field that a test does not care about, and results in words.
import { randomUUID } from 'node:crypto'
import { DateTime } from 'luxon'
import type { Authorisation, Consent, ConsentView, Notification, Renewal } from '../../src/domain/model.ts'
import type { NextAction } from '../../src/domain/next-action.ts'
import { aConsent } from '../builders.ts'

export const EXPIRY = DateTime.fromISO('2026-06-15T12:00:00Z', { zone: 'utc' })
const units: Record<string, 'days' | 'hours' | 'minutes' | 'seconds'> = {
  d: 'days',
  h: 'hours',
  m: 'minutes',
  s: 'seconds',
}

/** `'-14d -1s'` is a second before fourteen days before the expiry; a day has 24 hours. */
export const at = (offset: string): DateTime =>
  offset.split(' ').reduce((instant, part) => {
    const [, amount, unit = ''] = /^([+-]?\d+)([dhms])$/.exec(part) ?? []
    if (amount === undefined) throw new Error(`no offset: ${part}`)
    return units[unit] === 'days'
      ? instant.plus({ hours: 24 * Number(amount) })
      : instant.plus({ [units[unit] ?? '']: Number(amount) })
  }, EXPIRY)

const CONSENT = aConsent({ expiresAt: EXPIRY, timeZone: 'UTC' })
const RENEWAL_ID = randomUUID()
const ids = { consentId: CONSENT.id, renewalId: RENEWAL_ID }

export const consentAt = (over: Partial<Consent> = {}): Consent => ({ ...CONSENT, ...over })

export const aRenewal = (over: Partial<Renewal> = {}): Renewal => ({
  id: RENEWAL_ID,
  consentId: CONSENT.id,
  cycle: 1,
  status: 'open',
  route: 'reauth',
  openedAt: at('-14d'),
  closedAt: undefined,
  reason: 'due',
  manualNo: 0,
  againNo: 0,
  againReason: undefined,
  ...over,
})

export const aLink = (issued: string, over: Partial<Authorisation> = {}): Authorisation => ({
  id: randomUUID(),
  ...ids,
  route: 'reauth',
  status: 'issued',
  doneId: randomUUID(),
  redirectUri: CONSENT.redirectUri,
  issuedAt: at(issued),
  handedOutAt: undefined,
  expiresAt: at(issued).plus({ hours: 24 }),
  codeReceivedAt: undefined,
  exchangeStartedAt: undefined,
  answeredAt: undefined,
  tokenVersion: undefined,
  newCredentialsId: undefined,
  tokenOwner: undefined,
  hasPendingToken: false,
  pollCount: 0,
  errorCode: undefined,
  nextActionAt: undefined,
  closedAt: undefined,
  ...over,
})

export const aMessage = (rung: string, created: string, over: Partial<Notification> = {}): Notification => ({
  id: randomUUID(),
  ...ids,
  cycle: 1,
  rung,
  channel: 'email',
  status: 'sent',
  situation: 'reminder',
  attempts: 1,
  errorCode: undefined,
  createdAt: at(created),
  handedOverAt: undefined,
  repeatedAt: undefined,
  sentAt: at(created),
  nextActionAt: undefined,
  ...over,
})

export interface Cycle {
  readonly consent?: Partial<Consent>
  readonly renewal?: Partial<Renewal> | undefined
  readonly links?: readonly Authorisation[]
  readonly messages?: readonly Notification[]
}

/** A consent with its records; if any part of a cycle is given, the cycle is open. */
export const aCycle = ({ consent, renewal, links = [], messages = [] }: Cycle): ConsentView => ({
  consent: consentAt(consent),
  renewal: renewal === undefined && links.length + messages.length === 0 ? undefined : aRenewal(renewal),
  authorisations: links,
  notifications: messages,
})

/**
 * The action in words, to compare with a table row: `wait -14d`, `renew link and -14d (reminder) by reauth`, `lapse`.
 */
export const inWords = (next: NextAction): string => {
  if (next.action === 'wait') return `wait ${offsetOf(next.at)}`
  if (next.action !== 'renew') return next.action
  const { makeLink, message, routes } = next
  const parts = [makeLink && `link by ${routes.join('/')}`, message && `${message.rung} (${message.situation})`]
  return `renew ${parts.filter(Boolean).join(' and ')}`
}

/** The instant as an offset from the nearest day: `-14d`, `+90d`, `-14d +30m`, `+1h`. */
export const offsetOf = (instant: DateTime): string => {
  const seconds = Math.round(instant.diff(EXPIRY).as('seconds'))
  if (instant.toMillis() !== EXPIRY.plus({ seconds }).toMillis()) return instant.toISO() ?? ''
  const days = Math.round(seconds / 86_400)
  const rest = seconds - days * 86_400
  const sign = (amount: number): string => (amount < 0 ? String(amount) : `+${amount}`)
  const small = rest % 3600 === 0 ? `${sign(rest / 3600)}h` : rest % 60 === 0 ? `${sign(rest / 60)}m` : `${sign(rest)}s`
  if (rest === 0) return days === 0 ? '0d' : `${sign(days)}d`
  return days === 0 ? small : `${sign(days)}d ${small}`
}
