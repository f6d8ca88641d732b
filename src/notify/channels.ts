// Makes the channels in use from their settings: a line for each channel, whose folder does the rest. The line that the
// domain reads is in domain/channels.ts, and what the settings are in config/sections.ts.
import type { ChannelName } from '../domain/channels.ts'
import type { Secret } from '../secret.ts'
import type { Texts } from '../texts/load-texts.ts'
import { emailChannel } from './email/email-channel.ts'
import type { Channel, ChannelTimeouts } from './port.ts'

/** What every channel is made with. */
export interface Shared {
  readonly texts: Texts
  readonly timeouts: ChannelTimeouts
}

/** How each channel is made. Each throws when its settings cannot be used. */
export const makers = {
  email: ({ url, from }: { url: Secret; from: string }, shared: Shared) =>
    emailChannel({ smtpUrl: url, from, ...shared }),
} satisfies Readonly<Record<ChannelName, (settings: never, shared: Shared) => Channel>>

/** The settings of the channels in use. */
export type ChannelSettings = {
  readonly [Name in ChannelName]?: Parameters<(typeof makers)[Name]>[0] | undefined
}

/** Each channel in use by its name, and how it is made. */
export const channelMakers = (settings: ChannelSettings): [ChannelName, (shared: Shared) => Channel][] =>
  (Object.keys(settings) as ChannelName[]).map((name) => {
    // A maker and the settings of the same name fit; the type of a union of names cannot say so.
    const make = makers[name] as (settings: unknown, shared: Shared) => Channel
    return [name, (shared) => make(settings[name], shared)]
  })

/** `wrap` stands around each channel. */
export const openChannels = (
  settings: ChannelSettings,
  shared: Shared,
  wrap: (channel: Channel) => Channel,
): Readonly<Partial<Record<ChannelName, Channel>>> =>
  Object.fromEntries(channelMakers(settings).map(([name, make]) => [name, wrap(make(shared))]))
