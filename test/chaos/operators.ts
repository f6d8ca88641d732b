// Operators and users who stop things by hand while everything fails: consents are paused and resumed, and some users
// opt out, preferably while a message is on its way. Every act is recorded in real time, so that the checks need not
// ask the system when an operator stopped it.
import { setTimeout as wait } from 'node:timers/promises'
import { administration } from '../../src/store/administration.ts'
import type { AdministrationAnswer } from '../../src/store/administration-port.ts'
import type { Rig } from './rig.ts'
import type { Chance } from './seeded.ts'

export interface OperatorAct {
  readonly what: 'pause' | 'resume' | 'opt-out'
  readonly consentId: string
  /** When the run asked for the act, and when the answer came; real time, in milliseconds. */
  readonly from: number
  readonly to: number
  /** `lost`: no answer came; the act may or may not have happened. */
  readonly answer: AdministrationAnswer['kind'] | 'lost'
  /** The consent was chosen because a message to its user was on its way. */
  readonly underWay: boolean
}

export interface Operators {
  readonly acts: readonly OperatorAct[]
  start(): void
  /** Stops no further consent; resolves when every paused consent was resumed. */
  stop(): Promise<void>
}

const REST_MS = [500, 1_500] as const
const PAUSED_FOR_MS = [2_000, 8_000] as const
/** How many of a hundred acts are opt-outs by a user. */
const OPT_OUTS = 8
const RETRY_MS = 300
/** Time for the database to come back; if a consent stays paused after that, the checks will find it. */
const RESUMED_WITHIN_MS = 60_000

const UNDER_WAY = `
  SELECT consent_id AS id FROM notifications WHERE status IN ('pending', 'sending') ORDER BY id LIMIT 50`
const OPEN = `SELECT consent_id AS id FROM renewals WHERE status = 'open' ORDER BY id LIMIT 200`

export const makeOperators = (
  { db, config, clock, sql }: Pick<Rig, 'db' | 'config' | 'clock' | 'sql'>,
  chance: Chance,
): Operators => {
  const { pauseConsent, resumeConsent, closeForGood } = administration(db, config.policy)
  const acts: OperatorAct[] = []
  const held = new Map<string, Promise<void>>()
  const stopping = new AbortController()

  const act = async (
    what: OperatorAct['what'],
    consentId: string,
    underWay: boolean,
  ): Promise<OperatorAct['answer']> => {
    const request = { now: clock.now(), reason: `the chaos run: ${what}` }
    const from = Date.now()
    const asked =
      what === 'pause'
        ? pauseConsent(consentId, request)
        : what === 'resume'
          ? resumeConsent(consentId, request)
          : closeForGood(consentId, 'opted_out', { ...request, actor: 'user' })
    const answer = await asked.then(
      ({ kind }) => kind,
      () => 'lost' as const,
    )
    acts.push({ what, consentId, from, to: Date.now(), answer, underWay })
    return answer
  }

  const resumeLater = async (consentId: string): Promise<void> => {
    await wait(chance.between(...PAUSED_FOR_MS), undefined, { signal: stopping.signal }).catch(() => undefined)
    const end = Date.now() + RESUMED_WITHIN_MS
    while ((await act('resume', consentId, false)) === 'lost' && Date.now() < end) await wait(RETRY_MS)
    held.delete(consentId)
  }

  const choose = async (): Promise<{ id: string; underWay: boolean } | undefined> => {
    const under = chance.happens(0.6) ? await sql<{ id: string }>(UNDER_WAY).catch(() => []) : []
    const found = under.length > 0 ? under : await sql<{ id: string }>(OPEN).catch(() => [])
    const free = found.filter(({ id }) => !held.has(id))
    return free.length === 0 ? undefined : { id: chance.pick(free).id, underWay: under.length > 0 }
  }

  const work = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const chosen = await choose()
      if (chosen !== undefined && !stopping.signal.aborted) {
        const isOptOut = chance.between(1, 100) <= OPT_OUTS
        const answer = await act(isOptOut ? 'opt-out' : 'pause', chosen.id, chosen.underWay)
        if (!isOptOut && (answer === 'done' || answer === 'lost')) held.set(chosen.id, resumeLater(chosen.id))
      }
      await wait(chance.between(...REST_MS), undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }

  let working: Promise<void> = Promise.resolve()
  return {
    acts,
    start: () => {
      working = work()
    },
    stop: async () => {
      stopping.abort()
      await working
      await Promise.all(held.values())
    },
  }
}
