// The banks the simulator knows: a small catalogue, and every seeded bank. Ids and group names look like TrueLayer's.
export interface Bank {
  readonly providerId: string
  readonly displayName: string
  /** Upper-case ISO country code; the UK is `GB`. */
  readonly country: string
}

const CATALOGUE: readonly Bank[] = [
  { providerId: 'uk-cs-mock', displayName: 'Mock Bank', country: 'GB' },
  { providerId: 'uk-ob-monzo', displayName: 'Monzo', country: 'GB' },
  { providerId: 'uk-ob-barclays', displayName: 'Barclays', country: 'GB' },
  { providerId: 'uk-ob-lloyds', displayName: 'Lloyds', country: 'GB' },
  { providerId: 'uk-ob-natwest', displayName: 'NatWest', country: 'GB' },
  { providerId: 'uk-ob-starling', displayName: 'Starling', country: 'GB' },
  { providerId: 'ie-ob-aib', displayName: 'AIB', country: 'IE' },
  { providerId: 'fr-stet-caisse-depargne', displayName: "Caisse d'Epargne", country: 'FR' },
  { providerId: 'de-xs2a-sparkasse', displayName: 'Sparkasse', country: 'DE' },
  { providerId: 'es-redsys-bbva', displayName: 'BBVA', country: 'ES' },
]

/** `uk` and `GB` are the same country. */
export const countryOf = (text: string): string => {
  const upper = text.toUpperCase()
  return upper === 'UK' ? 'GB' : upper
}

export interface Banks {
  find(providerId: string): Bank | undefined
  /** Adds a seeded bank. If the id is already known, the first description stays. */
  learn(bank: Bank): Bank
  all(): readonly Bank[]
  /**
   * The banks that a `providers` parameter covers: ids (`uk-ob-monzo`) and groups (`uk-ob-all`), separated by spaces.
   */
  coveredBy(providers: string): readonly Bank[]
}

const covers = (term: string, bank: Bank): boolean => {
  if (term === bank.providerId) return true
  const group = /^([a-z]{2})-([a-z0-9]+)-all$/.exec(term)
  if (group === null) return false
  const [, country = '', kind = ''] = group
  // Older ids contain no country: `ob-monzo` belongs to the group `uk-ob-all`.
  return (
    bank.providerId.startsWith(`${country}-${kind}-`) ||
    (countryOf(country) === bank.country && bank.providerId.startsWith(`${kind}-`))
  )
}

export const makeBanks = (): Banks => {
  const banks = new Map(CATALOGUE.map((bank) => [bank.providerId, bank]))
  return {
    find: (providerId) => banks.get(providerId),
    learn: (bank) => {
      const known = banks.get(bank.providerId)
      if (known !== undefined) return known
      banks.set(bank.providerId, bank)
      return bank
    },
    all: () => [...banks.values()],
    coveredBy: (providers) => {
      const terms = providers.split(/\s+/).filter((term) => term !== '')
      return [...banks.values()].filter((bank) => terms.some((term) => covers(term, bank)))
    },
  }
}
