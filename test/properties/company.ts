// The company of a life, which uses the connection beside us: the token that it holds, and what it has exported so far.
import type { DateTime } from 'luxon'
import { Secret } from '../../src/secret.ts'
import type { Consent } from '../../src/domain/model.ts'
import type { World } from '../setup/world.ts'

/** One row of an export, as the company knew the connection when it wrote the export. */
export interface Export {
  readonly token: string
  readonly expiresAt: DateTime
  /** When the provider gave the company this token, if the company knows. */
  readonly issuedAt: DateTime | undefined
}

export interface Company {
  /** Whether this company refreshes beside us at all. */
  readonly refreshes: boolean
  /** All exports so far, the oldest first. */
  readonly exports: readonly Export[]
  /** How often the provider replaced the token in an answer to the company. */
  readonly rotations: () => number
  /**
   * Refreshes with the token that the company holds, and exports what it got. Where the provider refuses the token, the
   * company takes ours (`reconsent token`) for its next try, and exports nothing.
   */
  refresh(world: World, consent: Consent): Promise<Export | undefined>
  /** The company has got these from the provider itself, and exports them. */
  got(tokens: { readonly token: string; readonly expiresAt: DateTime; readonly at: DateTime }): Export
}

export const newCompany = (first: Export, refreshes: boolean): Company => {
  const exports: Export[] = [first]
  let held = first
  let rotations = 0
  const got: Company['got'] = ({ token, expiresAt, at }) => {
    held = { token, expiresAt, issuedAt: token === held.token ? held.issuedAt : at }
    exports.push(held)
    return held
  }
  return {
    refreshes,
    exports,
    rotations: () => rotations,
    got,
    refresh: async ({ client, clock, tokenOf }, { id }) => {
      const answer = await client.refresh(new Secret(held.token))
      if (answer.kind !== 'tokens') {
        held = { ...held, token: await tokenOf(id), issuedAt: undefined }
        return undefined
      }
      const token = answer.tokens.refreshToken?.reveal() ?? held.token
      if (token !== held.token) rotations += 1
      return got({ token, expiresAt: held.expiresAt, at: clock.now() })
    },
  }
}
