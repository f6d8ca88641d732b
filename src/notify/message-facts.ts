// Gathers what a message is about from the records: the template that fits the moment, the bank, the dates, our start
// link. Writes and sends nothing.
import type { DateTime } from 'luxon'
import type { Clock } from '../clock.ts'
import type { ConsentView, Notification } from '../domain/model.ts'
import { Secret } from '../secret.ts'
import { chooseTemplate } from './choose-template.ts'
import type { MessageFacts } from './port.ts'

export interface MessageFactsDeps {
  readonly startLinkToken: (renewalId: string) => string
  readonly publicUrl: string
  readonly company: string
  readonly clock: Clock
}

export const makeMessageFacts =
  ({ startLinkToken, publicUrl, company, clock }: MessageFactsDeps) =>
  (
    { consent }: ConsentView,
    { id, renewalId, rung, situation }: Notification,
    { to, graceEndsAt }: { to: string; graceEndsAt: DateTime },
  ): MessageFacts => {
    const { expiresAt, timeZone, locale, name } = consent
    return {
      id,
      to,
      template: chooseTemplate({ rung, situation, expiresAt, graceEndsAt, now: clock.now(), timeZone }),
      locale,
      timeZone,
      company,
      bank: consent.providerName ?? consent.providerId,
      name,
      expiresAt,
      graceEndsAt,
      link: new Secret(`${publicUrl}/r/${startLinkToken(renewalId)}`),
    }
  }
