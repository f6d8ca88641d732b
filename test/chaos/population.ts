// The consents of the run and the kinds of their users: drawn from the seed, imported as a company imports them, and
// known to the simulator as well.
import type { DateTime } from 'luxon'
import type { OwnSwitches } from '../../simulator/src/switches.ts'
import { Secret } from '../../src/secret.ts'
import { imports } from '../../src/store/import.ts'
import type { Options } from './options.ts'
import { MAIL_DOMAIN, type Rig } from './rig.ts'
import type { Chance } from './seeded.ts'

/** What a user does with the mails of a cycle; the numbers are per cent of the users. */
const kinds = {
  renews: 44,
  'clicks-twice': 10,
  'comes-late': 12,
  'denies-first': 8,
  'closes-tab-first': 6,
  'somebody-else-first': 7,
  'always-somebody-else': 1,
  ignores: 12,
} as const
export type UserKind = keyof typeof kinds

export interface User {
  readonly no: number
  readonly credentialsId: string
  readonly email: string
  readonly kind: UserKind
  readonly refreshToken: string
  readonly expiresAt: DateTime
  /** How the provider treats this one connection, beside the faults. */
  readonly switches: OwnSwitches
}

const BANKS = [
  ['uk-ob-monzo', 'Monzo'],
  ['uk-ob-barclays', 'Barclays'],
  ['uk-ob-lloyds', 'Lloyds'],
  ['uk-ob-starling', 'Starling'],
] as const
const LOCALES = ['en', 'de', 'fr', 'es', 'it', 'pl', undefined] as const
const ZONES = ['Europe/London', 'Europe/Berlin', 'America/New_York', 'Asia/Tokyo', undefined] as const
const SCOPES = ['info', 'accounts', 'balance', 'transactions', 'offline_access']
/**
 * Due consents range from expired, but still in grace, to due in the last days of the run. The others are healthy
 * throughout, like most consents of a company.
 */
const DUE_FROM_DAYS = -40
const HEALTHY_UNTIL_DAYS = 89
/** How many days before the expiry the ladder first asks the user. */
const ASKED_BEFORE_DAYS = 14
/**
 * How many returning users a second two cores can bear, while they also run everything else: as many consents come due.
 */
const DUE_A_SECOND = 4

/** The days that a run goes through: a short run has no time for as many users. */
export const daysOf = ({ minutes }: Pick<Options, 'minutes'>): number => (minutes < 6 ? 45 : 70)

/** In days from the start. */
const expiryOf = (options: Options, chance: Chance): number => {
  const lastDue = daysOf(options) + ASKED_BEFORE_DAYS - 1
  const between = (from: number, to: number): number => from + chance.next() * (to - from)
  return chance.happens((DUE_A_SECOND * 60 * options.minutes) / options.consents)
    ? between(DUE_FROM_DAYS, lastDue)
    : between(lastDue + 2, HEALTHY_UNTIL_DAYS)
}
const BATCH = 500

const kindOf = (chance: Chance): UserKind => {
  let left = chance.between(0, 99)
  for (const [kind, share] of Object.entries(kinds)) {
    left -= share
    if (left < 0) return kind as UserKind
  }
  return 'renews'
}

/** The share of the connections whose refresh token the provider replaces with every refresh, the whole run through. */
const ROTATING_SHARE = 0.5
/** The share of the connections whose new date the provider shows late, and by how many seconds: minutes to a day. */
const LATE_SHARE = 0.1
const LATE_SECONDS = [3 * 60, 24 * 3_600] as const

/** Lags are spread evenly over their orders of magnitude, so that as many end within the hour as go on after it. */
const lagOf = (chance: Chance): number => {
  const [least, most] = LATE_SECONDS
  return Math.round(least * (most / least) ** chance.next())
}

export const switchesOf = (chance: Chance): OwnSwitches => ({
  ...(chance.happens(ROTATING_SHARE) ? ({ rotate_refresh_tokens: 'on-refresh' } as const) : {}),
  ...(chance.happens(LATE_SHARE) ? { me_lag_seconds: lagOf(chance) } : {}),
})

const hex = (chance: Chance, digits: number): string =>
  Array.from({ length: digits }, () => chance.between(0, 15).toString(16)).join('')

export const populate = async (
  { simulator, db, config, clock, redirectUri }: Rig,
  options: Options,
  chance: Chance,
): Promise<User[]> => {
  const start = clock.now()
  // A source of its own: the rest of the population stays the one that the seed has always given.
  const ofProvider = chance.branch('switches')
  const users = Array.from({ length: options.consents }, (_, no): User => {
    const days = expiryOf(options, chance)
    return {
      no,
      credentialsId: `planted-connection-${no}-${hex(chance, 8)}`,
      email: `user-${no}-${hex(chance, 12)}@${MAIL_DOMAIN}`,
      kind: kindOf(chance),
      refreshToken: `planted-refresh-token-${no}-${hex(chance, 32)}`,
      expiresAt: start.plus({ minutes: Math.round(days * 24 * 60) }),
      switches: switchesOf(ofProvider),
    }
  })
  for (let first = 0; first < users.length; first += BATCH) {
    const rows = users.slice(first, first + BATCH).map((user) => {
      const [providerId, providerName] = chance.pick(BANKS)
      const { credentialsId, email, refreshToken, expiresAt, switches } = user
      simulator.seedConnection({
        credentialsId,
        providerId,
        providerName,
        country: 'GB',
        redirectUri,
        refreshToken,
        expiresAt,
        scopes: SCOPES,
        switches,
      })
      return {
        credentialsId,
        refreshToken: new Secret(refreshToken),
        userId: `user-${user.no}`,
        providerId,
        providerName,
        country: 'GB',
        redirectUri,
        scopes: SCOPES,
        email,
        phone: undefined,
        name: `User ${user.no}`,
        locale: chance.pick(LOCALES),
        timeZone: chance.pick(ZONES),
        expiresAt,
        consentedAt: undefined,
      }
    })
    const results = await imports(db, config.policy).importBatch(rows, { now: clock.now(), correct: false })
    const refused = results.find(({ kind }) => kind !== 'created')
    if (refused !== undefined)
      throw new Error(`a consent of the run was not imported: ${refused.detail ?? refused.kind}`)
  }
  return users
}
