// Composes the message of one notification: the right template, the user's language and zone, our start link. Sends
// nothing.
import type { DateTime } from 'luxon'
import type { Clock } from '../clock.ts'
import type { ConsentView, Notification } from '../domain/model.ts'
import { Secret } from '../secret.ts'
import { chooseTemplate } from './choose-template.ts'
import type { Message } from './port.ts'
import type { makeRenderMessage } from './render.ts'

export interface ComposeDeps {
  readonly render: ReturnType<typeof makeRenderMessage>
  readonly startLinkToken: (renewalId: string) => string
  readonly publicUrl: string
  readonly company: string
  readonly clock: Clock
}

/** Undefined when the consent no longer has an address. The same notification always has the same Message-ID. */
export const composeMessage =
  ({ render, startLinkToken, publicUrl, company, clock }: ComposeDeps) =>
  ({ consent }: ConsentView, notification: Notification, graceEndsAt: DateTime): Message | undefined => {
    if (consent.email === undefined) return undefined
    const { rung, situation } = notification
    const template = chooseTemplate({
      rung,
      situation,
      expiresAt: consent.expiresAt,
      graceEndsAt,
      now: clock.now(),
      timeZone: consent.timeZone,
    })
    const rendered = render({
      template,
      locale: consent.locale,
      timeZone: consent.timeZone,
      company,
      bank: consent.providerName ?? consent.providerId,
      name: consent.name,
      expiresAt: consent.expiresAt,
      graceEndsAt,
      link: new Secret(`${publicUrl}/r/${startLinkToken(notification.renewalId)}`),
    })
    return { ...rendered, to: consent.email, messageId: `${notification.id}@${new URL(publicUrl).hostname}` }
  }
