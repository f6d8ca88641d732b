// The users: each reads their mail, opens the start page, presses the button, approves at the bank and comes back. By
// real HTTP, the same for every side, in the bench's own process.
import http from 'node:http'
import type { Arrived } from './simulator.ts'

/** How many users are on their way at the same time; the others wait. */
const AT_ONCE = 32

interface Answer {
  readonly status: number
  readonly location: string | undefined
  readonly body: string
}

export interface Users {
  /** Lets the user who got this mail act. */
  act(mail: Arrived): void
  /** How many users have come back to a page of the side. */
  arrived(): number
  /** What went wrong: a page that did not come, or another than expected. */
  readonly problems: readonly string[]
  stop(): void
}

/** Connections are kept and shared, so that the users cost little of the machine that the sides run on. */
const makeBrowser = () => {
  const agent = new http.Agent({ keepAlive: true })
  const request = async (method: 'GET' | 'POST', url: string, form?: string): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const headers = form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }
      const sent = http.request(url, { method, agent, headers }, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.once('error', reject)
        response.once('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            location: response.headers.location,
            body: Buffer.concat(chunks).toString(),
          }),
        )
      })
      sent.once('error', reject)
      sent.end(form)
    })
  return { request, close: () => agent.destroy() }
}

export const makeUsers = (): Users => {
  const browser = makeBrowser()
  const waiting: string[] = []
  const problems: string[] = []
  let active = 0
  let arrived = 0

  const page = async (url: string): Promise<void> => {
    const { status } = await browser.request('GET', url)
    if (status !== 200) throw new Error(`GET ${new URL(url).pathname.split('/')[1]}: ${status}`)
  }
  const redirected = async (method: 'GET' | 'POST', url: string, form?: string): Promise<string> => {
    const { status, location } = await browser.request(method, url, form)
    if (status !== 303 || location === undefined)
      throw new Error(`${method} ${new URL(url).pathname.split('/')[1]}: ${status} instead of 303`)
    return new URL(location, url).href
  }

  const visit = async (link: string): Promise<void> => {
    await page(link)
    const bank = await redirected('POST', link, '')
    await page(bank)
    const callback = await redirected('POST', bank, 'decision=approve')
    // Some sides answer the callback by their last page, some by a redirect to it.
    const { status, location } = await browser.request('GET', callback)
    if (status === 303 && location !== undefined) await page(new URL(location, callback).href)
    else if (status !== 200) throw new Error(`GET callback: ${status}`)
    arrived += 1
  }

  const go = (): void => {
    while (active < AT_ONCE) {
      const link = waiting.shift()
      if (link === undefined) return
      active += 1
      visit(link)
        .catch((error: unknown) => problems.push(error instanceof Error ? error.message : String(error)))
        .finally(() => {
          active -= 1
          go()
        })
    }
  }

  return {
    act: ({ link }) => {
      waiting.push(link)
      go()
    },
    arrived: () => arrived,
    problems,
    stop: () => {
      waiting.length = 0
      browser.close()
    },
  }
}
