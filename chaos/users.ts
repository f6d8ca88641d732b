// The users and their mail scanners, by real HTTP through the web proxy: open mails, press buttons, decide at the bank, come back; again
// when a page did not come. They remember everything they were given and answered: the checks ask them.
import { randomBytes } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import type { Decision } from '../src/simulator/bank.ts'
import type { Played } from '../src/simulator/play.ts'
import type { Mail } from '../src/simulator/mail-store.ts'
import type { User } from './population.ts'
import type { Rig } from './rig.ts'
import type { Chance } from './seeded.ts'

/** One way back from the bank. */
export interface Return {
  readonly user: User
  readonly as: Decision
  readonly state: string
  readonly code: string | undefined
  readonly codeNo: number | undefined
  readonly at: Date
  /** How the callback was delivered; `foreign`: with a state that is not the code's own. */
  readonly how: 'once' | 'repeated' | 'concurrent' | 'foreign-first'
  /** The page it was sent to; undefined when no answer ever said that it was taken. */
  doneId: string | undefined
}

export interface Counts {
  scans: number
  visits: number
  departures: number
  returns: number
  repeated: number
  concurrent: number
  foreign: number
  replayed: number
  givenUp: number
}

export interface Crowd {
  /** Lets the users act on mails as they come. */
  start(): void
  /** Nobody sets out any more; resolves when all are home, or after so many milliseconds. True when all are. */
  rest(withinMs: number): Promise<boolean>
  /** Sends old callbacks again, unchanged. */
  replay(atMost: number): Promise<void>
  readonly counts: Counts
  readonly returns: readonly Return[]
  /** Bank links that a button gave, with how often. */
  readonly bankLinks: ReadonlyMap<string, number>
  /** Start links that mails carried, by user. */
  readonly startLinks: ReadonlySet<string>
  /** Users who have set out at least once. */
  readonly visited: ReadonlySet<User>
  /** Users whose last mail came when nobody set out any more; known after `stop`. */
  readonly leftOut: ReadonlySet<User>
  /** Mails that nobody has acted on yet, and users under way. */
  backlog(): number
  /** Answers of 5xx kind other than the pages that say "again in a moment", by status and path. */
  readonly serverErrors: ReadonlyMap<string, number>
  stop(): Promise<void>
}

interface Memory {
  readonly links: string[]
  mails: number
  /** What this user still means to do in the cycle of the link. */
  done: boolean
  busy: boolean
  again: string | undefined
}

const PATIENCE_MS = 4_000
const TRIES = 25
const AT_ONCE = 16
const REPLAYED_AFTER_MS = 61 * 60_000

export const makeCrowd = (rig: Rig, users: readonly User[], chance: Chance): Crowd => {
  const { simulator, clock } = rig
  const byMail = new Map(users.map((user) => [user.email, user]))
  const memories = new Map<User, Memory>()
  const returns: Return[] = []
  const bankLinks = new Map<string, number>()
  const startLinks = new Set<string>()
  const visited = new Set<User>()
  const leftOut = new Set<User>()
  const serverErrors = new Map<string, number>()
  const counts: Counts = { scans: 0, visits: 0, departures: 0, returns: 0, repeated: 0, concurrent: 0, foreign: 0, replayed: 0, givenUp: 0 }
  const waiting: { readonly user: User; readonly go: () => Promise<void> }[] = []
  let active = 0
  let resting = true
  let stopped = false
  let lastMail = 0

  const get = async (url: string, init: RequestInit = {}): Promise<{ status: number; location: string | null } | undefined> => {
    try {
      const answer = await fetch(url, { ...init, redirect: 'manual', signal: AbortSignal.timeout(PATIENCE_MS), headers: { connection: 'close' } })
      await answer.arrayBuffer()
      if (answer.status >= 500) {
        const what = `${answer.status} ${new URL(url).pathname.replace(/^\/(r|done)\/.*/, '/$1/…')}`
        serverErrors.set(what, (serverErrors.get(what) ?? 0) + 1)
      }
      return { status: answer.status, location: answer.headers.get('location') }
    } catch {
      // no answer: a web process died, hangs, or the proxy cut us off
      return undefined
    }
  }

  const scan = async (link: string): Promise<void> => {
    for (let look = 0; look < 3; look += 1) {
      await get(link)
      counts.scans += 1
    }
  }

  /** Presses the button until it leads to the bank; undefined when it does not, e.g. because there is nothing to do any more. */
  const depart = async (link: string): Promise<string | undefined> => {
    for (let tried = 0; tried < TRIES && !stopped; tried += 1) {
      await get(link)
      const pressed = await get(link, { method: 'POST' })
      const target = pressed?.location ?? undefined
      if (pressed?.status === 303 && target?.startsWith(simulator.url) === true) {
        bankLinks.set(target, (bankLinks.get(target) ?? 0) + 1)
        counts.departures += 1
        return target
      }
      // Back to the start page: already renewed, or being checked.
      if (pressed?.status === 303) return undefined
      await wait(400)
    }
    counts.givenUp += 1
    return undefined
  }

  const deliver = async (played: Extract<Played, { kind: 'callback' }>): Promise<string | undefined> => {
    const init: RequestInit = played.method === 'GET' ? {} : { method: 'POST', body: new URLSearchParams(played.form) }
    for (let tried = 0; tried < TRIES && !stopped; tried += 1) {
      const answer = await get(played.url, init)
      const doneId = /^\/done\/([\w-]+)$/.exec(answer?.location ?? '')?.[1]
      if (answer?.status === 303 && doneId !== undefined) return doneId
      await wait(400)
    }
    counts.givenUp += 1
    return undefined
  }

  const fieldsOf = (played: Extract<Played, { kind: 'callback' }>): Readonly<Record<string, string | undefined>> =>
    played.method === 'GET' ? Object.fromEntries(new URL(played.url).searchParams) : played.form

  const comeBack = async (user: User, as: Decision, played: Extract<Played, { kind: 'callback' }>): Promise<Return> => {
    const { state = '', code } = fieldsOf(played)
    const how = chance.happens(0.1) ? 'concurrent' : chance.happens(0.1) ? 'repeated' : chance.happens(0.05) ? 'foreign-first' : 'once'
    const back: Return = { user, as, state, code, codeNo: code === undefined ? undefined : simulator.codeNo(code), at: clock.now().toJSDate(), how, doneId: undefined }
    returns.push(back)
    counts.returns += 1
    if (how === 'foreign-first') {
      const wrong = new URL(played.url)
      wrong.searchParams.set('state', randomBytes(32).toString('base64url'))
      await get(wrong.href)
      counts.foreign += 1
    }
    const deliveries = how === 'concurrent' ? [deliver(played), deliver(played), deliver(played)] : [deliver(played)]
    if (how === 'concurrent') counts.concurrent += 1
    const doneIds = await Promise.all(deliveries)
    back.doneId = doneIds.find((one) => one !== undefined)
    if (how === 'repeated') {
      await deliver(played)
      counts.repeated += 1
    }
    if (back.doneId !== undefined) await get(`${rig.publicUrl}/done/${back.doneId}`)
    old.push({ at: clock.now().toMillis(), played })
    return back
  }
  const old: { readonly at: number; readonly played: Extract<Played, { kind: 'callback' }> }[] = []

  /** Goes to the bank by this bank link, decides, comes back. Undefined: no callback came. */
  const decide = async (user: User, bankLink: string, as: Decision): Promise<Return | undefined> => {
    const played = await simulator.play({ link: bankLink, as }).catch(() => undefined)
    return played?.kind === 'callback' ? comeBack(user, as, played) : undefined
  }

  /** One visit by a start link. Answers whether the user had a decision of theirs taken. */
  const visit = async (user: User, link: string, as: Decision): Promise<boolean> => {
    counts.visits += 1
    visited.add(user)
    if (user.kind === 'clicks-twice' && as === 'approve') {
      const [first, second] = await Promise.all([depart(link), depart(link)])
      const backs = await Promise.all([first, second].map(async (one) => (one === undefined ? undefined : decide(user, one, as))))
      return backs.some((back) => back?.doneId !== undefined)
    }
    const bankLink = await depart(link)
    if (bankLink === undefined) return false
    const back = await decide(user, bankLink, as)
    return as === 'close' || back?.doneId !== undefined
  }

  /** What the user does on the `nth` mail of a cycle; undefined: nothing. */
  const intends = (user: User, nth: number): Decision | undefined => {
    switch (user.kind) {
      case 'ignores':
        return undefined
      case 'renews':
      case 'clicks-twice':
        return 'approve'
      case 'comes-late':
        return nth >= 2 ? 'approve' : undefined
      case 'denies-first':
        return nth === 1 ? 'deny' : 'approve'
      case 'closes-tab-first':
        return nth === 1 ? 'close' : 'approve'
      case 'somebody-else-first':
        return nth === 1 ? 'somebody-else' : 'approve'
      case 'always-somebody-else':
        return 'somebody-else'
    }
  }

  const memoryOf = (user: User): Memory => {
    const kept = memories.get(user)
    if (kept !== undefined) return kept
    const fresh: Memory = { links: [], mails: 0, done: false, busy: false, again: undefined }
    memories.set(user, fresh)
    return fresh
  }

  const act = async (user: User, link: string): Promise<void> => {
    const memory = memoryOf(user)
    await scan(link)
    if (memory.links.at(-1) !== link) {
      // Another link is another cycle: what the user did before is past.
      memory.links.push(link)
      memory.mails = 0
    }
    memory.mails += 1
    const as = intends(user, memory.mails)
    if (as === undefined || memory.busy) return
    memory.busy = true
    try {
      const taken = await visit(user, link, as)
      // Whoever meant to renew and got nowhere tries once more later, by the same mail.
      memory.again = !taken && as === 'approve' ? link : undefined
    } finally {
      memory.busy = false
    }
  }

  const run = (): void => {
    while (!resting && active < AT_ONCE) {
      const next = waiting.shift()
      if (next === undefined) return
      active += 1
      void next
        .go()
        .catch(() => undefined)
        .finally(() => {
          active -= 1
          run()
        })
    }
  }

  const readMails = (): void => {
    const mails = [...simulator.mails({ after: lastMail })].toReversed()
    for (const mail of mails) {
      lastMail = mail.id
      const user = byMail.get(mail.to[0] ?? '')
      const link = startLinkOf(mail)
      if (user === undefined || link === undefined) continue
      startLinks.add(link)
      // A link of an old mail, in a cycle that has later ones as well, does the same.
      waiting.push({ user, go: async () => act(user, link) })
    }
    run()
  }

  const tryAgain = (): void => {
    for (const [user, memory] of memories) {
      const link = memory.again
      if (link === undefined || memory.busy) continue
      memory.again = undefined
      const go = async (): Promise<void> => {
        if (memory.busy) return
        memory.busy = true
        try {
          await visit(user, link, 'approve')
        } finally {
          memory.busy = false
        }
      }
      waiting.push({ user, go })
    }
  }

  const timer = setInterval(() => {
    if (!resting) readMails()
  }, 100)

  return {
    counts, returns, bankLinks, startLinks, visited, leftOut, serverErrors,
    backlog: () => waiting.length + active,
    start: () => {
      resting = false
      tryAgain()
      readMails()
    },
    rest: async (withinMs) => {
      resting = true
      const end = Date.now() + withinMs
      while (active > 0 && Date.now() < end) await wait(50)
      return active === 0
    },
    replay: async (atMost) => {
      const before = clock.now().toMillis() - REPLAYED_AFTER_MS
      const due = old.filter(({ at }) => at < before).slice(-atMost)
      await Promise.all(
        due.map(async ({ played }) => {
          await get(played.url, played.method === 'GET' ? {} : { method: 'POST', body: new URLSearchParams(played.form) })
          counts.replayed += 1
        }),
      )
    },
    stop: async () => {
      stopped = true
      resting = true
      clearInterval(timer)
      const end = Date.now() + 10_000
      while (active > 0 && Date.now() < end) await wait(50)
      for (const { user } of waiting) leftOut.add(user)
      for (const mail of simulator.mails({ after: lastMail })) {
        const user = byMail.get(mail.to[0] ?? '')
        if (user !== undefined) leftOut.add(user)
      }
    },
  }
}

const startLinkOf = (mail: Mail): string | undefined => mail.links.find((one) => new URL(one).pathname.startsWith('/r/'))
