// Puts the simulator together: TrueLayer, a bank and an inbox on loopback. It shares only the clock's interface with
// Reconsent, because its ledger is used to check what Reconsent did. Never part of production.
import { setMaxListeners } from 'node:events'
import { z } from 'zod'
import { readInput } from './bad-input.ts'
import type { Decision } from './bank.ts'
import { makeBanks } from './banks.ts'
import { movableClock } from './clock.ts'
import type { MovableClock } from './clock.ts'
import { makeConnections } from './connections.ts'
import type { Connection, Seed } from './connections.ts'
import { makeFaults } from './faults.ts'
import type { Faults } from './faults.ts'
import { makeHttp } from './http.ts'
import { startInbox } from './inbox.ts'
import { makeLedger } from './ledger.ts'
import type { Ledger } from './ledger.ts'
import { makeLinks } from './links.ts'
import { makeMailStore } from './mail-store.ts'
import type { Mail, MailFilter } from './mail-store.ts'
import { playAtBank } from './play.ts'
import type { Played } from './play.ts'
import { makeSwitches } from './switches.ts'
import type { OwnSwitchChanges, SwitchValues, Switches } from './switches.ts'
import type { World } from './world.ts'

export interface SimulatorOptions {
  /** Default 127.0.0.1. */
  readonly host?: string | undefined
  /** 0 or absent: a free port. */
  readonly port?: number | undefined
  readonly smtpPort?: number | undefined
  readonly clientId: string
  readonly clientSecret: string
  /** The redirect URIs registered for the client. */
  readonly redirectUris: readonly string[]
  readonly switches?: Partial<SwitchValues> | undefined
  /** Seed of the random source for faults with a `rate`. Default 1. */
  readonly seed?: number | undefined
  /** The clock, shared with others who must see the same time. Default: a clock that starts now. */
  readonly clock?: MovableClock | undefined
  /** How many mails are kept. Default 5,000. */
  readonly keepMails?: number | undefined
}

export interface Simulator {
  /** Auth host, data host, bank, inbox (`/inbox`) and control (`/_control`), without a trailing slash. */
  readonly url: string
  readonly smtpUrl: string
  readonly clock: MovableClock
  readonly ledger: Ledger
  readonly faults: Faults
  readonly switches: Switches
  /**
   * Adds a connection as if its user had consented. Throws BadInput when its id or token is already taken, or on a
   * wrong switch.
   */
  seedConnection(seed: Seed): Connection
  connection(credentialsId: string): Connection | undefined
  /** All connections, including those that users made. */
  connections(): readonly Connection[]
  /** Sets switches for one connection alone. Undefined when there is no such connection. Throws BadInput. */
  setConnectionSwitches(credentialsId: string, changes: OwnSwitchChanges): Connection | undefined
  /** The number that stands for a code in the ledger. */
  codeNo(code: string): number | undefined
  /** Revokes a connection, as a user does at the bank. Undefined when there is no such connection. */
  revokeConnection(credentialsId: string): Connection | undefined
  /**
   * Plays the user at the bank by real HTTP; returns where the browser would be sent, without following that redirect.
   */
  play(request: { link: string; as: Decision }): Promise<Played>
  /** Newest first. */
  mails(filter?: MailFilter): readonly Mail[]
  close(): Promise<void>
}

const port = z.int().min(0).max(65_535).default(0)
const optionsSchema = z.strictObject({
  host: z.string().min(1).default('127.0.0.1'),
  port,
  smtpPort: port,
  clientId: z.string().min(1),
  clientSecret: z.string().min(1),
  redirectUris: z.array(z.url()).min(1),
  seed: z.int().min(0).default(1),
  keepMails: z.int().min(1).default(5_000),
})

/** The host in the form of a URL that this machine can open. */
const reachable = (host: string): string => {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

/** Throws BadInput on wrong options; rejects with the system's error when a port is taken. */
export const startSimulator = async ({
  switches: initial,
  clock = movableClock(),
  ...rest
}: SimulatorOptions): Promise<Simulator> => {
  const options = readInput(optionsSchema, rest, 'option')
  const ledger = makeLedger({ clock })
  const switches = makeSwitches(initial)
  const faults = makeFaults({ seed: options.seed })
  const banks = makeBanks()
  const mails = makeMailStore({ clock, ledger, keep: options.keepMails })
  const connections = makeConnections({ clock, ledger, banks, switches })
  const links = makeLinks({ clock, ledger, switches })
  const client = { id: options.clientId, secret: options.clientSecret, redirectUris: options.redirectUris }
  const closing = new AbortController()
  // Each delayed answer adds one listener, so many listeners at once are not a leak.
  setMaxListeners(0, closing.signal)
  const at = { url: '', smtpUrl: '' }
  const world: World = {
    clock,
    ledger,
    switches,
    faults,
    banks,
    connections,
    links,
    mails,
    client,
    url: () => at.url,
    smtpUrl: () => at.smtpUrl,
    closing: closing.signal,
  }

  const http = await makeHttp(world)
  const inbox = await startInbox(world, { host: options.host, port: options.smtpPort })
  try {
    await http.listen({ host: options.host, port: options.port })
  } catch (error) {
    await inbox.close()
    throw error
  }
  const address = http.server.address()
  if (address === null || typeof address === 'string') throw new Error('simulator: the HTTP listener has no port')
  at.url = `http://${reachable(options.host)}:${address.port}`
  at.smtpUrl = `smtp://${reachable(options.host)}:${inbox.port}`

  let closed: Promise<void> | undefined
  const close = async (): Promise<void> => {
    closing.abort()
    await Promise.all([http.close(), inbox.close()])
  }
  return {
    url: at.url,
    smtpUrl: at.smtpUrl,
    clock,
    ledger,
    faults,
    switches,
    seedConnection: (seed) => connections.seed(seed),
    connection: (credentialsId) => connections.find(credentialsId),
    connections: () => connections.all(),
    setConnectionSwitches: (credentialsId, changes) => connections.setSwitches(credentialsId, changes),
    codeNo: (code) => links.findCode(code)?.no,
    revokeConnection: (credentialsId) => connections.revoke(credentialsId, 'at-the-bank'),
    play: (request) => playAtBank(at.url, request),
    mails: (filter) => mails.list(filter),
    close: () => (closed ??= close()),
  }
}
