// The users of the demo: about thirty consents that cover every phase, and what their users will do. Data only.
import type { DateTime } from 'luxon'

/** What the user does after a message, in the automatic demo. */
export type Deed =
  | 'approves'
  | 'approves from an old mail'
  | 'clicks twice'
  | 'denies'
  | 'closes the tab'
  | 'approves as somebody else'
  | 'ignores'
  | 'is not asked'

export type PhaseAtStart = 'healthy' | 'due' | 'in grace' | 'last days of grace' | 'lapsed' | 'unsupported'

export interface Role {
  readonly name: string
  readonly email: string
  readonly phase: PhaseAtStart
  readonly deed: Deed
  readonly credentialsId: string
  readonly userId: string
  readonly refreshToken: string
  readonly providerId: string
  readonly providerName: string
  readonly country: string
  readonly locale: string
  readonly timeZone: string
  readonly expiresAt: DateTime
  /** The provider replaces this connection's refresh token with every answer; the old one is dead at once. */
  readonly rotates: boolean
}

const ukBanks = [
  ['uk-ob-monzo', 'Monzo'],
  ['uk-ob-barclays', 'Barclays'],
  ['uk-ob-lloyds', 'Lloyds'],
  ['uk-ob-natwest', 'NatWest'],
  ['uk-ob-hsbc', 'HSBC'],
] as const
const homes = [
  ['en', 'Europe/London'],
  ['pl', 'Europe/Warsaw'],
  ['de', 'Europe/Berlin'],
  ['fr', 'Europe/Paris'],
  ['es', 'Europe/Madrid'],
  ['it', 'Europe/Rome'],
] as const
const names = [
  'Ada',
  'Bola',
  'Chiara',
  'Dmitri',
  'Elif',
  'Farid',
  'Grace',
  'Hugo',
  'Ines',
  'Jan',
  'Kofi',
  'Lena',
  'Marta',
  'Nadia',
  'Omar',
  'Pia',
  'Quentin',
  'Rosa',
  'Sam',
  'Tove',
  'Uma',
  'Victor',
  'Wanda',
  'Ximena',
  'Yusuf',
  'Zoe',
  'Aoife',
  'Bruno',
  'Celia',
  'Dara',
  'Emil',
] as const

/**
 * Days until the expiry at the start. For each consent with a message due, the ladder's next rung is due four days
 * later: one jump of the clock is enough for users who wait and for old mails.
 */
const cast: readonly (readonly [PhaseAtStart, number, Deed])[] = [
  ['healthy', 88, 'is not asked'],
  ['healthy', 60, 'is not asked'],
  ['healthy', 35, 'is not asked'],
  ['due', 10.5, 'approves'],
  ['due', 10.4, 'approves from an old mail'],
  ['due', 10.3, 'clicks twice'],
  ['due', 10.2, 'denies'],
  ['due', 10.1, 'closes the tab'],
  ['due', 10, 'approves as somebody else'],
  ['due', 9.9, 'ignores'],
  ['due', 5.5, 'approves'],
  ['due', 2.5, 'approves'],
  ['in grace', -27, 'approves'],
  ['in grace', -27.1, 'approves from an old mail'],
  ['in grace', -27.2, 'clicks twice'],
  ['in grace', -27.3, 'denies'],
  ['in grace', -27.4, 'closes the tab'],
  ['in grace', -27.5, 'approves as somebody else'],
  ['in grace', -27.6, 'ignores'],
  ['last days of grace', -81, 'approves'],
  ['last days of grace', -81.1, 'approves from an old mail'],
  ['last days of grace', -81.2, 'clicks twice'],
  ['last days of grace', -81.3, 'denies'],
  ['last days of grace', -81.4, 'closes the tab'],
  ['last days of grace', -81.5, 'approves as somebody else'],
  ['last days of grace', -81.6, 'ignores'],
  ['lapsed', -91, 'is not asked'],
  ['lapsed', -120, 'is not asked'],
  ['lapsed', -400, 'is not asked'],
  ['unsupported', 8, 'is not asked'],
  ['unsupported', -20, 'is not asked'],
]

export const castAt = (now: DateTime): Role[] =>
  cast.map(([phase, days, deed], index) => {
    const number = String(index + 1).padStart(2, '0')
    const name = names[index % names.length] ?? 'Ada'
    const [providerId, providerName] =
      phase === 'unsupported'
        ? (['xs2a-sparkasse', 'Sparkasse'] as const)
        : (ukBanks[index % ukBanks.length] ?? ukBanks[0])
    const [locale, timeZone] = homes[index % homes.length] ?? homes[0]
    return {
      name,
      email: `${name.toLowerCase()}@example.com`,
      phase,
      deed,
      credentialsId: `demo-connection-${number}`,
      userId: `demo-user-${number}`,
      refreshToken: `demo-refresh-token-${number}-${'x'.repeat(16)}`,
      providerId,
      providerName,
      country: phase === 'unsupported' ? 'DE' : 'GB',
      locale: phase === 'due' && deed === 'approves' ? 'en' : locale,
      timeZone,
      expiresAt: now.plus({ minutes: Math.round(days * 24 * 60) }),
      rotates: index % 2 === 0,
    }
  })
