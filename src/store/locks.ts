// Row locks, always taken in the order consent, renewal, authorisation, notification, so that two transactions on one
// consent never deadlock. A transaction that writes an event, or anything else that another decision about the consent
// must see, holds the consent's lock. In a step the same functions only read: its write locks what they have read, in
// the same order, and is refused if any of it has changed (decision 0053). What the comments of the store call "under
// the lock" holds for both.
import {
  type Authorisation as AuthorisationRow,
  type Consent as ConsentRow,
  type Notification as NotificationRow,
  Prisma,
  type Renewal as RenewalRow,
} from '../generated/prisma/client.ts'
import { StaleClaim } from '../errors.ts'
import { UNSETTLED } from './authorisation-row.ts'
import { aliasOf, type FoundRow, noteSeen, takeFacts, versionOf } from './kept-facts.ts'
import { allOf, recordIn, recordsIn, type RowKind } from './columns.ts'
import type { Claim, RenewalPage } from './port.ts'
import type { Statements } from './statements.ts'

type Found = readonly FoundRow[]

/** Which version of each of these records is selected, under their aliases above. */
export const versionsOf = (...kinds: readonly RowKind[]): Prisma.Sql =>
  Prisma.raw(kinds.map((kind) => `${versionOf(kind)} AS "${versionOf(kind)}"`).join(', '))

/** What is selected of these kinds of records, and how they are locked. */
const lockingOf = (...kinds: readonly RowKind[]) => ({
  kinds,
  columns: Prisma.join(kinds.map((kind) => allOf(aliasOf[kind]))),
  versions: versionsOf(...kinds),
  names: Prisma.raw(kinds.map((kind) => aliasOf[kind]).join(', ')),
})
type Locking = ReturnType<typeof lockingOf>

/**
 * Reads one row of each kind and locks them. FOR UPDATE OF locks row by row in the order in which it names the tables
 * (PostgreSQL's transformLockingClause; a test shows it), and whoever had to wait gets each row as it is by then. In a
 * step nothing is locked, and it is noted what was read.
 */
const lockRows = async (
  tx: Statements,
  { kinds, columns, versions, names }: Locking,
  from: Prisma.Sql,
): Promise<FoundRow | undefined> => {
  if (tx.seen === undefined) {
    const [locked] = await tx.$queryRaw<Found>`SELECT ${columns} FROM ${from} FOR UPDATE OF ${names}`
    return locked
  }
  const [row] = await tx.$queryRaw<Found>`SELECT ${columns}, ${versions} FROM ${from}`
  if (row !== undefined) noteSeen(tx.seen, kinds, row)
  return row
}

const ofConsent = lockingOf('consent')
const ofRenewal = lockingOf('renewal')
const ofCycle = lockingOf('consent', 'renewal')
const ofAttempt = lockingOf('consent', 'renewal', 'authorisation')
const ofMessage = lockingOf('consent', 'renewal', 'notification')

export const lockConsent = async (tx: Statements, id: string): Promise<ConsentRow | undefined> => {
  const row = await lockRows(tx, ofConsent, Prisma.sql`consents AS consent WHERE id = ${id}::uuid`)
  return row && recordIn('consent', 'consent', row)
}

/** Locks the consent with this `credentials_id`. */
export const lockConsentOf = async (tx: Statements, credentialsId: string): Promise<ConsentRow | undefined> => {
  const row = await lockRows(tx, ofConsent, Prisma.sql`consents AS consent WHERE credentials_id = ${credentialsId}`)
  return row && recordIn('consent', 'consent', row)
}

export const lockRenewal = async (tx: Statements, id: string): Promise<RenewalRow | undefined> => {
  const row = await lockRows(tx, ofRenewal, Prisma.sql`renewals AS renewal WHERE id = ${id}::uuid`)
  return row && recordIn('renewal', 'renewal', row)
}

/** Locks the consent of the claim. Throws StaleClaim, which rolls the transaction back. */
export const lockClaimedConsent = async (tx: Statements, claim: Claim): Promise<ConsentRow> => {
  const known = takeFacts(tx, claim, ofConsent.kinds)
  const consent = known === undefined ? await lockConsent(tx, claim.id) : recordIn('consent', 'consent', known)
  if (consent === undefined || consent.fencingToken !== claim.fencingToken) throw new StaleClaim()
  return consent
}

export interface LockedCycle {
  readonly consent: ConsentRow
  readonly renewal: RenewalRow
}

/** Locks a renewal after its consent. */
export const lockCycle = async (tx: Statements, renewalId: string): Promise<LockedCycle | undefined> => {
  const from = Prisma.sql`renewals AS renewal JOIN consents AS consent ON consent.id = renewal.consent_id
    WHERE renewal.id = ${renewalId}::uuid`
  const row = await lockRows(tx, ofCycle, from)
  return row && cycleIn(row)
}

/** The same for the renewal of a page. */
export const lockPage = async (tx: Statements, page: RenewalPage): Promise<LockedCycle | undefined> => {
  const known = takeFacts(tx, page, ofCycle.kinds)
  return known === undefined ? lockCycle(tx, page.renewal.id) : cycleIn(known)
}

export interface LockedAttempt extends LockedCycle {
  readonly authorisation: AuthorisationRow
  /** The other attempts of the renewal, and those of the consent whose outcome is not known, if they were read, too. */
  readonly others?: readonly AuthorisationRow[]
}

/** Locks an attempt with its consent and renewal, in the order above. */
export const lockAuthorisation = async (tx: Statements, id: string): Promise<LockedAttempt | undefined> =>
  lockAttempt(tx, Prisma.sql`attempt.id = ${id}::uuid`)

/** The same for an attempt of a page. Where the page is known, the attempt itself is not: the write must ask. */
export const lockAttemptOnPage = async (
  tx: Statements,
  page: RenewalPage,
  attemptId: string,
): Promise<LockedAttempt | undefined> => {
  const known = takeFacts(tx, page, ofCycle.kinds)
  if (known === undefined) return lockAuthorisation(tx, attemptId)
  const cycle = cycleIn(known)
  const authorisation = recordsIn('authorisation', known['attempts']).find(({ id }) => id === attemptId)
  return cycle && authorisation && { ...cycle, authorisation }
}

/** The same for the attempt with this OAuth state. */
export const lockAuthorisationOf = async (tx: Statements, hash: Uint8Array): Promise<LockedAttempt | undefined> =>
  lockAttempt(tx, Prisma.sql`attempt.state_hash = ${Buffer.from(hash)}`)

/** The same for the only attempt that fits this condition. */
export const lockAttempt = async (tx: Statements, which: Prisma.Sql): Promise<LockedAttempt | undefined> => {
  const from = Prisma.sql`authorisations AS attempt JOIN renewals AS renewal ON renewal.id = attempt.renewal_id
    JOIN consents AS consent ON consent.id = attempt.consent_id WHERE ${which}`
  const row = await lockRows(tx, ofAttempt, from)
  return row && attemptIn(row)
}

const attemptIn = (row: FoundRow): LockedAttempt | undefined => {
  const cycle = cycleIn(row)
  const authorisation = recordIn('authorisation', 'attempt', row)
  return cycle && authorisation && { ...cycle, authorisation }
}

/** `goesOn`: the worker takes another step under this claim after the one that locks. */
interface Next {
  readonly goesOn: boolean
}

/** The same for the attempt of a claim, which may be stale by now. */
export const lockAttemptOf = async (
  tx: Statements,
  claim: Claim,
  { goesOn }: Next,
): Promise<LockedAttempt | undefined> => {
  const known = takeFacts(tx, claim, ofAttempt.kinds, goesOn)
  if (known === undefined) return lockAuthorisation(tx, claim.id)
  const locked = attemptIn(known)
  return locked && { ...locked, others: recordsIn('authorisation', known['others']) }
}

/** The same. Throws StaleClaim, which rolls the transaction back. */
export const lockClaimedAuthorisation = async (
  tx: Statements,
  claim: Claim,
  next: Next = { goesOn: false },
): Promise<LockedAttempt> => {
  const locked = await lockAttemptOf(tx, claim, next)
  if (locked === undefined || locked.authorisation.fencingToken !== claim.fencingToken) throw new StaleClaim()
  return locked
}

/** Which attempts `others` are of: for a SELECT in which they are called `other` beside the `attempt`. */
export const OTHERS = Prisma.sql`other.consent_id = attempt.consent_id AND other.id <> attempt.id
  AND (other.renewal_id = attempt.renewal_id OR other.status IN ${UNSETTLED})`

/**
 * The other attempts of the renewal, and those of the consent whose outcome is not known. Read under the consent's
 * lock: whatever their status becomes, by a code, an exchange or its end, the consent notes an event.
 */
export const otherAttempts = async (
  tx: Statements,
  { authorisation, others }: LockedAttempt,
): Promise<readonly AuthorisationRow[]> => {
  if (others !== undefined) return others
  const rows = await tx.$queryRaw<Found>`
    SELECT ${allOf('other')} FROM authorisations AS attempt JOIN authorisations AS other ON ${OTHERS}
    WHERE attempt.id = ${authorisation.id}::uuid`
  return rows.flatMap((row) => recordIn('authorisation', 'other', row) ?? [])
}

export interface LockedMessage extends LockedCycle {
  readonly message: NotificationRow
  /** The attempts of the renewal, if they were read, too. */
  readonly attempts?: readonly AuthorisationRow[]
}

/** Locks the message of the claim, after its consent and renewal. Throws StaleClaim. */
export const lockClaimedMessage = async (
  tx: Statements,
  claim: Claim,
  { goesOn }: Next = { goesOn: false },
): Promise<LockedMessage> => {
  const from = Prisma.sql`notifications AS message JOIN renewals AS renewal ON renewal.id = message.renewal_id
    JOIN consents AS consent ON consent.id = message.consent_id WHERE message.id = ${claim.id}::uuid`
  const known = takeFacts(tx, claim, ofMessage.kinds, goesOn)
  const row = known ?? (await lockRows(tx, ofMessage, from))
  const cycle = row && cycleIn(row)
  const message = row && recordIn('notification', 'message', row)
  if (cycle === undefined || message === undefined || message.fencingToken !== claim.fencingToken)
    throw new StaleClaim()
  return known === undefined
    ? { ...cycle, message }
    : { ...cycle, message, attempts: recordsIn('authorisation', known['attempts']) }
}

const cycleIn = (row: FoundRow): LockedCycle | undefined => {
  const consent = recordIn('consent', 'consent', row)
  const renewal = recordIn('renewal', 'renewal', row)
  return consent && renewal && { consent, renewal }
}

/** What a write sets when the work on a claimed record has ended: no lease, and no dispatch mark. */
export const released = { leaseUntil: null, queuedUntil: null } as const
