// Makes every channel from its configuration: a line for each, which its folder does the rest for. The lines that the
// domain reads are in domain/channels.ts.
import type { ChannelName } from '../domain/channels.ts'
import type { Secret } from '../secret.ts'
import type { Texts } from '../texts/load-texts.ts'
import { emailChannel } from './email/email-channel.ts'
import type { Channel, ChannelTimeouts } from './port.ts'

export type Channels = Readonly<Record<ChannelName, Channel>>

/** What the configuration says about each channel (config/sections.ts). */
export interface ChannelSettings {
  readonly email: { readonly url: Secret; readonly from: string }
}

export interface Shared {
  readonly texts: Texts
  readonly timeouts: ChannelTimeouts
}

/** How each channel is made. Each throws when its settings cannot be used. */
export const makers: { readonly [Name in ChannelName]: (settings: ChannelSettings, shared: Shared) => Channel } = {
  email: ({ email }, shared) => emailChannel({ smtpUrl: email.url, from: email.from, ...shared }),
}

/** `wrap` may stand around each channel. */
export const openChannels = (
  settings: ChannelSettings,
  shared: Shared,
  wrap: (channel: Channel) => Channel = (channel) => channel,
): Channels =>
  Object.fromEntries(Object.entries(makers).map(([name, make]) => [name, wrap(make(settings, shared))])) as Channels
