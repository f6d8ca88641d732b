// The channels by which users are written to, as data: a line for each. Code that must tell channels apart reads a
// property and does not compare a channel's name. How a message is written and sent is said in notify/channels.ts.
import { Duration } from 'luxon'
import { needsSmtpUtf8 } from './mail-address.ts'

/** The fields of a consent that may hold an address of its user. */
export type AddressField = 'email' | 'phone'
export type Addresses = { readonly [Field in AddressField]?: string | undefined }

export interface ChannelTraits {
  /** The field of a consent with the address that this channel needs. */
  readonly address: AddressField
  /**
   * Why our server may be unable to reach such an address at all, for operators; undefined for an address that every
   * server can reach.
   */
  readonly whyUnreachable: (address: string) => string | undefined
  /**
   * How long a message waits after its first, second, … try, when the server put off this very message. With no entry
   * left, the message is `failed`.
   */
  readonly tries: readonly Duration[]
}

const LONG_TRIES: readonly Duration[] = [{ minutes: 1 }, { minutes: 10 }, { hours: 1 }, { hours: 4 }].map((wait) =>
  Duration.fromObject(wait),
)

export const channels = {
  email: {
    address: 'email',
    whyUnreachable: (address) =>
      needsSmtpUtf8(address)
        ? 'our mail server takes no address like this user’s: it has letters beyond ASCII before its @, and the ' +
          'server no SMTPUTF8'
        : undefined,
    tries: LONG_TRIES,
  },
} as const satisfies Readonly<Record<string, ChannelTraits>>

export type ChannelName = keyof typeof channels

const table: Readonly<Record<ChannelName, ChannelTraits>> = channels

export const traitsOf = (name: ChannelName): ChannelTraits => table[name]

/** All that this release has; which of them are in use is said by the policy. */
export const channelNames = (): ChannelName[] => Object.keys(channels) as ChannelName[]

/** The fields of a consent that hold the addresses of these channels. */
export const addressFields = (names: readonly ChannelName[]): AddressField[] => [
  ...new Set(names.map((name) => traitsOf(name).address)),
]

export const addressFor = (addresses: Addresses, name: ChannelName): string | undefined =>
  addresses[traitsOf(name).address]

/** What decides by which channels a user is written to. */
export interface Reach extends Addresses {
  /** Undefined: by all that are in use. */
  readonly channels?: readonly ChannelName[] | undefined
}

/** Whether the user of a consent may be written to by this channel, whatever addresses there are. */
export const mayBeUsed = ({ channels: wanted }: Pick<Reach, 'channels'>, name: ChannelName): boolean =>
  wanted === undefined || wanted.includes(name)

/** The company shows the renewal by itself: nobody is ever messaged, and links and events are made as for any other. */
export const isNeverMessaged = ({ channels: wanted }: Pick<Reach, 'channels'>): boolean => wanted?.length === 0

/** Why nobody is messaged then. */
export const NEVER_MESSAGED = 'never messaged: the company says so (its channels are empty)'

/** Those of the channels by which the user may be written to and has an address, in their order. */
export const reachableBy = (reach: Reach, inUse: readonly ChannelName[]): ChannelName[] =>
  inUse.filter((name) => mayBeUsed(reach, name) && addressFor(reach, name) !== undefined)

/** The channels with these names, each once and in the order of the table; undefined if one is not known. */
export const channelsNamed = (names: readonly string[]): ChannelName[] | undefined =>
  names.every((name) => Object.hasOwn(channels, name))
    ? channelNames().filter((name) => names.includes(name))
    : undefined
