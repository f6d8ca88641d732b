// Everything that needs the encryption keys, as one object that the composition root passes on. The keys themselves
// stay inside.
import { makeEnvelope } from './envelope.ts'
import type { Envelope } from './envelope.ts'
import { type EntityTags, makeEntityTags } from './entity-tag.ts'
import type { KeyRing } from './key-ring.ts'
import { makeStartLinks } from './start-link.ts'
import type { StartLinks } from './start-link.ts'

export type Vault = Envelope & StartLinks & EntityTags

export const makeVault = ({ keys }: { keys: KeyRing }): Vault => ({
  ...makeEnvelope({ keys }),
  ...makeStartLinks({ keys }),
  ...makeEntityTags({ keys }),
})

const withoutKeys = (): never => {
  throw new Error('a secret is needed, but the vault was opened without ENCRYPTION_KEYS')
}

/** For work that needs no secret, so that it runs without ENCRYPTION_KEYS: every use throws. */
export const lockedVault: Vault = {
  seal: withoutKeys,
  open: withoutKeys,
  startLinkToken: withoutKeys,
  renewalOfToken: withoutKeys,
  entityTag: withoutKeys,
}
