// Requests at moments that are fixed beforehand: however slowly the answers come, the next request is not put off, and
// the time that a late one has lost is counted.
import http from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'

export interface Load {
  /** Of each request, in order, in milliseconds: from when it was meant to be sent to the end of its answer. */
  readonly latenciesMs: readonly number[]
  /** How much later than meant each was sent, in milliseconds: what the bench itself is to blame for. */
  readonly lateMs: readonly number[]
  /** What was no success, by the address that was asked for. */
  readonly problems: ReadonlyMap<string, string>
}

const GIVES_UP_AFTER_MS = 60_000

/** Undefined for a page, or for a redirect to one. */
const problemOf = async (url: string, agent: http.Agent | false): Promise<string | undefined> =>
  new Promise((resolve) => {
    const failed = ({ message }: Error): void => resolve(message)
    const request = http.get(url, { agent, timeout: GIVES_UP_AFTER_MS }, (response) => {
      response.resume()
      response.once('error', failed)
      const { statusCode } = response
      response.once('end', () => resolve(statusCode === 200 || statusCode === 303 ? undefined : `${statusCode}`))
    })
    request.once('error', failed)
    request.once('timeout', () => request.destroy(new Error('no answer')))
  })

const send = async (
  urls: readonly string[],
  { agent, everyMs }: { agent: http.Agent | false; everyMs: number },
): Promise<Load> => {
  const latenciesMs: number[] = []
  const lateMs: number[] = []
  const problems = new Map<string, string>()
  const beganAt = performance.now()
  const request = async (url: string, index: number): Promise<void> => {
    const meantAt = beganAt + index * everyMs
    // A timer that is not rounded up may come before its time.
    if (everyMs > 0) await wait(Math.max(0, Math.ceil(meantAt - performance.now())))
    lateMs[index] = performance.now() - meantAt
    const problem = await problemOf(url, agent)
    latenciesMs[index] = performance.now() - meantAt
    if (problem !== undefined) problems.set(url, problem)
  }
  await Promise.all(urls.map(request))
  return { latenciesMs, lateMs, problems }
}

/** One after the other at this rate, over connections that are kept. */
export const sendAtRate = async (urls: readonly string[], perSecond: number): Promise<Load> => {
  const agent = new http.Agent({ keepAlive: true })
  try {
    return await send(urls, { agent, everyMs: 1_000 / perSecond })
  } finally {
    agent.destroy()
  }
}

/** All at once, each over a new connection of its own. */
export const sendAtOnce = async (urls: readonly string[]): Promise<Load> => send(urls, { agent: false, everyMs: 0 })
