// A user with a browser, by real HTTP: opens the mail's link, presses the button, decides at the bank, comes back.
// Where no answer comes in time, or none at all, the browser repeats the request, as a user reloads a page; a load
// balancer then finds a process that is alive.
import { setTimeout as wait } from 'node:timers/promises'
import type { Decision } from '../../simulator/src/bank.ts'
import type { Simulator } from '../../simulator/src/start-simulator.ts'
import { API_KEY } from '../setup/company.ts'

/** How long a user looks at a blank page. */
const PATIENCE_MS = 1_500
const GIVES_UP_MS = 30_000

/** How far the user came: `not-now` means that the start page refused, `refused` that the bank did. */
export type Visit = 'back' | 'not-now' | 'refused'

export interface Browser {
  /** The user goes from the mail to the bank and back. */
  visit(link: string, as: Decision): Promise<Visit>
  /** The same, but the bank redirects to the company, which forwards the callback to the API. */
  visitForwarded(link: string, as: Decision): Promise<Visit>
  /** Opens the link in two tabs, decides in both, and comes back from both. */
  visitTwice(link: string, as: Decision): Promise<Visit>
}

export const makeBrowser = (simulator: Simulator, origins: () => readonly string[]): Browser => {
  /** Repeats the request until the answer is not one of a server in trouble. */
  const ask = async (url: string, options: RequestInit = {}): Promise<Response> => {
    const end = Date.now() + GIVES_UP_MS
    for (let turn = 0; ; turn += 1) {
      const all = origins()
      const target = new URL(url)
      const origin = new URL(all[turn % all.length] ?? target.origin)
      target.host = origin.host
      try {
        const answer = await fetch(target, { redirect: 'manual', signal: AbortSignal.timeout(PATIENCE_MS), ...options })
        await answer.arrayBuffer()
        if (answer.status < 500 && answer.status !== 429) return answer
      } catch {
        // The connection was reset or refused, or the answer came too late: the user tries again.
      }
      if (Date.now() > end)
        throw new Error(`${options.method ?? 'GET'} ${target.pathname.slice(0, 3)} was never answered`)
      await wait(200)
    }
  }

  const atBank = async (link: string, as: Decision): Promise<URL | Exclude<Visit, 'back'>> => {
    await ask(link)
    const pressed = await ask(link, { method: 'POST' })
    const location = pressed.headers.get('location') ?? ''
    if (!location.startsWith(simulator.url)) return 'not-now'
    const played = await simulator.play({ link: location, as })
    return played.kind === 'callback' ? new URL(played.url) : 'refused'
  }

  const comeBack = async (callback: Awaited<ReturnType<typeof atBank>>): Promise<Visit> => {
    if (!(callback instanceof URL)) return callback
    const answer = await ask(callback.href)
    if (answer.status !== 303) throw new Error(`the callback was answered with ${answer.status}`)
    return 'back'
  }

  return {
    visit: async (link, as) => comeBack(await atBank(link, as)),
    visitTwice: async (link, as) => {
      const [first, second] = [await atBank(link, as), await atBank(link, as)]
      const visits = [await comeBack(first), await comeBack(second)]
      return visits.find((visit) => visit !== 'back') ?? 'back'
    },
    visitForwarded: async (link, as) => {
      const callback = await atBank(link, as)
      if (!(callback instanceof URL)) return callback
      const answer = await ask(new URL('/v1/callbacks', callback).href, {
        method: 'POST',
        headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
        body: JSON.stringify({ state: callback.searchParams.get('state'), code: callback.searchParams.get('code') }),
      })
      if (answer.status !== 202) throw new Error(`the forwarded callback was answered with ${answer.status}`)
      return 'back'
    },
  }
}
