// The connections that the provider treats in a way of their own for the whole run: how many there are, and how many
// were renewed so.
import type { OwnSwitches } from '../../simulator/src/switches.ts'
import type { Checked } from './checked.ts'
import type { User } from './population.ts'

export interface Way {
  readonly what: string
  readonly connections: number
  /** Renewals of these connections, and of how many of them. */
  readonly renewals: number
  readonly renewed: number
  /** What else is worth knowing of these connections. */
  readonly more: string
}

/** By connection. */
export interface Counts {
  readonly renewals: ReadonlyMap<string, number>
  readonly rotations: ReadonlyMap<string, number>
}

type Treated = Pick<User, 'credentialsId' | 'switches'>

export const waysOf = (users: readonly Treated[], { renewals, rotations }: Counts): Way[] => {
  const of = (counts: ReadonlyMap<string, number>, { credentialsId }: Treated): number => counts.get(credentialsId) ?? 0
  const sum = (counts: ReadonlyMap<string, number>, those: readonly Treated[]): number =>
    those.reduce((total, one) => total + of(counts, one), 0)
  const wayOf = (what: string, name: keyof OwnSwitches, more: (those: readonly Treated[]) => string): Way => {
    const those = users.filter(({ switches }) => switches[name] !== undefined)
    return {
      what,
      connections: those.length,
      renewals: sum(renewals, those),
      renewed: those.filter((one) => of(renewals, one) > 0).length,
      more: more(those),
    }
  }
  return [
    wayOf('rotate their refresh token with every refresh', 'rotate_refresh_tokens', (those) => {
      const rotated = those.filter((one) => of(rotations, one) > 0)
      const both = rotated.filter((one) => of(renewals, one) > 0).length
      return `${sum(rotations, rotated)} rotations of ${rotated.length} of them, ${both} of these renewed`
    }),
    wayOf('show a new date late', 'me_lag_seconds', (those) => {
      const lags = those.map(({ switches }) => switches.me_lag_seconds ?? 0).toSorted((a, b) => a - b)
      return lags.length === 0 ? 'none' : `by ${spoken(lags[0] ?? 0)} to ${spoken(lags.at(-1) ?? 0)}`
    }),
  ]
}

const spoken = (seconds: number): string =>
  seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`

export const everyWayRenewed = (ways: readonly Way[], isDemanded: boolean): Checked => {
  const missing = ways.filter(({ renewals }) => renewals === 0).map(({ what }) => what)
  return {
    invariant: 0,
    says: 'connections were renewed that the provider treats in a way of their own',
    looked: ways.reduce((sum, { connections }) => sum + connections, 0),
    violations: isDemanded
      ? missing.map((what) => ({ invariant: 0, record: `connections that ${what}`, what: 'none was renewed' }))
      : [],
    notShown:
      missing.length === 0 || isDemanded ? undefined : `none was renewed of those that ${missing.join(', or ')}`,
    notes: ways.map(
      ({ what, connections, renewals, renewed, more }) =>
        `${connections} ${what}: ${renewals} renewals of ${renewed} of them; ${more}`,
    ),
  }
}
