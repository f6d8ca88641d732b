// The users and their mail scanners, by real HTTP through the web proxy: open mails, press buttons, decide at the bank, come back; again
// when a page did not come. They remember everything they were given and answered: the checks ask them.
import { randomBytes } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import type { Decision } from '../src/simulator/bank.ts'
import type { Played } from '../src/simulator/play.ts'
import type { Mail } from '../src/simulator/mail-store.ts'
import { fieldsOf, makeBrowser } from './browser.ts'
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
  /** How the callback was delivered; first with a state that nobody ever made, or not by itself at all but as one of `Tampered`. */
  readonly how: 'once' | 'repeated' | 'concurrent' | 'unknown-state-first'
  /** The page it was sent to; undefined when no answer ever said that it was taken. */
  doneId: string | undefined
  /** When that answer came. */
  answeredAt: Date | undefined
}

/** A callback that no bank ever gave: the code of `user`, or one that was made up, with a valid state. */
export interface Tampered {
  readonly user: User
  readonly state: string
  readonly codeNo: number | undefined
}

/** One visit of a user who wanted to renew, in real milliseconds, and how far they got. */
export interface Attempt {
  readonly user: User
  readonly from: number
  readonly to: number
  readonly got: 'taken' | 'nothing to do' | 'no page' | 'refused' | 'no bank' | 'no answer' | 'tampered'
}

export interface Counts {
  scans: number
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
  /** Visits by which somebody wanted to renew. */
  readonly attempts: readonly Attempt[]
  /** Codes delivered with the state of another consent. */
  readonly foreign: readonly Tampered[]
  /** Made-up codes delivered with a valid state. */
  readonly forged: readonly Tampered[]
  /** Users whose last mail, or next try, came when nobody set out any more; known after `stop`. */
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

const AT_ONCE = 16
const REPLAYED_AFTER_MS = 61 * 60_000

export const makeCrowd = (rig: Rig, users: readonly User[], chance: Chance): Crowd => {
  const { simulator, clock } = rig
  const byMail = new Map(users.map((user) => [user.email, user]))
  const memories = new Map<User, Memory>()
  const returns: Return[] = []
  const startLinks = new Set<string>()
  const attempts: Attempt[] = []
  const foreign: Tampered[] = []
  const forged: Tampered[] = []
  const spareStates: { readonly user: User; readonly state: string }[] = []
  const leftOut = new Set<User>()
  const counts: Counts = { scans: 0, visits: 0, departures: 0, returns: 0, repeated: 0, concurrent: 0, unknownState: 0, foreign: 0, forged: 0, replayed: 0, givenUp: 0 }
  const waiting: { readonly user: User; readonly go: () => Promise<void> }[] = []
  let active = 0
  let resting = true
  let stopped = false
  let lastMail = 0
  const { get, scan, depart, deliver, tamper, bankLinks, serverErrors } = makeBrowser(rig, counts, () => stopped)

  const comeBack = async (user: User, as: Decision, played: Extract<Played, { kind: 'callback' }>): Promise<Return> => {
    const { state = '', code } = fieldsOf(played)
    const how = chance.happens(0.1) ? 'concurrent' : chance.happens(0.1) ? 'repeated' : chance.happens(0.05) ? 'unknown-state-first' : 'once'
    const back: Return = { user, as, state, code, codeNo: code === undefined ? undefined : simulator.codeNo(code), at: clock.now().toJSDate(), how, doneId: undefined, answeredAt: undefined }
    returns.push(back)
    counts.returns += 1
    if (how === 'unknown-state-first') {
      const wrong = new URL(played.url)
      wrong.searchParams.set('state', randomBytes(32).toString('base64url'))
      await get(wrong.href)
      counts.unknownState += 1
    }
    const deliveries = how === 'concurrent' ? [deliver(played), deliver(played), deliver(played)] : [deliver(played)]
    if (how === 'concurrent') counts.concurrent += 1
    const doneIds = await Promise.all(deliveries)
    back.doneId = doneIds.find((one) => one !== undefined)
    back.answeredAt = clock.now().toJSDate()
    if (how === 'repeated') {
      await deliver(played)
      counts.repeated += 1
    }
    if (back.doneId !== undefined) await get(`${rig.publicUrl}/done/${back.doneId}`)
    old.push({ at: clock.now().toMillis(), played })
    return back
  }
  const old: { readonly at: number; readonly played: Extract<Played, { kind: 'callback' }> }[] = []

  /**
   * A few approvals never come back as they are: the browser is lost, and later somebody else's code arrives with this state; or the code
   * on the way back is a made-up one. True when this one was such.
   */
  const comesBackWrong = async (user: User, played: Extract<Played, { kind: 'callback' }>): Promise<boolean> => {
    const { state, code } = fieldsOf(played)
    if (state === undefined || code === undefined || !chance.happens(0.04)) return false
    const spare = spareStates[0]
    if (spare !== undefined && spare.user !== user) {
      spareStates.shift()
      foreign.push({ user, state: spare.state, codeNo: simulator.codeNo(code) })
      counts.foreign += 1
      await tamper(played, code, spare.state)
    } else if (chance.happens(0.5)) {
      forged.push({ user, state, codeNo: undefined })
      counts.forged += 1
      await tamper(played, randomBytes(32).toString('base64url'), state)
    } else spareStates.push({ user, state })
    return true
  }

  /** Goes to the bank by this bank link, decides, comes back. */
  const decide = async (user: User, bankLink: string, as: Decision): Promise<Attempt['got']> => {
    const played = await simulator.play({ link: bankLink, as }).catch(() => undefined)
    if (played?.kind === 'closed') return 'taken'
    if (played?.kind !== 'callback') return 'no bank'
    if (as === 'approve' && (await comesBackWrong(user, played))) return 'tampered'
    return (await comeBack(user, as, played)).doneId === undefined ? 'no answer' : 'taken'
  }

  const goThere = async (user: User, link: string, as: Decision): Promise<Attempt['got']> => {
    const departed = await depart(link)
    return typeof departed === 'string' ? departed : decide(user, departed.bankLink, as)
  }

  /** One visit by a start link. Answers whether the user had a decision of theirs taken. */
  const visit = async (user: User, link: string, as: Decision): Promise<boolean> => {
    counts.visits += 1
    const from = Date.now()
    const both = await Promise.all(user.kind === 'clicks-twice' && as === 'approve' ? [goThere(user, link, as), goThere(user, link, as)] : [goThere(user, link, as)])
    const got = both.find((one) => one === 'taken') ?? both[0] ?? 'no page'
    // A try that the end of the run cut short shows nothing.
    if (as === 'approve' && stopped && got !== 'taken') leftOut.add(user)
    else if (as === 'approve') attempts.push({ user, from, to: Date.now(), got })
    return got === 'taken'
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
    counts, returns, bankLinks, startLinks, attempts, foreign, forged, leftOut, serverErrors,
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
      for (const [user, { again }] of memories) if (again !== undefined) leftOut.add(user)
      for (const mail of simulator.mails({ after: lastMail })) {
        const user = byMail.get(mail.to[0] ?? '')
        if (user !== undefined) leftOut.add(user)
      }
    },
  }
}

const startLinkOf = (mail: Mail): string | undefined => mail.links.find((one) => new URL(one).pathname.startsWith('/r/'))
