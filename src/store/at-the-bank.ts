// What is written while the user goes to the bank and comes back: authorisation URLs handed out, codes and refusals
// received.
import type { DateTime } from 'luxon'
import { acceptsCode } from '../domain/lifecycle.ts'
import { type Consent as ConsentRow, Prisma } from '../generated/prisma/client.ts'
import type { Secret } from '../secret.ts'
import { authorisationRow, openCell, sealCell, stateHash } from './authorisation-row.ts'
import { allOf, later, recordIn } from './columns.ts'
import { insert } from './tables.ts'
import type { Database } from './database.ts'
import { appendEvent } from './events.ts'
import { isId } from './ids.ts'
import {
  lockAttemptOnPage,
  lockAuthorisationOf,
  lockPage,
  type LockedAttempt,
  type LockedCycle,
  versionsOf,
} from './locks.ts'
import { type FoundRow, keepFacts } from './kept-facts.ts'
import { moveOne } from './moves.ts'
import type { AtTheBank, CallbackAnswer, RenewalPage, CallbackOutcome } from './port.ts'
import { noteTokenUse } from './refresh-token.ts'
import { toAuthorisation, toConsent, toRenewal } from './rows.ts'
import type { Statements } from './statements.ts'
import { cycleColumns, cycleIn } from './facts.ts'

export const atTheBank = (db: Database): AtTheBank => ({
  getRenewalPage: async (renewalId) => {
    if (!isId(renewalId)) return undefined
    const [row] = await db.sql.$queryRaw<FoundRow[]>`
      SELECT ${allOf('consent')}, ${cycleColumns}, ${versionsOf('consent', 'renewal')}
      FROM renewals AS renewal JOIN consents AS consent ON consent.id = renewal.consent_id
      WHERE renewal.id = ${renewalId}::uuid`
    const page = row && pageIn(row)
    if (page !== undefined && row !== undefined) keepFacts(page, row)
    return page
  },

  getRenewalPageByDoneId: async (doneId) => {
    const [row] = await db.sql.$queryRaw<FoundRow[]>`
      SELECT ${allOf('consent')}, ${cycleColumns}, attempt.id AS attempt_id
      FROM authorisations AS attempt JOIN renewals AS renewal ON renewal.id = attempt.renewal_id
        JOIN consents AS consent ON consent.id = renewal.consent_id
      WHERE attempt.done_id = ${doneId}`
    const page = row && pageIn(row)
    const authorisation = page?.authorisations.find(({ id }) => id === row?.['attempt_id'])
    return page && authorisation && { ...page, authorisation }
  },

  // Marked under the attempt's lock, or refused, so that two clicks, or a click and a mail scanner, never get the same
  // URL with its state and verifier.
  handOutLink: async (page, attemptId, now, by) =>
    db.step(async (tx) => {
      const locked = await lockAttemptOnPage(tx, page, attemptId)
      if (locked === undefined || !isOpen(locked)) return undefined
      const { consent, authorisation } = locked
      const { status, handedOutAt, link } = authorisation
      if (status !== 'issued' || handedOutAt !== null || link === null) return undefined
      tx.pending?.alsoOne(Prisma.sql`
        UPDATE authorisations SET handed_out_at = ${now.toJSDate()}
        WHERE id = ${authorisation.id}::uuid AND status = 'issued' AND handed_out_at IS NULL AND link IS NOT NULL`)
      await handedOutEvent(tx, consent, authorisation.id, { now, by })
      return openCell(db.vault, 'link', authorisation.id, link)
    }),

  addHandedOut: async (page, authorisation, now, by) =>
    db.step(async (tx) => {
      const locked = await lockPage(tx, page)
      if (locked === undefined || !isOpen(locked)) return false
      const { consent, renewal } = locked
      const row = authorisationRow(db.vault, { ...authorisation, consentId: consent.id, renewalId: renewal.id })
      // This browser gets the authorisation URL now and nobody gets it again, so the URL is not stored.
      await insert(tx, 'authorisation', { ...row, link: null, handedOutAt: now.toJSDate() })
      const { tokenUse } = authorisation
      if (tokenUse !== undefined) await noteTokenUse(tx, db.vault, consent, tokenUse)
      await handedOutEvent(tx, consent, authorisation.id, { now, by })
      return true
    }),

  receiveCode: async (state, code, { now, queuedFor, by }) =>
    answerState(db, state, async (tx, { consent, renewal, authorisation }) => {
      // A state is consumed by a code, never by an error. A second delivery of the same redirect finds that the code
      // has come already.
      if (authorisation.codeReceivedAt !== null) return { kind: 'already', doneId: authorisation.doneId }
      if (!acceptsCode(consent, renewal)) return { kind: 'closed', doneId: authorisation.doneId }
      if (!takesCode.includes(authorisation.status)) return { kind: 'closed', doneId: authorisation.doneId }
      await moveOne(tx, 'authorisation', authorisation, 'code_received', {
        data: {
          code: sealCell(db.vault, 'code', authorisation.id, code),
          codeReceivedAt: now.toJSDate(),
          nextActionAt: now.toJSDate(),
          queuedUntil: later(queuedFor),
          dispatchNo: { increment: 1 },
          link: null,
          bankError: null,
          errorCode: null,
          pollCount: 0,
          closedAt: null,
        },
      })
      await appendEvent(tx, consent, {
        type: 'authorisation.code-received',
        at: now,
        actor: 'user',
        data: { authorisation_id: authorisation.id, ...passedOn(by) },
      })
      const { id, doneId, dispatchNo } = authorisation
      return { kind: 'accepted', authorisationId: id, doneId, dispatch: { id, dispatchNo: dispatchNo + 1 } }
    }),

  receiveRefusal: async (state, bankError, { now, by }) =>
    answerState(db, state, async (tx, { consent, authorisation }) => {
      if (authorisation.codeReceivedAt !== null) return { kind: 'already', doneId: authorisation.doneId }
      if (authorisation.status !== 'issued') return { kind: 'already', doneId: authorisation.doneId }
      await moveOne(tx, 'authorisation', authorisation, 'refused', {
        from: ['issued'],
        data: {
          errorCode: 'bank-refused',
          bankError,
          nextActionAt: null,
          closedAt: now.toJSDate(),
          link: null,
        },
      })
      await appendEvent(tx, consent, {
        type: 'authorisation.refused-at-bank',
        at: now,
        actor: 'user',
        reason: bankError,
        data: { authorisation_id: authorisation.id, ...passedOn(by) },
      })
      return { kind: 'accepted', authorisationId: authorisation.id, doneId: authorisation.doneId }
    }),
})

/** The statuses of an attempt that a code may still come for. */
const takesCode: readonly string[] = ['issued', 'expired', 'refused', 'superseded']

const answerState = async (
  db: Database,
  state: Secret,
  answer: (tx: Statements, locked: LockedAttempt) => Promise<CallbackOutcome>,
): Promise<CallbackAnswer> =>
  db.step(async (tx) => {
    const locked = await lockAuthorisationOf(tx, stateHash(state))
    if (locked === undefined) return { kind: 'unknown-state' }
    const { credentialsId, userId } = locked.consent
    return { ...(await answer(tx, locked)), credentialsId, userId }
  })

const passedOn = (by: string | undefined): { readonly by?: string } => (by === undefined ? {} : { by })

const isOpen = ({ consent, renewal }: LockedCycle): boolean => consent.status === 'active' && renewal.status === 'open'

const handedOutEvent = async (
  tx: Statements,
  consent: ConsentRow,
  authorisationId: string,
  { now, by }: { now: DateTime; by: string | undefined },
): Promise<void> =>
  appendEvent(tx, consent, {
    type: 'link.handed-out',
    at: now,
    actor: by === undefined ? 'user' : 'company',
    data: { authorisation_id: authorisationId, ...(by === undefined ? {} : { by }) },
  })

const pageIn = (row: FoundRow): RenewalPage | undefined => {
  const consent = recordIn('consent', 'consent', row)
  const cycle = cycleIn(row)
  if (consent === undefined || cycle === undefined) return undefined
  const authorisations = cycle.authorisations.map(toAuthorisation)
  return { renewal: toRenewal(cycle), consent: toConsent(consent), authorisations }
}
