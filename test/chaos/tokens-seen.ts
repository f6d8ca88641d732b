// Collects every token that the provider ever gave a connection: the simulator itself keeps only the last one.
import type { Connection } from '../../simulator/src/connections.ts'
import type { Simulator } from '../../simulator/src/start-simulator.ts'

export interface TokensSeen {
  /** Refresh tokens, and the signatures of access tokens: the part before a signature is no secret. */
  all(): ReadonlySet<string>
  stop(): void
}

/**
 * Reads the tokens whenever the ledger records an entry: a rotation is recorded just before it happens, and the request
 * that caused it right after it, so that each token is seen while the connection has it.
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
