// What becomes of users who came back from the bank with a code: at rest their cycle is renewed, or a later message
// told them that it is not, or there is a reason why nobody asks them.
import { DateTime } from 'luxon'
import type { Consent } from '../../src/domain/model.ts'
import { stateHash } from '../../src/store/authorisation-row.ts'
import type { World } from '../setup/world.ts'
import type { Past } from './actions.ts'
import { aTokenGotLost, hasValidToken, type Rows, rowsOf } from './promises.ts'

const RENEWED = ['renewed', 'repaired']
/**
 * The mail server may have refused the message for good, or its fate is uncertain: in both cases it is not sent again.
 */
const LEFT_US = ['sent', 'uncertain', 'failed']

/**
 * We do not have the valid token: the provider refuses each link, and a message would lead nowhere. Operators see the
 * refusal.
 */
const isWithoutToken = async (world: World, consent: Consent, { lastErrorCode }: Rows['consent']): Promise<boolean> =>
  lastErrorCode === 'token-rejected' && aTokenGotLost(world, consent) && !(await hasValidToken(world, consent))

const answerTo = (
  { consent, renewals, authorisations, notifications }: Rows,
  { state, at }: Past['codes'][number],
): string | undefined => {
  const hash = stateHash(state)
  const tried = authorisations.find((one) => Buffer.compare(one.stateHash, hash) === 0)
  if (tried === undefined) return 'a code came in that belongs to no attempt'
  const cycle = renewals.find(({ id }) => id === tried.renewalId)
  // Whoever paused, closed or quarantined the consent must answer the user. A lapsed consent still accepts a code, but
  // asks nobody.
  if (RENEWED.includes(cycle?.status ?? '') || consent.status !== 'active') return undefined
  const known = Math.max(at.toMillis(), tried.closedAt?.getTime() ?? Number.POSITIVE_INFINITY)
  if (notifications.some(({ status, createdAt }) => LEFT_US.includes(status) && createdAt.getTime() >= known))
    return undefined
  const since =
    tried.closedAt === null ? 'not closed' : `closed at ${DateTime.fromJSDate(tried.closedAt, { zone: 'utc' }).toISO()}`
  return (
    `a code came in at ${at.toISO()}, its attempt is ${tried.status} (${tried.errorCode}, ${since}), its cycle ` +
    `${cycle?.status}, and its user was not told`
  )
}

/** The users without an answer, each as a sentence. */
export const unanswered = async (world: World, consent: Consent, { codes }: Pick<Past, 'codes'>): Promise<string[]> => {
  const rows = await rowsOf(world, consent.id)
  const found = codes.map((code) => answerTo(rows, code)).filter((one) => one !== undefined)
  return found.length > 0 && (await isWithoutToken(world, consent, rows.consent)) ? [] : found
}
