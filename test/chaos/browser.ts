// What a browser does for its user: it opens start links, presses buttons, follows to the bank and delivers callbacks,
// and tries again when a page did not come. It remembers the bank links and the errors that it got.
import { setTimeout as wait } from 'node:timers/promises'
import type { Played } from '../../simulator/src/play.ts'
import type { Rig } from './rig.ts'

/** What the users did, for the table at the end. */
export interface Counts {
  /** Pages that mail scanners got, and their fetches that got no page. */
  scans: number
  scansFailed: number
  visits: number
  departures: number
  returns: number
  repeated: number
  concurrent: number
  unknownState: number
  foreign: number
  forged: number
  replayed: number
  givenUp: number
}

type Callback = Extract<Played, { kind: 'callback' }>

const PATIENCE_MS = 4_000
const TRIES = 25
const REFUSALS_TAKEN = 3
/** How often a mail scanner gets the page of a link before its user comes. */
export const SCANS = 3
/** Longer than the web is ever unavailable, including the stop and start of the downtime. */
const SCANNED_WITHIN_MS = 60_000

export const fieldsOf = (played: Callback): Readonly<Record<string, string | undefined>> =>
  played.method === 'GET' ? Object.fromEntries(new URL(played.url).searchParams) : played.form

export type Browser = ReturnType<typeof makeBrowser>

export const makeBrowser = ({ simulator }: Rig, counts: Counts, isOver: () => boolean) => {
  const bankLinks = new Map<string, number>()
  const serverErrors = new Map<string, number>()

  const get = async (
    url: string,
    init: RequestInit = {},
  ): Promise<{ status: number; location: string | null } | undefined> => {
    try {
      const answer = await fetch(url, {
        ...init,
        redirect: 'manual',
        signal: AbortSignal.timeout(PATIENCE_MS),
        headers: { connection: 'close' },
      })
      await answer.arrayBuffer()
      if (answer.status >= 500) {
        const what = `${answer.status} ${new URL(url).pathname.replace(/^\/(r|done)\/.*/, '/$1/…')}`
        serverErrors.set(what, (serverErrors.get(what) ?? 0) + 1)
      }
      return { status: answer.status, location: answer.headers.get('location') }
    } catch {
      // No answer: the web process was killed or hangs, or the proxy cut the connection.
      return undefined
    }
  }

  /** A mail scanner fetches the page of a link, and again where no page came; returns how often it got the page. */
  const scan = async (link: string): Promise<number> => {
    const end = Date.now() + SCANNED_WITHIN_MS
    let got = 0
    while (got < SCANS && Date.now() < end && !isOver()) {
      const page = await get(link)
      if (page !== undefined && page.status < 500) {
        got += 1
        continue
      }
      counts.scansFailed += 1
      await wait(400)
    }
    counts.scans += got
    return got
  }

  /** Presses the button until it leads to the bank, or until the answer is that there is nothing to do (any more). */
  const depart = async (
    link: string,
  ): Promise<{ readonly bankLink: string } | 'nothing to do' | 'no page' | 'refused'> => {
    let refused = 0
    for (let tried = 0; tried < TRIES && !isOver(); tried += 1) {
      await get(link)
      const pressed = await get(link, { method: 'POST' })
      const target = pressed?.location ?? undefined
      if (pressed?.status === 303 && target?.startsWith(simulator.url) === true) {
        bankLinks.set(target, (bankLinks.get(target) ?? 0) + 1)
        counts.departures += 1
        return { bankLink: target }
      }
      // Redirected to the start page: the consent is already renewed, or its renewal is being checked.
      if (pressed?.status === 303) return 'nothing to do'
      // The page says why the user cannot renew, or not so often: pressing again changes nothing.
      refused += pressed !== undefined && pressed.status >= 400 && pressed.status < 500 ? 1 : 0
      if (refused >= REFUSALS_TAKEN) return 'refused'
      await wait(400)
    }
    counts.givenUp += 1
    return 'no page'
  }

  const deliver = async (played: Callback): Promise<string | undefined> => {
    const init: RequestInit = played.method === 'GET' ? {} : { method: 'POST', body: new URLSearchParams(played.form) }
    for (let tried = 0; tried < TRIES && !isOver(); tried += 1) {
      const answer = await get(played.url, init)
      const doneId = /^\/done\/([\w-]+)$/.exec(answer?.location ?? '')?.[1]
      if (answer?.status === 303 && doneId !== undefined) return doneId
      await wait(400)
    }
    counts.givenUp += 1
    return undefined
  }

  /** Delivers `code` with `state`; the checks judge what comes of it. */
  const tamper = async (played: Callback, code: string, state: string): Promise<void> => {
    const fields = { ...fieldsOf(played), code, state }
    const parameters = new URLSearchParams(
      Object.entries(fields).filter((field): field is [string, string] => field[1] !== undefined),
    )
    const url = new URL(played.url)
    if (played.method === 'GET') url.search = parameters.toString()
    await deliver(
      played.method === 'GET' ? { ...played, url: url.href } : { ...played, form: Object.fromEntries(parameters) },
    )
  }

  return { get, scan, depart, deliver, tamper, bankLinks, serverErrors }
}
