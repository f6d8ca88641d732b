// The situations in which a user gets a message. Each channel has a text of its own for each of them.

export const templateNames = [
  'before-expiry',
  'last-day',
  'expired',
  'last-chance',
  'after-grace',
  'asked-again',
  'other-account',
  'uncertain',
] as const

export type TemplateName = (typeof templateNames)[number]
