// The one table that maps what is stored to what webhooks tell. A stored event that has no line here is told by none.
// The names are a promise to receivers: a line may be added, never renamed.

interface Told {
  readonly as: string
  /** Whether an event with these data is told; without it, each is. */
  readonly when?: (data: Readonly<Record<string, unknown>>) => boolean
}

/** Rungs from the expiry on: `0d`, `+7d`. Those before it begin with a minus; `again-1`, `manual-1` are none. */
const isInGrace = ({ rung }: Readonly<Record<string, unknown>>): boolean =>
  typeof rung === 'string' && /^(?:0d|\+\d)/.test(rung)

const toldAs = {
  'renewal.opened': { as: 'consent.renewal_opened' },
  'message.sent': { as: 'consent.asked' },
  'consent.renewed': { as: 'consent.renewed' },
  'authorisation.refused-at-bank': { as: 'consent.refused' },
  // The consent is over, can still be renewed, and its user is reminded of it.
  'message.queued': { as: 'consent.lapsing', when: isInGrace },
  'consent.lapsed': { as: 'consent.lapsed' },
  'consent.repaired': { as: 'consent.repaired' },
  'consent.quarantined': { as: 'consent.quarantined' },
  'consent.superseded': { as: 'consent.superseded' },
  'token.replaced': { as: 'token.replaced' },
  'token.rejected': { as: 'token.rejected' },
} as const satisfies Readonly<Record<string, Told>>

type StoredType = keyof typeof toldAs
export type WebhookType = (typeof toldAs)[StoredType]['as']

const lines = Object.entries(toldAs) as readonly (readonly [StoredType, Told & { readonly as: WebhookType }])[]

export const webhookTypes: readonly WebhookType[] = lines.map(([, { as }]) => as)

/** The stored types from which these are told. An empty list stands for all, those of later releases too. */
export const storedTypesOf = (wanted: readonly string[]): readonly string[] =>
  lines.filter(([, { as }]) => wanted.length === 0 || wanted.includes(as)).map(([stored]) => stored)

/** As what webhooks tell a stored event; undefined for one that they do not tell. */
export const webhookTypeOf = (stored: string, data: Readonly<Record<string, unknown>>): WebhookType | undefined => {
  const told: (Told & { readonly as: WebhookType }) | undefined = Object.hasOwn(toldAs, stored)
    ? toldAs[stored as StoredType]
    : undefined
  return told === undefined || told.when?.(data) === false ? undefined : told.as
}
