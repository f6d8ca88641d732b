// What the bench and the process of a side say to each other. The order comes by the environment, the rest by messages.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'

/** Everything that a side is told: where its database, its provider and its mail server are, and where it listens. */
export interface Order {
  readonly databaseUrl: string
  /** Undefined for a side that needs no Redis. */
  readonly redisUrl: string | undefined
  /** The provider's auth host and data host. */
  readonly providerUrl: string
  readonly clientId: string
  readonly clientSecret: string
  readonly smtpUrl: string
  readonly mailFrom: string
  /** The port that the side listens on; users reach it by `publicUrl`. */
  readonly port: number
  readonly publicUrl: string
  readonly redirectUri: string
  /** As in Reconsent's ENCRYPTION_KEYS. */
  readonly encryptionKeys: string
}

/** For what calls nobody and is called by nobody: the addresses only have to be addresses. */
export const orderForNobody = (databaseUrl: string): Order => ({
  databaseUrl,
  redisUrl: undefined,
  providerUrl: 'http://127.0.0.1:1',
  clientId: 'bench',
  clientSecret: 'bench-secret-of-nobody',
  smtpUrl: 'smtp://127.0.0.1:1',
  mailFrom: 'bench@example.com',
  port: 0,
  publicUrl: 'http://127.0.0.1:1',
  redirectUri: 'http://127.0.0.1:1/callback',
  encryptionKeys: `bench:${randomBytes(32).toString('base64')}`,
})

/** `due`: consents have become due. Sides that look by themselves need not listen to it. */
export type ToSide = { readonly kind: 'due' }
export type FromSide = { readonly kind: 'ready' }

/** The name of the variable that holds the order, as JSON. */
export const ORDER = 'BENCH_ORDER'

export interface Running {
  /** Called whenever consents have become due. */
  readonly onDue?: () => void
  /** Ends everything that the side has opened. */
  stop(): Promise<unknown>
}

/**
 * The whole life of a side's process: starts it, says so, and stops it at SIGTERM or when the bench has ended. An error
 * in between ends the process with exit code 1.
 */
export const runSide = async (start: (order: Order) => Promise<Running>): Promise<void> => {
  // Registered first, because the bench may give up while the side still starts.
  const told = Promise.race([once(process, 'SIGTERM'), once(process, 'disconnect')])
  const running = await start(JSON.parse(process.env[ORDER] ?? '') as Order)
  process.on('message', ({ kind }: ToSide) => {
    if (kind === 'due') running.onDue?.()
  })
  process.send?.({ kind: 'ready' } satisfies FromSide)
  await told
  await running.stop()
  if (process.connected) process.disconnect()
}
