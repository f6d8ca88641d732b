// A second channel for tests: short texts to `phone`, handed to an HTTP gateway on loopback. It is registered as any
// channel is, by a line in each table; no code of the product knows it.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Duration } from 'luxon'
import { z } from 'zod'
import { channelSections } from '../../src/config/sections.ts'
import { type ChannelName, channels, type ChannelTraits } from '../../src/domain/channels.ts'
import { makers } from '../../src/notify/channels.ts'
import type { Channel, Delivery } from '../../src/notify/port.ts'

export interface Text {
  readonly id: string
  readonly to: string
  readonly text: string
}

/** What the gateway answers: a status, or no answer after it has taken the text. */
export type Answer = number | 'cut'

export const startGateway = async () => {
  const taken: Text[] = []
  let answerTo: (text: Text) => Answer = () => 202
  const server = createServer((request, reply) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const text = JSON.parse(Buffer.concat(chunks).toString()) as Text
      const answer = answerTo(text)
      if (answer === 'cut' || answer === 202) taken.push(text)
      if (answer === 'cut') request.socket.destroy()
      else reply.writeHead(answer).end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    textsTo: (phone: string | undefined): Text[] => taken.filter(({ to }) => to === phone),
    /** From now on; 202 is the answer until then. */
    answer: (how: (text: Text) => Answer): void => {
      answerTo = how
    },
    close: async (): Promise<void> => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
export type Gateway = Awaited<ReturnType<typeof startGateway>>

const outcomeOf = (status: number): Delivery => {
  const detail = `the gateway answered ${status}`
  if (status < 300) return { kind: 'sent' }
  if (status === 410) return { kind: 'no-channel', code: 'no-channel', detail }
  if (status === 429) return { kind: 'unavailable', code: 'message-unavailable', cause: 'limit', detail }
  if (status === 425) return { kind: 'deferred', code: 'message-deferred', detail }
  return status < 500
    ? { kind: 'refused', code: 'message-refused', detail }
    : { kind: 'unavailable', code: 'message-unavailable', cause: 'outage', detail }
}

export const gatewayChannel = (url: string): Channel<Text> => ({
  compose: ({ id, to, company, bank, link }) => ({ id, to, text: `${company}, ${bank}: ${link.reveal()}` }),
  send: async (text, handover) => {
    if (!(await handover.begin())) return { kind: 'not-begun' }
    try {
      const { status } = await fetch(url, { method: 'POST', body: JSON.stringify(text) })
      return outcomeOf(status)
    } catch (error) {
      const wasRefused = ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === 'ECONNREFUSED'
      return wasRefused
        ? { kind: 'unavailable', code: 'message-unavailable', cause: 'outage', detail: 'not connected' }
        : { kind: 'uncertain', code: 'message-uncertain', detail: 'no answer' }
    }
  },
  check: async () => ({ ok: true, detail: 'the gateway answers' }),
  diagnosis: { check: 'gateway', advice: 'start it' },
  close: () => undefined,
})

/** Numbers of this country are ones that the gateway may not serve. */
export const UNSERVED = '+999'

/** What the policy says when both channels are in use. */
export const BOTH = ['email', 'gateway' as ChannelName] as const

/** Adds the line of each table. A test file has its own copy of the modules, so nothing has to be removed. */
export const registerGateway = (url: () => string): void => {
  const traits: ChannelTraits = {
    address: 'phone',
    whyUnreachable: (phone) => (phone.startsWith(UNSERVED) ? 'the gateway does not serve this country' : undefined),
    tries: [Duration.fromObject({ minutes: 2 })],
  }
  Object.assign(channels, { gateway: traits })
  Object.assign(channelSections, { gateway: z.object({}) })
  Object.assign(makers, { gateway: () => gatewayChannel(url()) })
}
