// The operator's policy as the domain sees it: parsed and complete, with no defaults left to fill in. config.ts parses
// it.
import type { Duration } from 'luxon'
import type { ChannelName } from './channels.ts'
import type { BankRule, Route } from './routes.ts'

/** One step of the reminder ladder: whole calendar days from the expiry, negative before it. */
export interface RungOffset {
  /** As written in the policy: `'-14d'`, `'0d'`, `'+7d'`. */
  readonly name: string
  readonly days: number
}

/** Wall-clock times `HH:mm` in the user's zone between which no message is sent; may cross midnight. */
export interface QuietHours {
  readonly from: string
  readonly to: string
}

/** Whether a route works at a bank; `auth-inputs`: only with extra inputs, which the route cannot carry. */
export type BankAnswer = 'yes' | 'no' | 'auth-inputs'

type BankAnswers = { readonly [Rule in BankRule]?: BankAnswer | undefined }

/**
 * What a bank (by provider id) or a country allows. Unset fields fall back to the country's rule, then to the defaults.
 */
export interface ProviderRule extends BankAnswers {
  readonly routes?: readonly Route[] | undefined
  /** How long a consent is valid from authentication; 90 days unless given. */
  readonly validity?: Duration | undefined
  /** How long after its expiry a consent can still be renewed; 90 days unless given. */
  readonly grace?: Duration | undefined
}

export interface Policy {
  readonly sweep: { readonly cron: string }
  /** The channels in use. */
  readonly channels: readonly ChannelName[]
  readonly ladder: readonly RungOffset[]
  readonly quietHours: QuietHours | false
  /** Rungs of different consents are spread over at most this much time, inside the allowed hours. */
  readonly spread: Duration | false
  readonly link: { readonly freshFor: Duration }
  readonly routes: readonly Route[]
  /** Keys: a provider id (`uk-ob-monzo`) or an upper-case country code (`GB`). */
  readonly providers: Readonly<Record<string, ProviderRule>>
  readonly afterGrace: 'nothing' | 'ask-once'
  readonly limits: { readonly messagesPerHour: number }
  /** Per cent of the active consents that closing a sync may pause at most. */
  readonly sync: { readonly pauseAtMost: number }
  readonly company: { readonly name: string }
  readonly board: { readonly allowDestructive: boolean }
}
