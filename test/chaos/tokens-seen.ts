// Every token that the provider ever gave a connection, not only its last one: the simulator forgets those that it has
// replaced.
import type { Connection } from '../../simulator/src/connections.ts'
import type { Simulator } from '../../simulator/src/start-simulator.ts'

export interface TokensSeen {
  /** Refresh tokens, and the access tokens' signatures: what comes before them is no secret. */
  all(): ReadonlySet<string>
  stop(): void
}

/**
 * Looks over the ledger's shoulder: a rotation is written down just before it happens, and the request that caused it
 * right after it, so that each token is seen while it is the connection's.
 */
export const watchTokens = ({
  ledger,
  connection,
  connections,
}: Pick<Simulator, 'ledger' | 'connection' | 'connections'>): TokensSeen => {
  const seen = new Set<string>()
  const take = ({ refreshToken, accessToken }: Connection): void => {
    if (refreshToken !== undefined) seen.add(refreshToken)
    const signature = accessToken?.value.split('.').at(-1)
    if (signature !== undefined) seen.add(signature)
  }
  const takeAll = (): void => {
    for (const one of connections()) take(one)
  }
  const { record } = ledger
  ledger.record = (draft) => {
    const one = draft.credentials_id === undefined ? undefined : connection(draft.credentials_id)
    if (one !== undefined) take(one)
    return record(draft)
  }
  takeAll()
  return {
    all: () => {
      takeAll()
      return seen
    },
    stop: () => {
      ledger.record = record
    },
  }
}
