// The users and their mail scanners. By real HTTP through the web proxy they open mails, press buttons, decide at the
// bank and come back, and try again when a page did not come. They remember every link they were given and every
// answer, and the checks use these records.
import { setTimeout as wait } from 'node:timers/promises'
import type { Decision } from '../../simulator/src/bank.ts'
import type { Mail } from '../../simulator/src/mail-store.ts'
import { type Counts, makeBrowser } from './browser.ts'
import { intends } from './plans.ts'
import type { User } from './population.ts'
import type { Rig } from './rig.ts'
import type { Chance } from './seeded.ts'
import { type Attempt, makeWayBack, type Return, type Tampered } from './way-back.ts'

export interface Crowd {
  /** Lets the users act on mails as they come. */
  start(): void
  /**
   * No user starts a visit any more. Resolves when all visits have ended, or after so many milliseconds; true when all
   * visits have ended.
   */
  rest(withinMs: number): Promise<boolean>
  /** Sends old callbacks again, unchanged. */
  replay(atMost: number): Promise<void>
  readonly counts: Counts
  readonly returns: readonly Return[]
  /** The bank links that the button of a start page gave, with how often. */
  readonly bankLinks: ReadonlyMap<string, number>
  /** The start links in the users' mails. */
  readonly startLinks: ReadonlySet<string>
  /** The visits of users who wanted to renew. */
  readonly attempts: readonly Attempt[]
  /** Codes delivered with the state of another consent. */
  readonly foreign: readonly Tampered[]
  /** Made-up codes delivered with a valid state. */
  readonly forged: readonly Tampered[]
  /** Every state and code that a browser carried, including tampered and made-up values. */
  readonly carried: ReadonlySet<string>
  /** The start links through which a user came, with how often a mail scanner had got the link's page before. */
  readonly scannedBefore: ReadonlyMap<string, number>
  /** Users who had a mail with a link. */
  readonly mailed: ReadonlySet<User>
  /** Users whose last mail, or next visit, came when no user started a visit any more; complete only after `stop`. */
  readonly leftOut: ReadonlySet<User>
  /** The number of visits that wait and of visits under way. */
  backlog(): number
  /** Answers with a 5xx status, by status and path. */
  readonly serverErrors: ReadonlyMap<string, number>
  stop(): Promise<void>
}

interface Memory {
  readonly links: string[]
  mails: number
  busy: boolean
  again: string | undefined
}

const AT_ONCE = 16

export const makeCrowd = (rig: Rig, users: readonly User[], chance: Chance): Crowd => {
  const { simulator } = rig
  const byMail = new Map(users.map((user) => [user.email, user]))
  const memories = new Map<User, Memory>()
  const startLinks = new Set<string>()
  const attempts: Attempt[] = []
  const leftOut = new Set<User>()
  const mailed = new Set<User>()
  const scanned = new Map<string, number>()
  const scannedBefore = new Map<string, number>()
  const counts: Counts = {
    scans: 0,
    scansFailed: 0,
    visits: 0,
    departures: 0,
    returns: 0,
    repeated: 0,
    concurrent: 0,
    unknownState: 0,
    foreign: 0,
    forged: 0,
    replayed: 0,
    givenUp: 0,
  }
  const waiting: { readonly user: User; readonly go: () => Promise<void> }[] = []
  let active = 0
  let resting = true
  let stopped = false
  let lastMail = 0
  const browser = makeBrowser(rig, counts, () => stopped)
  const { scan, depart, bankLinks, serverErrors } = browser
  const { decide, replay, returns, foreign, forged, carried } = makeWayBack(rig, browser, chance, counts)

  const goThere = async (user: User, link: string, as: Decision): Promise<Attempt['got']> => {
    const departed = await depart(link)
    return typeof departed === 'string' ? departed : decide(user, departed.bankLink, as)
  }

  /** One visit through a start link. Returns whether the user's decision was taken. */
  const visit = async (user: User, link: string, as: Decision): Promise<boolean> => {
    counts.visits += 1
    if (!stopped && !scannedBefore.has(link)) scannedBefore.set(link, scanned.get(link) ?? 0)
    const from = Date.now()
    const both = await Promise.all(
      user.kind === 'clicks-twice' && as === 'approve'
        ? [goThere(user, link, as), goThere(user, link, as)]
        : [goThere(user, link, as)],
    )
    const got = both.find((one) => one === 'taken') ?? both[0] ?? 'no page'
    // A visit that the end of the run cut short shows nothing.
    if (as === 'approve' && stopped && got !== 'taken') leftOut.add(user)
    else if (as === 'approve') attempts.push({ user, from, to: Date.now(), got })
    return got === 'taken'
  }

  const memoryOf = (user: User): Memory => {
    const kept = memories.get(user)
    if (kept !== undefined) return kept
    const fresh: Memory = { links: [], mails: 0, busy: false, again: undefined }
    memories.set(user, fresh)
    return fresh
  }

  const act = async (user: User, link: string): Promise<void> => {
    const memory = memoryOf(user)
    const got = await scan(link)
    scanned.set(link, (scanned.get(link) ?? 0) + got)
    if (memory.links.at(-1) !== link) {
      // Another link belongs to another cycle: the user's mails of the last cycle no longer count.
      memory.links.push(link)
      memory.mails = 0
    }
    memory.mails += 1
    const as = intends(user, memory.mails)
    if (as === undefined || memory.busy) return
    memory.busy = true
    try {
      const taken = await visit(user, link, as)
      // A user who meant to renew and failed tries once more later, through the same link.
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
      mailed.add(user)
      // An old mail of a cycle is acted on like the later mails of that cycle: all carry the same link.
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
          memory.again = (await visit(user, link, 'approve')) ? undefined : link
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
    counts,
    returns,
    bankLinks,
    startLinks,
    attempts,
    foreign,
    forged,
    carried,
    scannedBefore,
    mailed,
    leftOut,
    serverErrors,
    replay,
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
    stop: async () => {
      stopped = true
      resting = true
      clearInterval(timer)
      const end = Date.now() + 10_000
      while (active > 0 && Date.now() < end) await wait(50)
      for (const { user } of waiting) leftOut.add(user)
      for (const [user, { again, busy }] of memories) if (again !== undefined || busy) leftOut.add(user)
      for (const mail of simulator.mails({ after: lastMail })) {
        const user = byMail.get(mail.to[0] ?? '')
        if (user !== undefined) leftOut.add(user)
      }
    },
  }
}

const startLinkOf = (mail: Mail): string | undefined =>
  mail.links.find((one) => new URL(one).pathname.startsWith('/r/'))
