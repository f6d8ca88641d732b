// All that needs the encryption keys, in one piece for the composition root to hand out. The keys themselves stay
// inside.
import { makeEnvelope } from './envelope.ts'
import type { Envelope } from './envelope.ts'
import type { KeyRing } from './key-ring.ts'
import { makeStartLinks } from './start-link.ts'
import type { StartLinks } from './start-link.ts'

export type Vault = Envelope & StartLinks

export const makeVault = ({ keys }: { keys: KeyRing }): Vault => ({
  ...makeEnvelope({ keys }),
  ...makeStartLinks({ keys }),
})
