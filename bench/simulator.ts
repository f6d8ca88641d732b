// The bench's end of the simulator's process: starts it, fills it, asks it what has become of the connections.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { DateTime } from 'luxon'
import { BANK, type BenchConsent, inPieces } from './population.ts'

export interface SimulatorOrder {
  readonly clientId: string
  readonly clientSecret: string
  readonly redirectUri: string
  /** How long each call of the provider's API takes, in milliseconds; 0 adds nothing. */
  readonly latencyMs: number
}

/** A mail with a start link. */
export interface Arrived {
  readonly link: string
}

export type FromSimulator =
  | { readonly kind: 'ready'; readonly url: string; readonly smtpUrl: string }
  | { readonly kind: 'mails'; readonly arrived: readonly Arrived[] }

export interface SimulatorProcess {
  readonly url: string
  readonly smtpUrl: string
  readonly pid: number
  /** Makes the connections that the consents stand for. */
  seed(consents: readonly BenchConsent[]): Promise<void>
  /** By credentials_id: when the consent of each connection expires now, and its refresh token. */
  connections(): Promise<ReadonlyMap<string, { readonly expiresAt: DateTime; readonly refreshToken: string }>>
  stop(): Promise<void>
}

interface Shown {
  readonly credentials_id: string
  readonly consent_expires_at: string
  readonly refresh_token: string
}

/** `onMail` is called for each mail as it arrives. */
export const startSimulatorProcess = async (
  order: SimulatorOrder,
  onMail: (mail: Arrived) => void,
): Promise<SimulatorProcess> => {
  const child = fork(fileURLToPath(new URL('simulator-child.ts', import.meta.url)), {
    env: { ...process.env, BENCH_SIMULATOR: JSON.stringify(order) },
  })
  const { url, smtpUrl } = await new Promise<Extract<FromSimulator, { kind: 'ready' }>>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the simulator's process ended with ${code}`)))
    child.on('message', (message: FromSimulator) => {
      if (message.kind === 'ready') resolve(message)
      else for (const mail of message.arrived) onMail(mail)
    })
  })
  const control = `${url}/_control/connections`
  return {
    url,
    smtpUrl,
    pid: child.pid ?? 0,
    seed: async (consents) => {
      for (const piece of inPieces(consents, 500)) {
        const rows = piece.map(({ credentialsId, refreshToken, expiresAt }) => ({
          credentials_id: credentialsId,
          provider_id: BANK.providerId,
          provider_name: BANK.providerName,
          country: BANK.country,
          redirect_uri: order.redirectUri,
          refresh_token: refreshToken,
          expires_at: expiresAt.toISO(),
        }))
        const headers = { 'content-type': 'application/json' }
        const answer = await fetch(control, { method: 'POST', headers, body: JSON.stringify(rows) })
        if (!answer.ok) throw new Error(`the simulator took no connections: ${await answer.text()}`)
      }
    },
    connections: async () => {
      const { connections } = (await (await fetch(control)).json()) as { connections: readonly Shown[] }
      return new Map(
        connections.map((one) => [
          one.credentials_id,
          { expiresAt: DateTime.fromISO(one.consent_expires_at, { zone: 'utc' }), refreshToken: one.refresh_token },
        ]),
      )
    },
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = once(child, 'exit')
      child.disconnect()
      await ended
    },
  }
}
