// Users on their way back from the bank: they come once, twice, three times at once, or again an hour later, and now
// and then with another user's code or state. Every return is recorded.
import { randomBytes } from 'node:crypto'
import type { Decision } from '../../simulator/src/bank.ts'
import type { Played } from '../../simulator/src/play.ts'
import { type Browser, type Counts, fieldsOf } from './browser.ts'
import type { User } from './population.ts'
import type { Rig } from './rig.ts'
import type { Chance } from './seeded.ts'

/** One visit of a user who wanted to renew, in real milliseconds, and how far they got. */
export interface Attempt {
  readonly user: User
  readonly from: number
  readonly to: number
  readonly got: 'taken' | 'nothing to do' | 'no page' | 'refused' | 'no bank' | 'no answer' | 'tampered'
}

/** One user's way back from the bank. */
export interface Return {
  readonly user: User
  readonly as: Decision
  readonly state: string
  readonly code: string | undefined
  readonly codeNo: number | undefined
  readonly at: Date
  /**
   * How the callback was delivered. `unknown-state-first`: before it, the browser sent a state that Reconsent never
   * made. A callback that was tampered with is recorded as `Tampered` instead.
   */
  readonly how: 'once' | 'repeated' | 'concurrent' | 'unknown-state-first'
  /** The page to which the browser was sent; undefined when no answer said that the callback was taken. */
  doneId: string | undefined
  /** When all deliveries of the callback had ended. */
  answeredAt: Date | undefined
}

/** A callback that no bank gave: the code of `user`, or a made-up code, with a valid state. */
export interface Tampered {
  readonly user: User
  readonly state: string
  readonly codeNo: number | undefined
}

const REPLAYED_AFTER_MS = 61 * 60_000

export const makeWayBack = (
  { simulator, clock, publicUrl }: Rig,
  { get, deliver, tamper }: Browser,
  chance: Chance,
  counts: Counts,
) => {
  const returns: Return[] = []
  const foreign: Tampered[] = []
  const forged: Tampered[] = []
  /** Every state and code that a browser carried, including tampered and made-up values. */
  const carried = new Set<string>()
  const spareStates: { readonly user: User; readonly state: string }[] = []
  const old: { readonly at: number; readonly played: Extract<Played, { kind: 'callback' }> }[] = []

  const carry = (secret: string): string => {
    carried.add(secret)
    return secret
  }

  const comeBack = async (user: User, as: Decision, played: Extract<Played, { kind: 'callback' }>): Promise<Return> => {
    const { state = '', code } = fieldsOf(played)
    const how = chance.happens(0.1)
      ? 'concurrent'
      : chance.happens(0.1)
        ? 'repeated'
        : chance.happens(0.05)
          ? 'unknown-state-first'
          : 'once'
    const back: Return = {
      user,
      as,
      state,
      code,
      codeNo: code === undefined ? undefined : simulator.codeNo(code),
      at: clock.now().toJSDate(),
      how,
      doneId: undefined,
      answeredAt: undefined,
    }
    returns.push(back)
    counts.returns += 1
    if (how === 'unknown-state-first') {
      const wrong = new URL(played.url)
      wrong.searchParams.set('state', carry(randomBytes(32).toString('base64url')))
      if ((await get(wrong.href)) !== undefined) counts.unknownState += 1
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
    if (back.doneId !== undefined) await get(`${publicUrl}/done/${back.doneId}`)
    old.push({ at: clock.now().toMillis(), played })
    return back
  }

  /**
   * A few approvals never come back as they are: the browser is lost, and later another user's code arrives with this
   * state; or the code on the way back is made up. True when this approval was one of them.
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
      await tamper(played, carry(randomBytes(32).toString('base64url')), state)
    } else spareStates.push({ user, state })
    return true
  }

  /** The user goes to the bank by this bank link, decides and comes back. */
  const decide = async (user: User, bankLink: string, as: Decision): Promise<Attempt['got']> => {
    const played = await simulator.play({ link: bankLink, as }).catch(() => undefined)
    if (played?.kind === 'closed') return 'taken'
    if (played?.kind !== 'callback') return 'no bank'
    const { state, code } = fieldsOf(played)
    for (const one of [state, code]) if (one !== undefined) carry(one)
    if (as === 'approve' && (await comesBackWrong(user, played))) return 'tampered'
    return (await comeBack(user, as, played)).doneId === undefined ? 'no answer' : 'taken'
  }

  /** Delivers old callbacks once more, unchanged. */
  const replay = async (atMost: number): Promise<void> => {
    const before = clock.now().toMillis() - REPLAYED_AFTER_MS
    const due = old.filter(({ at }) => at < before).slice(-atMost)
    await Promise.all(
      due.map(async ({ played }) => {
        const answer = await get(
          played.url,
          played.method === 'GET' ? {} : { method: 'POST', body: new URLSearchParams(played.form) },
        )
        if (answer !== undefined) counts.replayed += 1
      }),
    )
  }

  return { decide, replay, returns, foreign, forged, carried }
}
