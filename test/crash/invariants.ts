// What must hold for one consent after a process died, threw or hung at a crash point and the others have finished. The
// simulator's ledger and its connections tell what really happened.
import type { Company } from './stage.ts'
import { Duration } from 'luxon'
import { verify } from '../../src/verify/verify.ts'

/** A code is valid for five minutes: two codes of one cycle are at most so far apart. */
const CODES_APART_MS = 300_000

/** Every broken promise in words; empty when all hold. */
export const brokenPromises = async (company: Company): Promise<string[]> => [
  ...(await recorded(company)),
  ...codesSentAgain(company),
  ...(await surplusMails(company)),
  ...(await deadTokens(company)),
]

const recorded = async ({ db, clock, config }: Company): Promise<string[]> => {
  const violations = await verify(db, {
    now: clock.now(),
    sweepInterval: Duration.fromObject({ seconds: 5 }),
    deep: true,
    keys: config.keys,
  })
  return violations.map(({ invariant, record, what }) => `invariant ${invariant}: ${record}: ${what}`)
}

/**
 * A code may be sent again only if each earlier exchange was provably not processed: it was answered with 429, or the
 * client was not accepted.
 */
const codesSentAgain = ({ simulator }: Company): string[] => {
  const spent = new Set<number>()
  const broken: string[] = []
  for (const { code_no: code, fault, outcome, detail } of simulator.ledger.entries({ what: 'exchange' })) {
    if (code === undefined) continue
    if (spent.has(code)) broken.push(`code ${code} was sent again after it may have been processed`)
    if (detail === 'reused') broken.push(`code ${code} was reused`)
    if (fault !== 'rate-limited' && outcome !== 'invalid_client') spent.add(code)
  }
  return broken
}

/**
 * Each `sent` row must have one mail, each `uncertain` row at most one, every other row none; one more where the row
 * says that it was repeated.
 */
const surplusMails = async ({ db, simulator }: Company): Promise<string[]> => {
  const broken: string[] = []
  const mails = simulator.mails().map(({ message_id: id }) => id.slice(0, id.indexOf('@')))
  for (const row of await db.prisma.notification.findMany()) {
    const count = mails.filter((id) => id === row.id).length
    const hasLeft = row.status === 'sent' || row.status === 'uncertain'
    const most = hasLeft ? (row.repeatedAt === null ? 1 : 2) : 0
    const least = row.status === 'sent' ? 1 : 0
    if (count > most || count < least)
      broken.push(
        `message ${row.rung} is ${row.status}${row.repeatedAt === null ? '' : ', repeated,'} and was delivered ` +
          `${count} times`,
      )
  }
  const known = new Set((await db.prisma.notification.findMany({ select: { id: true } })).map(({ id }) => id))
  for (const id of mails) if (!known.has(id)) broken.push('a mail was delivered that no row tells of')
  return broken
}

/**
 * For an active consent the stored token must be the last one that the provider issued for the connection, and the
 * stored expiry must be the provider's.
 */
const deadTokens = async ({ db, store, simulator }: Company): Promise<string[]> => {
  const broken: string[] = []
  for (const { id, credentialsId, expiresAt } of await db.prisma.consent.findMany({ where: { status: 'active' } })) {
    const connection = simulator.connection(credentialsId)
    if (connection === undefined) broken.push('a consent of ours is none of the provider')
    else if (connection.revoked) broken.push('the connection was revoked')
    else {
      const { token } = await store.readRefreshToken(id)
      if (token.reveal() !== connection.refreshToken)
        broken.push('the stored token is not the one that is valid at the provider')
      const early = connection.dates.expiresAt.toMillis() - expiresAt.getTime()
      // When two codes were both processed, `/me` may show the first one's date: our expiry is then earlier by the time
      // between them.
      const mayBeEarly =
        simulator.ledger.count({ what: 'renewed', credentials_id: credentialsId }) > 1 ? CODES_APART_MS : 0
      if (early < -1_000 || early > mayBeEarly + 1_000) broken.push('our expiry is not the one of the provider')
    }
  }
  return broken
}
