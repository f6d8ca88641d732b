// The simulator's whole state, passed to each of its parts. Only start-simulator.ts creates it.
import type { Banks } from './banks.ts'
import type { MovableClock } from './clock.ts'
import type { Connections } from './connections.ts'
import type { Faults } from './faults.ts'
import type { Ledger } from './ledger.ts'
import type { Links } from './links.ts'
import type { MailStore } from './mail-store.ts'
import type { Switches } from './switches.ts'

export interface World {
  readonly clock: MovableClock
  readonly ledger: Ledger
  readonly switches: Switches
  readonly faults: Faults
  readonly banks: Banks
  readonly connections: Connections
  readonly links: Links
  readonly mails: MailStore
  readonly client: { readonly id: string; readonly secret: string; readonly redirectUris: readonly string[] }
  /** Base URL without a trailing slash; known once the listener is up. */
  url(): string
  smtpUrl(): string
  /** Aborted when the simulator closes, to end delayed and dripping answers. */
  readonly closing: AbortSignal
}
