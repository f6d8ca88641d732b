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
import { allOf, recordIn, recordsIn, type RowKind } from './columns.ts'
import type { Claim } from './port.ts'
import type { SeenRows, Statements } from './statements.ts'

export type FoundRow = Readonly<Record<string, unknown>>
type Found = readonly FoundRow[]

const aliasOf = { consent: 'consent', renewal: 'renewal', authorisation: 'attempt', notification: 'message' } as const

/** Which version of each of these records is selected, under their aliases above. */
export const versionsOf = (...kinds: readonly RowKind[]): Prisma.Sql =>
  Prisma.raw(kinds.map((kind) => `${aliasOf[kind]}.xmin AS "${aliasOf[kind]}.xmin"`).join(', '))

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

const noteSeen = (seen: SeenRows, kinds: readonly RowKind[], row: FoundRow): void => {
  for (const kind of kinds) {
    const alias = aliasOf[kind]
    const { id } = row[alias] as { readonly id: string }
    seen.note({ kind, id, version: row[`${alias}.xmin`] as string })
  }
}

/**
 * The facts that were read under a claim last. The first step after that need not read them again: whether they are
 * still so is asked when the step writes, as of everything that a step reads.
 */
const factsRead = new WeakMap<Claim, FoundRow>()

/** The row was selected as facts.ts does, by the same aliases and with versions. */
export const keepFactsRead = (claim: Claim, row: FoundRow): void => void factsRead.set(claim, row)

/** After a write that was no step: the next step would find that they are no longer so. */
export const forgetFactsRead = (claim: Claim): void => void factsRead.delete(claim)

const takeFactsRead = ({ seen }: Statements, claim: Claim, { kinds }: Locking): FoundRow | undefined => {
  const row = factsRead.get(claim)
  factsRead.delete(claim)
  if (seen === undefined || row === undefined) return undefined
  seen.readEarlier()
  noteSeen(seen, kinds, row)
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
  const known = takeFactsRead(tx, claim, ofConsent)
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

export interface LockedAttempt extends LockedCycle {
  readonly authorisation: AuthorisationRow
  /** The other attempts of the renewal, and those of the consent whose outcome is not known, if they were read, too. */
  readonly others?: readonly AuthorisationRow[]
}

/** Locks an attempt with its consent and renewal, in the order above. */
export const lockAuthorisation = async (tx: Statements, id: string): Promise<LockedAttempt | undefined> =>
  lockAttempt(tx, Prisma.sql`attempt.id = ${id}::uuid`)

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

/** The same for the attempt of the claim. Throws StaleClaim, which rolls the transaction back. */
export const lockClaimedAuthorisation = async (tx: Statements, claim: Claim): Promise<LockedAttempt> => {
  const known = takeFactsRead(tx, claim, ofAttempt)
  const locked = known === undefined ? await lockAuthorisation(tx, claim.id) : attemptIn(known)
  if (locked === undefined || locked.authorisation.fencingToken !== claim.fencingToken) throw new StaleClaim()
  return known === undefined ? locked : { ...locked, others: recordsIn('authorisation', known['others']) }
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
export const lockClaimedMessage = async (tx: Statements, claim: Claim): Promise<LockedMessage> => {
  const from = Prisma.sql`notifications AS message JOIN renewals AS renewal ON renewal.id = message.renewal_id
    JOIN consents AS consent ON consent.id = message.consent_id WHERE message.id = ${claim.id}::uuid`
  const known = takeFactsRead(tx, claim, ofMessage)
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
